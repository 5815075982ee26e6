"""P40-P44, P46, C6: AUTH on the wire. Whose credentials they are says the fake pipeline."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Iterator

import pytest

from gateway.mail.reply import CANNOT_CHECK_LOGIN, LOGIN_ENDED
from tests.certificates import authority, tls_settings
from tests.core.smtp.client import Client, eventually
from tests.core.smtp.conftest import Edge, StartEdge
from tests.core.smtp.fake_pipeline import FakePipeline
from tests.core.smtp.tls_client import TlsClient

PLAIN = b64encode(b"\0anna@example.test\0open sesame").decode()
WRONG = b64encode(b"\0anna@example.test\0open barley").decode()
USER, PASSWORD = b64encode(b"anna@example.test").decode(), b64encode(b"open sesame").decode()


def coded(text: bytes) -> str:
    """`|` stands for NUL."""
    return b64encode(text.replace(b"|", bytes(1))).decode()


def submission(**more: object) -> dict[str, object]:
    return tls_settings(role="submission", direction="outbound", **more)


_open: list[Client] = []


@pytest.fixture(autouse=True)
def close_clients(start_edge: StartEdge) -> Iterator[None]:
    """Before the edge stops, which would wait for them."""
    yield
    while _open:
        _open.pop().close()


async def greeted(edge: Edge) -> Client:
    """A client that has said EHLO."""
    client = await edge.greeted()
    _open.append(client)
    return client


async def without_ehlo(edge: Edge) -> Client:
    """A client that has begun TLS and said nothing since."""
    plain = await greeted(edge)
    assert (await plain.say("STARTTLS")).startswith("220 ")
    return await TlsClient.over(plain, authority().client())


async def encrypted(edge: Edge) -> Client:
    """A client that has begun TLS and said EHLO."""
    client = await without_ehlo(edge)
    assert "AUTH PLAIN LOGIN" in await client.say("EHLO client.test")
    return client


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge(**submission())


async def test_p40_before_tls_nothing_is_offered_and_nothing_is_decoded(edge: Edge) -> None:
    client = await greeted(edge)
    assert "AUTH" not in await client.say("EHLO client.test")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("538 5.7.11 ")
    assert (await client.say("AUTH LOGIN")).startswith("538 5.7.11 ")
    assert edge.pipeline.credentials == []


async def test_p40_where_tls_is_required_as_well(start_edge: StartEdge) -> None:
    edge = await start_edge(**submission(tls="required"))
    client = await greeted(edge)
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("538 5.7.11 ")
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("530 5.7.0 ")


@pytest.mark.parametrize("settings", [{}, tls_settings()])
async def test_p41_other_listeners_take_no_logins(start_edge: StartEdge, settings: dict[str, object]) -> None:
    edge = await start_edge(**settings)
    client = await greeted(edge)
    assert "AUTH" not in await client.say("EHLO client.test")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("503 5.5.1 AUTH is not offered here")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([f"AUTH PLAIN {PLAIN}"], id="initial response"),
        pytest.param([f"auth plain {PLAIN}"], id="in lower case"),
        pytest.param(["AUTH PLAIN", PLAIN], id="PLAIN in two steps"),
        pytest.param(["AUTH LOGIN", USER, PASSWORD], id="LOGIN in three steps"),
        pytest.param([f"AUTH LOGIN {USER}", PASSWORD], id="LOGIN in two steps"),
        pytest.param([f"AUTH PLAIN {coded(b'anna@example.test|anna@example.test|open sesame')}"], id="for oneself"),
        pytest.param([f"AUTH PLAIN {coded(b'|anna@example.test|' + b'x' * 1024)}"], id="long password"),
    ],
)  # fmt: skip
async def test_somebody_logs_in(edge: Edge, lines: list[str]) -> None:
    client = await encrypted(edge)
    for line in lines[:-1]:
        assert (await client.say(line)).startswith("334 ")
    assert await client.say(lines[-1]) == "235 2.7.0 logged in"
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("250 ")
    (session,) = edge.pipeline.sessions
    assert session.identity is not None
    assert str(session.identity.address) == "anna@example.test"
    assert session.direction == "outbound"


async def test_the_login_stays_after_ehlo_and_rset_and_another_message(edge: Edge) -> None:
    client = await encrypted(edge)
    await client.say(f"AUTH PLAIN {PLAIN}")
    for command in ("EHLO again.test", "RSET", "MAIL FROM:<anna@example.test>", "RSET", "MAIL FROM:<a@example.test>"):
        assert (await client.say(command)).rpartition("\n")[2].startswith("250 ")
    assert len(edge.pipeline.sessions) == 2
    assert all(session.identity is not None for session in edge.pipeline.sessions)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["AUTH"], "501 5.5.4 "),
        (["AUTH CRAM-MD5"], "504 5.5.4 "),
        (["AUTH XOAUTH2 dGVzdA=="], "504 5.5.4 "),
        (["AUTH PLAIN !!!!"], "501 5.5.2 "),
        (["AUTH PLAIN ="], "501 5.5.2 "),
        (["AUTH PLAIN *"], "501 5.7.0 "),
        (["AUTH PLAIN", "*"], "501 5.7.0 "),
        (["AUTH PLAIN", ""], "501 5.5.2 "),
        (["AUTH PLAIN", f"{PLAIN} "], "501 5.5.2 "),
        (["AUTH PLAIN", PLAIN[:-1]], "501 5.5.2 "),
        (["AUTH LOGIN", "*"], "501 5.7.0 "),
        (["AUTH LOGIN", USER, "*"], "501 5.7.0 "),
        (["AUTH LOGIN", USER, "=?="], "501 5.5.2 "),
        (["AUTH LOGIN =", PASSWORD], "501 5.5.2 "),
        (["AUTH LOGIN", coded(b"anna|@example.test"), PASSWORD], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'a|b')}"], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'|anna|@example.test|x')}"], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'||open sesame')}"], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'|anna@example.test|')}"], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'|anna@example.test|' + bytes((255,)))}"], "501 5.5.2 "),
        (["AUTH PLAIN", "A" * 12_288], "500 5.5.6 "),
        (["AUTH PLAIN", "A" * 12_286], "501 5.5.2 "),
        ([f"AUTH PLAIN {coded(b'bo@example.test|anna@example.test|x')}"], "535 5.7.8 "),
        ([f"AUTH PLAIN {WRONG}"], "535 5.7.8 "),
    ],
)  # fmt: skip
async def test_p42_refusals(edge: Edge, lines: list[str], expected: str) -> None:
    client = await encrypted(edge)
    for line in lines[:-1]:
        assert (await client.say(line)).startswith("334 ")
    assert (await client.say(lines[-1])).startswith(expected)
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("530 5.7.0 ")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("235 ")


async def test_p42_a_line_that_never_ends_ends_the_session(edge: Edge) -> None:
    client = await encrypted(edge)
    assert (await client.say("AUTH PLAIN")).startswith("334 ")
    sending = asyncio.create_task(client.send(b"A" * 300_000))
    assert (await client.reply()).startswith("421 4.7.0 ")
    sending.cancel()


async def test_p42_a_bare_line_feed_ends_no_answer(edge: Edge) -> None:
    client = await encrypted(edge)
    assert (await client.say("AUTH PLAIN")).startswith("334 ")
    assert (await client.tell(PLAIN.encode() + b"\n")).startswith("501 5.5.2 ")


async def test_p43_after_n_failures_nothing_more_is_tried(start_edge: StartEdge) -> None:
    edge = await start_edge(**submission(max_auth_failures=2))
    client = await encrypted(edge)
    for _ in range(2):
        assert (await client.say(f"AUTH PLAIN {WRONG}")).startswith("535 5.7.8 user name or password is wrong")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("421 4.7.0 ")
    assert await client.is_closed()
    assert len(edge.pipeline.credentials) == 2


async def test_p44_no_second_login_and_none_within_a_transaction(edge: Edge) -> None:
    client = await encrypted(edge)
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("235 ")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("503 5.5.1 ")
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("250 ")
    assert (await client.say("AUTH LOGIN")).startswith("503 5.5.1 ")


async def test_auth_comes_behind_ehlo(start_edge: StartEdge) -> None:
    edge = await start_edge(**submission())
    client = await without_ehlo(edge)
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("503 5.5.1 ")


async def test_p46_nobody_sends_without_a_login(edge: Edge) -> None:
    client = await encrypted(edge)
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("530 5.7.0 ")
    assert (await client.say("RCPT TO:<anna@example.test>")).startswith("503 ")
    assert edge.pipeline.count == 0


async def test_the_parameter_auth_of_mail_is_taken_and_means_nothing(edge: Edge) -> None:
    client = await encrypted(edge)
    await client.say(f"AUTH PLAIN {PLAIN}")
    assert (await client.say("MAIL FROM:<anna@example.test> AUTH=<>")).startswith("250 ")
    await client.say("RSET")
    assert (await client.say("MAIL FROM:<anna@example.test> AUTH=bo+40example.test SIZE=10")).startswith("250 ")


async def test_commands_behind_the_answer_wait_for_it(edge: Edge) -> None:
    client = await encrypted(edge)
    reply = await client.say(f"AUTH PLAIN {PLAIN}", "MAIL FROM:<anna@example.test>", "RCPT TO:<anna@example.test>")
    assert reply.startswith("250 2.1.5")


async def test_trouble_of_ours_is_temporary_and_no_failed_login(start_edge: StartEdge) -> None:
    edge = await start_edge(**submission(max_auth_failures=1))
    client = await encrypted(edge)
    edge.pipeline.replies["AUTH"] = CANNOT_CHECK_LOGIN
    for _ in range(2):
        assert (await client.say(f"AUTH PLAIN {WRONG}")).startswith("454 4.7.0 ")
    edge.pipeline.failing.add("authenticate")
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("451 4.3.0 ")


async def test_a_login_that_ended_closes_the_session_at_the_next_mail(edge: Edge) -> None:
    client = await encrypted(edge)
    await client.say(f"AUTH PLAIN {PLAIN}")
    edge.pipeline.replies["MAIL"] = LOGIN_ENDED
    assert (await client.say("MAIL FROM:<anna@example.test>")).startswith("421 4.7.0 ")
    assert await client.is_closed()


async def test_behind_something_that_speaks_tls_passwords_may_come_without_it(start_edge: StartEdge) -> None:
    edge = await start_edge(role="submission", direction="outbound", auth_without_tls=True)
    client = await greeted(edge)
    assert (await client.say(f"AUTH PLAIN {PLAIN}")).startswith("235 ")


async def test_stopping_ends_a_dialogue_that_waits_for_an_answer(edge: Edge) -> None:
    client = await encrypted(edge)
    assert (await client.say("AUTH LOGIN")).startswith("334 ")
    await edge.server.drain(0)
    assert (await client.reply()).startswith("421 4.3.2 ")


async def test_a_client_that_leaves_meanwhile_leaves_nothing_behind(start_edge: StartEdge) -> None:
    hold = asyncio.Event()
    edge = await start_edge(pipeline=FakePipeline(hold=hold), **submission())
    client = await encrypted(edge)
    await client.send(f"AUTH PLAIN {PLAIN}\r\n".encode())
    await eventually(lambda: edge.pipeline.credentials)
    client.close()
    hold.set()
    await edge.idle()


async def test_c6_no_password_is_in_any_log_line(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = await encrypted(edge)
    for lines in (
        ["AUTH PLAIN", WRONG],
        [f"AUTH PLAIN {WRONG}!"],
        [f"AUTH CANARY {PASSWORD}"],
        ["AUTH LOGIN", PASSWORD, "*"],
        ["AUTH LOGIN", USER, f"{PASSWORD}="],
        ["AUTH LOGIN", USER, PASSWORD],
        [f"AUTH PLAIN {PLAIN}"],
        [PASSWORD],
    ):
        await client.say(*lines)
    assert caplog.records
    told = caplog.text + repr([vars(record) for record in caplog.records])
    for secret in (PLAIN, WRONG, PASSWORD, "open sesame", "open barley"):
        assert secret not in told
    assert "open sesame" not in repr(edge.pipeline.credentials)
