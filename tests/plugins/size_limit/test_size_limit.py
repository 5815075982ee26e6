"""size_limit through the real loader: which size is compared with which limit, when, and what the sender is told."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path

import pytest
from stellwerk_plugins.size_limit.config import SizeLimitSettings

from gateway.config import read
from gateway.errors import ConfigError
from gateway.mail.body import Body, FileBody, MemoryBody
from gateway.mail.reply import PLUGIN_FAILED
from gateway.routing.plan import DeliverStep
from gateway.routing.route import Refuse
from tests.hooks.walk import CONFIG, HELLO, SENDER, loaded, session, steps
from tests.plugins.size_limit.test_attachments import PDF, mixed

LIMIT = 26_214_400


def general(**limits: int) -> str:
    return "[plugin.size_limit]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items())


def with_attachment(octets: int) -> bytes:
    """A message with an attachment of that size when decoded, in lines of 76 characters of base64."""
    return HELLO_TEXT + base64.encodebytes(b"x" * octets).replace(b"\n", b"\r\n") + b"--b--\r\n"


HELLO_TEXT = mixed(b"\r\nhello", PDF + b"\r\n").removesuffix(b"\r\n--b--\r\n")


class Untouched(Body):
    """A body of which only the header may be read."""

    _header = MemoryBody(HELLO)
    _length: int

    def __init__(self, length: int) -> None:
        vars(self).update(_length=length, sha256=b"")

    def __len__(self) -> int:
        return self._length

    @property
    def header_block(self) -> bytes:
        return self._header.header_block

    def read(self, start: int, end: int) -> bytes:
        raise AssertionError(f"octets {start} to {end} were read")


def spilled(raw: bytes) -> FileBody:
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        return FileBody(os.dup(file.fileno()), len(raw), b"")


async def test_default_is_25_mib_of_attachments_and_they_pass_exactly() -> None:
    async with loaded("size_limit") as walk:
        body = spilled(with_attachment(LIMIT))
        planned = await walk.send(body)
        assert len(body) > 35_000_000
        assert planned.refusal is None
        assert planned.message.tags == {"size_limit.attachment_bytes": LIMIT}


async def test_one_octet_more_is_refused() -> None:
    async with loaded("size_limit") as walk:
        body = spilled(with_attachment(LIMIT + 1))
        planned = await walk.send(body)
        expected = "552 5.3.4 the attachments are too big: 26214401 octets decoded, at most 26214400 are taken here"
        assert str(planned.refusal) == expected


async def test_a_message_below_every_limit_is_never_looked_into() -> None:
    async with loaded("size_limit") as walk:
        planned = await walk.send(Untouched(LIMIT))
        assert planned.refusal is None
        assert planned.message.tags == {}
        looked_into = await walk.send(Untouched(LIMIT + 1))
        assert looked_into.refusal == PLUGIN_FAILED
        assert "were read" in walk.events[-1]["error"]


async def test_it_is_measured_once_for_all_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def measure(body: Body) -> int:
        measured.append(len(body))
        return 0

    monkeypatch.setattr("stellwerk_plugins.size_limit.plugin.attachment_bytes", measure)
    async with loaded("size_limit", tables=general(max_attachment_bytes=10)) as walk:
        await walk.send(HELLO, "anna@example.test", "bo@example.test")
        assert measured == [len(HELLO)]
        await walk.send(HELLO)
        assert len(measured) == 2


def refused(octets: str, limit: int) -> str:
    return f"552 5.3.4 the message is too big: {octets}, at most {limit} are taken here"


@pytest.mark.parametrize(
    ("listener", "recipient", "limit"),
    [
        pytest.param("mx", "anna@example.test", 5000, id="general"),
        pytest.param("lmtp", "anna@example.test", 3000, id="listener"),
        pytest.param("mx", "x@small.test", 1000, id="domain"),
        pytest.param("lmtp", "x@SMALL.test.", 1000, id="domain before listener"),
        pytest.param("lmtp", "x@xn--bcher-kva.test", 4000, id="domain written as it is read"),
    ],
)
async def test_the_most_specific_limit_counts_for_announced_and_real_sizes(
    listener: str, recipient: str, limit: int
) -> None:
    tables = (
        general(max_message_bytes=5000)
        + "[plugin.size_limit.listener.lmtp]\nmax_message_bytes = 3000\n"
        + '[plugin.size_limit.domain."small.test"]\nmax_message_bytes = 1000\n'
        + '[plugin.size_limit.domain."Bücher.test"]\nmax_message_bytes = 4000\n'
        + '[routing]\noutbound = "postfix"\n'
    )
    async with loaded("size_limit", tables=tables) as walk:
        came_by = session("filter", protocol="lmtp") if listener == "lmtp" else session()
        announced, _ = await walk.mail(SENDER, came_by, size=limit)
        assert (await walk.rcpt(announced, recipient)).code == 250
        too_much, refusal = await walk.mail(SENDER, came_by, size=limit + 1)
        assert refusal is None, "so that the mailbox is known, it is RCPT that is refused"
        assert str(await walk.rcpt(too_much, recipient)) == refused(f"{limit + 1} octets announced", limit)
        assert too_much.recipients == ()

        exact = HELLO + b"x" * (limit - len(HELLO))
        assert (await walk.send(exact, recipient, came_by=came_by)).refusal is None
        planned = await walk.send(exact + b"x", recipient, came_by=came_by)
        assert str(planned.refusal) == refused(f"{limit + 1} octets", limit)


async def test_p27_a_size_over_one_recipients_limit_leaves_the_others() -> None:
    tables = general() + '[plugin.size_limit.domain."small.test"]\nmax_message_bytes = 1000\n'
    async with loaded("size_limit", tables=tables) as walk:
        transaction, _ = await walk.mail(SENDER, size=2000)
        assert (await walk.rcpt(transaction, "x@small.test")).code == 552
        assert (await walk.rcpt(transaction, "anna@example.test")).code == 250
        assert [str(recipient.address) for recipient in transaction.recipients] == ["anna@example.test"]
        assert transaction.events[0]["reply"] == refused("2000 octets announced", 1000)


async def test_p28_a_size_that_was_understated_is_seen_at_the_end() -> None:
    async with loaded("size_limit", tables=general(max_message_bytes=1000)) as walk:
        planned = await walk.send(HELLO + b"x" * 2000, size=100)
        assert str(planned.refusal) == refused(f"{len(HELLO) + 2000} octets", 1000)


@pytest.mark.parametrize("what", ["message", "attachments"])
async def test_too_big_for_one_domain_only_is_refused_for_that_one(what: str) -> None:
    key = "max_message_bytes" if what == "message" else "max_attachment_bytes"
    tables = general() + f'[plugin.size_limit.domain."small.test"]\n{key} = 1000\n'
    async with loaded("size_limit", tables=tables) as walk:
        planned = await walk.send(with_attachment(1200), "anna@example.test", "x@small.test", "y@small.test")
        assert planned.refusal is None
        to_anna, to_x, to_y = steps(planned.plan)
        assert isinstance(to_anna, DeliverStep)
        assert isinstance(to_x, Refuse)
        assert isinstance(to_y, Refuse)
        assert to_x.reply.code == 552
        assert to_x.reply.enhanced == "5.3.4"
        assert to_x.reply.text.startswith(f"the {what} ")
        assert to_x.reply.text.endswith("at most 1000 are taken here")
        assert (to_x.rule, to_x.reason) == ("small.test", to_x.reply.text)
        assert planned.message.tags == {"size_limit.attachment_bytes": 1200}


async def test_too_big_for_all_tells_what_would_pass_for_all() -> None:
    tables = general(max_message_bytes=600) + '[plugin.size_limit.domain."small.test"]\nmax_message_bytes = 500\n'
    async with loaded("size_limit", tables=tables) as walk:
        planned = await walk.send(HELLO + b"x" * 1000, "anna@example.test", "x@small.test")
        assert str(planned.refusal) == refused(f"{len(HELLO) + 1000} octets", 500)


async def test_too_big_for_each_for_another_reason() -> None:
    tables = general(max_message_bytes=1000) + (
        '[plugin.size_limit.domain."small.test"]\nmax_message_bytes = 1_000_000\nmax_attachment_bytes = 700\n'
    )
    async with loaded("size_limit", tables=tables) as walk:
        planned = await walk.send(with_attachment(900), "anna@example.test", "x@small.test")
        assert planned.plan is None
        assert planned.refusal is not None
        assert planned.refusal.code == 552


async def test_behind_a_queue_size_stays_a_5xx() -> None:
    async with loaded("size_limit", tables=general(max_message_bytes=100)) as walk:
        planned = await walk.send(HELLO + b"x" * 100, came_by=session("filter", protocol="lmtp"))
        assert planned.refusal is not None
        assert planned.refusal.code == 552


async def test_m6_a_structure_without_end_has_the_message_limit_only() -> None:
    parts = [b"Content-Type: application/pdf\r\n\r\n12345"] * 10_001
    async with loaded("size_limit", tables=general(max_attachment_bytes=1000)) as walk:
        assert (await walk.send(mixed(*parts))).refusal is None
    tables = general(max_attachment_bytes=1000, max_message_bytes=1000)
    async with loaded("size_limit", tables=tables) as walk:
        refusal = (await walk.send(mixed(*parts))).refusal
        assert refusal is not None
        assert refusal.text.startswith("the message is too big")


async def test_shadow_reports_every_hook_and_changes_nothing() -> None:
    tables = general(max_message_bytes=100) + 'mode = "shadow"\n'
    async with loaded("size_limit", tables=tables) as walk:
        planned = await walk.send(HELLO + b"x" * 100)
        assert [type(step) for step in steps(planned.plan)] == [DeliverStep]
        told = {event["hook"]: event for event in walk.events}
        assert told["message_received"]["shadow"] is True
        assert told["message_received"]["answer"] == [refused(f"{len(HELLO) + 100} octets", 100)]
        assert told["route_recipient"]["answer"][0].startswith("refuse with 552 5.3.4 ")


async def test_a_listener_that_does_not_exist_is_an_error_of_the_configuration() -> None:
    wrong = r'there is no listener "mxx"; there are: mx, lmtp; did you mean "mx"\?'
    with pytest.raises(ConfigError, match=wrong):
        async with loaded("size_limit", tables="[plugin.size_limit.listener.mxx]\nmax_message_bytes = 1\n"):
            pass
    async with loaded("size_limit", tables="[plugin.size_limit.listener.mx]\nmax_message_bytes = 1\n") as walk:
        assert walk.runner.chain("message_received")


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ("max_message_bytes = 0", "max_message_bytes"),
        ('max_message_bytes = "10"', "max_message_bytes"),
        ("max_attachment_bytes = true", "max_attachment_bytes"),
        ("max_mesage_bytes = 10", "max_mesage_bytes"),
        ('[plugin.size_limit.domain."a..b"]\nmax_message_bytes = 1', "the domain is malformed"),
        ("[plugin.size_limit.listener.mx]\nmax_bytes = 1", "max_bytes"),
    ],
)
async def test_wrong_settings_name_file_and_line(tables: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with loaded("size_limit", tables="[plugin.size_limit]\n" + tables):
            pass
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("test.toml:")
    assert "size_limit" in caught.value.problems[0]
    assert problem in caught.value.problems[0]


def test_the_readmes_example_is_right() -> None:
    readme = Path(__file__).parents[3] / "plugins/stellwerk_plugins/size_limit/README.md"
    example = readme.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert "[plugin.size_limit]" in example
    settings = read(CONFIG.format(plugins='"size_limit"', tables=example)).plugin["size_limit"]
    limits = SizeLimitSettings.model_validate(settings)
    assert limits.effective("lmtp", "small.example") == (20_971_520, 5_242_880)
