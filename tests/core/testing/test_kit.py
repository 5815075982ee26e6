"""gateway.testing: what it says happened is what happened, and it is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from email import message_from_bytes
from pathlib import Path

import pytest

from gateway.api import (
    AddHeader,
    Address,
    DeliveryPlan,
    Effect,
    Message,
    Plugin,
    Redirect,
    Registry,
    Route,
    Settings,
    Tag,
    hookimpl,
)
from gateway.config import read
from gateway.errors import ConfigError
from gateway.testing import (
    Clock,
    ProcessGateway,
    Sink,
    StartDns,
    StartGateway,
    StartProcess,
    call_hook,
    make_plugin,
    message,
    plan,
    received,
    session,
    transaction,
)
from gateway.testing.configuration import config_text
from gateway.testing.dialogue import transaction_id

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways


class Mine(Plugin[Settings]):
    """Tags, routes and raises."""

    def register(self, registry: Registry) -> None:
        registry.tag("at", "when")

    @hookimpl
    async def message_received(self, message: Message) -> Tag:
        if message.headers.get("subject") == "broken":
            raise ValueError("broken")
        return Tag("at", int(self.services.clock()))

    @hookimpl
    def route_recipient(self, message: Message, recipient: Address) -> Route | None:
        return Redirect((Address("bo", "example.test"),), rule="team") if recipient.local == "team" else None

    @hookimpl
    def message_annotate(self, message: Message, plan: DeliveryPlan) -> list[Effect]:
        return [AddHeader("X-Mine", "1")]


def test_explained_and_sent_tell_the_same(start_gateway: StartGateway, sink: Sink, clock: Clock) -> None:
    gateway = start_gateway({"mine": Mine})
    clock.advance(7)
    content, to = message("hello"), ["anna@example.test", "team@example.test"]
    told, sent = gateway.explain(content, to), gateway.send(content, to)
    assert told.reply.code == sent.reply.code == 250
    assert told.tags == sent.trace.tags == {"mine.at": int(clock.now)}
    assert told.routes == {"anna@example.test": ("anna@example.test",), "team@example.test": ("bo@example.test",)}
    assert [(call.hook, call.answer) for call in told.calls] == [(call.hook, call.answer) for call in sent.trace.calls]
    assert sink.messages[0].to == ("anna@example.test", "bo@example.test")
    assert sink.messages[0].data.endswith(content)
    assert told.headers == ("X-Mine: 1",)
    assert b"X-Mine: 1\r\n" in sink.messages[0].data


@pytest.mark.parametrize(("listener", "replies"), [("mx", 1), ("queue", 2)])
def test_a_failure_names_the_line(start_gateway: StartGateway, listener: str, replies: int) -> None:
    sent = start_gateway({"mine": Mine}).send(
        message("broken"), ["anna@example.test", "bo@example.test"], listener=listener
    )
    assert {reply.code for reply in sent.replies.values()} == {451}
    (failure,) = sent.trace.failures
    assert (failure.plugin, failure.hook, failure.on_error) == ("mine", "message_received", "tempfail")
    line = Mine.message_received.__code__.co_firstlineno + 3
    assert failure.error == f"ValueError: broken (test_kit.py:{line})"


def test_replies_are_one_for_each_recipient(start_gateway: StartGateway, sink: Sink) -> None:
    sink.answer("RCPT", "550 5.1.1 no such user", to="bo@example.test")
    gateway = start_gateway(mailboxes=["anna", "bo"])
    sent = gateway.send(message(), ["anna@example.test", "bo@example.test", "cleo@example.test"], listener="queue")
    assert [reply.code for reply in sent.replies.values()] == [250, 550, 550]
    assert gateway.explain(message(), "cleo@example.test").refused["cleo@example.test"].code == 550


def test_what_is_wrong_is_said_at_the_start(start_gateway: StartGateway) -> None:
    with pytest.raises(ConfigError, match=r"plugin\.mine\.word"):
        start_gateway({"mine": Mine}, settings={"mine": {"word": 1}})
    with pytest.raises(LookupError, match="no plugin 'other'"):
        start_gateway({"mine": Mine}).plugin("other")
    with pytest.raises(LookupError, match="no trace of 'x'"):
        start_gateway().trace("x")


def test_several_gateways_have_their_own_state(start_gateway: StartGateway, sink: Sink) -> None:
    one, other = start_gateway(), start_gateway({"mine": Mine})
    sent = one.send(message())
    assert sent.trace.tags == {}
    with pytest.raises(LookupError):
        other.trace(sent.id)
    assert one.address() != other.address()


def test_dns_is_what_the_test_says(start_gateway: StartGateway, start_dns: StartDns) -> None:
    dns = start_dns([("elsewhere.test", "MX", "10 mx.elsewhere.test.", 60), ("mx.elsewhere.test", "A", "8.8.8.8", 60)])
    gateway = start_gateway(["domain_check"], dns=dns)
    assert gateway.send(message()).trace.tags["domain_check.sender_domain"] == "accept"
    assert gateway.send(message(), sender="x@nowhere.test").reply.code == 550


def test_hooks_by_themselves(clock: Clock) -> None:
    plugin = make_plugin(Mine, clock=clock)
    assert call_hook(plugin, "message_received", message=received()) == Tag("at", int(clock.now))
    with pytest.raises(ValueError, match="broken"):
        call_hook(plugin, "message_received", message=received(message("broken")))
    team = call_hook(plugin, "route_recipient", recipient=Address("team", "example.test"), message=None)
    assert team == Redirect((Address("bo", "example.test"),), rule="team")
    with pytest.raises(TypeError, match="route_recipient names message, recipient: give it to call_hook as well"):
        call_hook(plugin, "route_recipient")


def test_objects_that_hooks_get() -> None:
    got = received(message(), "bo@example.test", sender="", tags={"other.x": 1})
    assert (got.envelope.sender, got.tags["other.x"]) == (None, 1)
    assert [str(address) for address in plan(got).final_addresses] == ["bo@example.test"]
    open_transaction = transaction("bo@example.test", came_by=session(role="filter"), size=7)
    assert open_transaction.session.role == "filter"
    assert (open_transaction.recipient_count, open_transaction.parameters.size) == (1, 7)


async def test_a_received_message_is_parsed_as_on_live_mail() -> None:
    parsed = await received(message(attachments={"a.pdf": b"%PDF"})).parsed()
    assert parsed is not None
    assert [part.get_filename() for part in parsed.walk()] == [None, None, "a.pdf"]


def test_messages_are_the_same_each_time_and_well_formed() -> None:
    made = message(
        "Gr\u00fc\u00dfe", "a\nb\n", headers={"X-A": "1", "Message-ID": "<x@y>"}, attachments={"a": b"1"}, html="<p>"
    )
    assert made == message(
        "Gr\u00fc\u00dfe", "a\nb\n", headers={"X-A": "1", "Message-ID": "<x@y>"}, attachments={"a": b"1"}, html="<p>"
    )
    assert made.replace(b"\r\n", b"").count(b"\n") == 0
    parsed = message_from_bytes(made)
    assert (parsed["X-A"], parsed["Message-ID"]) == ("1", "<x@y>")
    assert [part.get_content_type() for part in parsed.walk()][-1] == "application/octet-stream"


def test_any_settings_can_be_written(tmp_path: Path) -> None:
    own = {"word": 'a "quoted" \u00fc\n', "many": [1, 2.5, True], "table": {"b.c": {"d": "e"}}, "none": None}
    read_back = read(config_text(tmp_path, ["x"], next_hop="127.0.0.1:1", settings={"x": own}), "test.toml").plugin["x"]
    assert read_back == {key: value for key, value in own.items() if value is not None}


def test_the_id_in_a_reply() -> None:
    from gateway.mail.reply import ACCEPTED

    assert transaction_id(ACCEPTED.tagged("abc")) == "abc"
    assert transaction_id(ACCEPTED) == ""


def test_the_fixtures_cost_other_tests_nothing() -> None:
    code = "import sys, gateway.testing.pytest_plugin; print([m for m in sys.modules if m.startswith('gateway.')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['gateway.testing', 'gateway.testing.pytest_plugin']"


def test_nothing_but_the_fixtures_needs_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; from gateway.testing import *; print(Sink, StartProcess, plan)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.slow
def test_the_process_starts_reloads_and_says_why_not(start_process: StartProcess, tmp_path: Path) -> None:
    gateway = start_process()
    sent = gateway.send(message())
    assert sent.reply.code == 250
    assert sent.trace.outcome.startswith("250")
    gateway.reload()
    assert gateway.command("plugins").returncode == 0
    gateway.config.write_text("nonsense = 1\n")
    with pytest.raises(RuntimeError, match="found the unknown key nonsense"):
        gateway.reload()
    (tmp_path / "other").mkdir()
    other = ProcessGateway(tmp_path / "other", "nonsense = 1\n")
    with pytest.raises(RuntimeError, match="ended with 2"):
        other.start()
    other.stop()
