"""AUTH at a smart host: who is let in, what a refusal does to the mail, and that the password shows nowhere."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.delivery.client_tls import ClientTls
from gateway.delivery.login import Login
from gateway.delivery.transport import Outcome, Result
from gateway.errors import StartupError
from gateway.mail.reply import NEXT_HOP_DOWN, NEXT_HOP_MISCONFIGURED
from gateway.testing.sink import KEYWORDS, Answer, Sink
from tests.core.delivery.batches import batch, next_hop, soon
from tests.core.delivery.certificates import server

USER, PASSWORD = "gw@example.test", "pä55 wörd:kanari"
CODED = [
    b64encode(text.encode()).decode().rstrip("=") for text in (PASSWORD, f"\0{USER}\0{PASSWORD}")
]  # fmt: skip


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(USER, written(tmp_path, PASSWORD + "\n"))


@pytest.fixture(autouse=True)
def the_password_is_nowhere(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert "kanari" not in caplog.text
    assert not any(coded in caplog.text for coded in CODED)


def written(directory: Path, password: str | bytes, mode: int = 0o600) -> Path:
    path = directory / "password"
    path.write_bytes(password.encode() if isinstance(password, str) else password)
    path.chmod(mode)
    return path


async def handed_to(sink: Sink, login: Login, tls: ClientTls | None = None) -> Result:
    async with next_hop(sink, login=login, tls=tls) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert "kanari" not in f"{result!r}{login!r}"
    return result


@pytest.mark.parametrize("offered", ["AUTH PLAIN LOGIN", "AUTH LOGIN CRAM-MD5", "AUTH plain"])
async def test_a_login_is_made_once_for_a_session(login: Login, offered: str) -> None:
    async with Sink(users={USER: PASSWORD}) as sink:
        sink.answer("EHLO", f"250-sink.test\r\n250-PIPELINING\r\n250 {offered}", always=True)
        async with next_hop(sink, login=login, connections=1) as hop:
            for _ in range(3):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.outcome is Outcome.DONE
    assert [message.login for message in sink.messages] == [USER] * 3
    assert sum(command.startswith("AUTH") for command in sink.commands) == 1


async def test_under_tls(login: Login) -> None:
    async with Sink(users={USER: PASSWORD}, tls=server()) as sink:
        assert (await handed_to(sink, login, ClientTls())).outcome is Outcome.DONE
        assert sink.commands[:3] == ["EHLO gw.example.test", "STARTTLS", "EHLO gw.example.test"]
        assert (sink.messages[0].tls, sink.messages[0].login) == ("TLSv1.3", USER)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("535 5.7.8 authentication failed", "535 5.7.8 authentication failed"),
        ("534 5.7.9 too weak", "534 5.7.9 too weak"),
        (f"535 5.7.8 no: {PASSWORD}", "535 5.7.8 no: (password)"),
        (f"535 bad: {b64encode(f'{chr(0)}{USER}{chr(0)}{PASSWORD}'.encode()).decode()}", "535 bad: (password)"),
    ],
)
async def test_a_refused_login_defers_the_mail_and_is_said_aloud(
    login: Login, said: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sink(users={USER: PASSWORD}) as sink:
        sink.answer("AUTH", said, always=True)
        async with next_hop(sink, login=login) as hop:
            for _ in range(3):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
                assert f"does not let user '{USER}' in: {text}" in result.where
    assert sink.connections == 1, "every wrong password brings us nearer to being locked out"
    assert [record.levelname for record in caplog.records if record.name.startswith("gateway")] == ["ERROR"]
    assert sink.received == []


async def test_a_wrong_password_is_tried_by_one_of_many(login: Login) -> None:
    async with Sink(users={USER: "another"}) as sink, next_hop(sink, login=login, connections=20) as hop:
        attempts = await asyncio.gather(*(hop.deliver(batch(), deadline=soon()) for _ in range(20)))
        assert {(result.outcome, result.reply) for (result,) in attempts} == {
            (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
        }
        assert sum(command.startswith("AUTH") for command in sink.commands) == 1


async def test_many_log_in_side_by_side_once_one_was_let_in(login: Login) -> None:
    async with Sink(users={USER: PASSWORD}) as sink, next_hop(sink, login=login, connections=20) as hop:
        attempts = await asyncio.gather(*(hop.deliver(batch(), deadline=soon()) for _ in range(100)))
        assert {result.outcome for (result,) in attempts} == {Outcome.DONE}
        assert 1 < sink.connections <= 20


async def test_a_login_that_fails_for_now_is_a_hop_that_is_down(login: Login) -> None:
    async with Sink(users={USER: PASSWORD}) as sink:
        sink.answer("AUTH", "454 4.7.0 temporary failure")
        result = await handed_to(sink, login)
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


@pytest.mark.parametrize(("offered", "said"), [("HELP", "no AUTH"), ("AUTH CRAM-MD5", "only AUTH CRAM-MD5")])
async def test_where_no_login_is_offered_the_mail_waits(login: Login, offered: str, said: str) -> None:
    async with Sink() as sink:
        sink.answer("EHLO", f"250-sink.test\r\n250 {offered}")
        result = await handed_to(sink, login)
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
    assert f"it offers {said}" in result.where
    assert sink.received == []


async def test_the_password_stays_here_without_tls(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the sink were elsewhere, for loopback is as good as TLS."""
    monkeypatch.setattr("gateway.delivery.connection.Connection.peer_is_local", False)
    async with Sink(users={USER: PASSWORD}) as sink:
        result = await handed_to(sink, login)
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
        assert not any(command.startswith("AUTH") for command in sink.commands)
        overridden = Login(USER, login.password_file, in_plain_text=True)
        assert (await handed_to(sink, overridden)).outcome is Outcome.DONE


@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("said", ["530 5.7.0 Must issue a STARTTLS command first", "530 5.7.1 log in", "538 5.7.11 no"])
async def test_a_hop_that_wants_more_of_us_does_not_bounce_the_mail(
    point: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer(point, said, said)  # type: ignore[arg-type]
        for _ in range(2):
            (result,) = await hop.deliver(batch(), deadline=soon())
            assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
    assert caplog.text.count("wants a login or TLS") == 1


async def test_a_hop_that_breaks_off_in_the_dialogue(login: Login) -> None:
    async with Sink(users={USER: PASSWORD}, keywords=KEYWORDS) as sink:
        sink.answer("AUTH", Answer("", then="close"))
        assert (await handed_to(sink, login)).reply == NEXT_HOP_DOWN


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (PASSWORD, 0o644, "can be read by others .mode 0644.; run: chmod 600"),
        (PASSWORD, 0o640, "can be read by others"),
        ("", 0o600, "must hold the password on one line"),
        ("\n", 0o600, "must hold the password on one line"),
        ("one kanari\ntwo\n", 0o600, "must hold the password on one line"),
        (b"\xffkanari", 0o600, "must hold the password on one line"),
    ],
)
async def test_a_file_that_is_no_password(tmp_path: Path, content: str | bytes, mode: int, said: str) -> None:
    login = Login(USER, written(tmp_path, content, mode))
    async with Sink(users={USER: PASSWORD}) as sink, next_hop(sink, login=login) as hop:
        with pytest.raises(StartupError, match=f"next_hop.hop.password_file: .*{said}") as caught:
            hop.check_files()
        assert "kanari" not in str(caught.value)
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)


def test_a_missing_password_file(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file"):
        Login(USER, tmp_path / "missing").password()
