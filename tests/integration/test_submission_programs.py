"""Mail submitted by programs that nobody here wrote: swaks, Python's smtplib and curl, over STARTTLS and implicit TLS.

One gateway with two workers on one store, and what two workers must agree on: a password that has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.directory.actor import command_line
from gateway.directory.change import Command, carry_out
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.passwords import hash_password
from gateway.directory.people import SetPassword
from gateway.store.store import Store
from gateway.testing.sink import Sink
from tests.certificates import NAME, authority
from tests.integration.gateway_process import GatewayProcess, StartGateway, gateway_process
from tests.integration.ports import PortReservation
from tests.integration.test_tls_programs import listener, run, with_certificate
from tests.integration.waiting import until
from tests.security.people import fill

__all__ = ["gateway_process"]

pytestmark = pytest.mark.slow

CONFIG = """\
plugins = []
[server]
hostname = "gw.example.test"
state_dir = "{directory}/state"
workers = 2
[store]
url = "sqlite:///{directory}/db/stellwerk.db"
[log]
level = "debug"
[next_hop.mail]
kind = "maildir"
path = "{directory}/mail/{{domain}}/{{local}}"
[next_hop.out]
kind = "smtp"
address = "{out}"
[routing]
outbound = "out"
"""
CANARIES = ("sesame", "barley", "linseed")


@dataclass
class Office:
    """The gateway, its two ports, and what is behind it."""

    process: GatewayProcess
    directory: Path
    submission: int
    submissions: int
    sink: Sink

    def authority_file(self) -> str:
        path = self.directory / "authority.pem"
        path.write_text(authority().pem)
        return str(path)

    async def do(self, command: Command[Any]) -> None:
        """As a command line beside the gateway does it."""
        store = Store.open(f"sqlite:///{self.directory}/db/stellwerk.db")
        try:
            await carry_out(store, command_line("tests"), command, time.time)
        finally:
            await asyncio.to_thread(store.close)

    def local(self, name: str) -> list[Path]:
        return sorted((self.directory / "mail/acme.test" / name / "new").glob("*"))


@pytest.fixture
async def office(gateway_process: StartGateway, tmp_path: Path) -> AsyncIterator[Office]:
    ports = PortReservation()
    starttls, implicit = ports.take(), ports.take()
    await fill(tmp_path / "db" / "stellwerk.db")
    async with Sink() as sink:
        text = CONFIG.format(directory=tmp_path, out=sink.address)
        text += listener("submission", starttls, 'role = "submission"', *with_certificate(tmp_path, "starttls"))
        text += listener("submissions", implicit, 'role = "submission"', *with_certificate(tmp_path, "implicit", "s"))
        process = await gateway_process(text)
        yield Office(process, tmp_path, starttls, implicit, sink)
        told = process.output
        assert "login" in told
        for canary in CANARIES:
            for user in ("anna", "bo", "cleo"):
                assert b64encode(f"\0{user}@acme.test\0{canary}".encode()).decode() not in told
            assert b64encode(canary.encode()).decode().rstrip("=") not in told
            assert canary not in told
    ports.release()


def letter(author: str = "anna@acme.test", subject: str = "hello", more: str = "") -> str:
    return f"From: {author}\r\nTo: x@elsewhere.test\r\nSubject: {subject}\r\n{more}\r\nHello.\r\n"


# Python's smtplib


@contextlib.contextmanager
def logged_in(
    office: Office, *, implicit: bool, user: str = "anna@acme.test", password: str = "sesame"
) -> Iterator[smtplib.SMTP]:
    context = authority().client()
    context.check_hostname = False
    client: smtplib.SMTP
    if implicit:
        client = smtplib.SMTP_SSL("127.0.0.1", office.submissions, timeout=60, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", office.submission, timeout=60)
        client.starttls(context=context)
    with client:
        client.login(user, password)
        yield client


def refused(attempt: Callable[[], object]) -> tuple[int, bytes]:
    """The code and text of the refusal that `attempt` meets."""
    with pytest.raises(smtplib.SMTPResponseException) as told:
        attempt()
    error = told.value.smtp_error
    return told.value.smtp_code, error if isinstance(error, bytes) else error.encode()


@pytest.mark.parametrize("implicit", [False, True])
async def test_smtplib(office: Office, implicit: bool) -> None:
    await asyncio.to_thread(_smtplib, office, implicit)
    await until(lambda: office.local("bo"), "bo has the mail")
    assert [message.to for message in office.sink.messages] == [("x@elsewhere.test",)]
    assert b"ESMTPSA" in office.sink.messages[0].data
    assert b"\r\nMessage-ID: <" in office.sink.messages[0].data


def _smtplib(office: Office, implicit: bool) -> None:
    with logged_in(office, implicit=implicit) as client:
        client.sendmail("anna@acme.test", ["x@elsewhere.test", "bo@acme.test"], letter())
        code, text = refused(lambda: client.sendmail("bo@acme.test", ["x@elsewhere.test"], letter("bo@acme.test")))
        assert (code, text[:5]) == (553, b"5.7.1")
        code, text = refused(lambda: client.sendmail("anna@acme.test", ["bo@acme.test"], letter("ceo@bank.test")))
        assert (code, text[:5]) == (553, b"5.7.1")
        code, text = refused(lambda: client.sendmail("anna@new.test", ["bo@acme.test"], letter("anna@new.test")))
        assert code == 553
        assert b"neither verified nor trusted" in text

    def with_the_wrong_password() -> None:
        with logged_in(office, implicit=implicit, password="barley"):
            pass

    code, text = refused(with_the_wrong_password)
    assert (code, text[:5]) == (535, b"5.7.8")


# swaks and curl


@pytest.mark.server("swaks")
async def test_swaks(office: Office) -> None:
    swaks = ["swaks", "--server", "127.0.0.1", "--from", "anna@acme.test", "--to", "bo@acme.test"]
    verified = ["--tls-verify", "--tls-ca-path", office.authority_file(), "--tls-sni", NAME]
    starttls = [*swaks, "--port", str(office.submission), "--tls", *verified]
    implicit = [*swaks, "--port", str(office.submissions), "--tls-on-connect", *verified]
    login = ["--auth-user", "anna@acme.test", "--auth-password", "sesame"]
    for number, (command, mechanism) in enumerate(((starttls, "PLAIN"), (implicit, "LOGIN"))):
        status, told = await run(*command, "--auth", mechanism, *login, "--h-Subject", f"swaks {number}")
        assert status == 0, told
        assert "<~  235 2.7.0" in told
        assert "<~  250 2.0.0" in told
    await until(lambda: len(office.local("bo")) == 2, "bo has both")
    wrong = ["--auth", "PLAIN", "--auth-user", "anna@acme.test", "--auth-password", "barley"]
    for command, expected in (
        ([*starttls, *wrong], "535 5.7.8"),
        ([*starttls, "--auth", "PLAIN", *login, "--from", "bo@acme.test"], "553 5.7.1"),
        ([*starttls, "--auth", "PLAIN", *login, "--from", "anna@new.test"], "553 5.7.1"),
        ([*implicit, "--auth", "PLAIN", *login, "--h-From", "ceo@bank.test"], "553 5.7.1"),
        ([*starttls], "530 5.7.0"),
    ):
        status, told = await run(*command)
        assert status != 0, told
        assert expected in told, told


@pytest.mark.server("curl")
async def test_curl(office: Office) -> None:
    trusted = ["--cacert", office.authority_file(), "--silent", "--show-error", "--verbose", "--max-time", "60"]
    path = office.directory / "letter.eml"
    path.write_bytes(letter(subject="curl").encode())
    mail = ["--upload-file", str(path), "--mail-rcpt", "bo@acme.test"]
    submission = [f"smtp://{NAME}:{office.submission}/client.test", "--ssl-reqd"]
    submissions = [f"smtps://{NAME}:{office.submissions}/client.test"]
    here = ["--resolve", f"{NAME}:{office.submission}:127.0.0.1", "--resolve", f"{NAME}:{office.submissions}:127.0.0.1"]
    for number, (where, options) in enumerate(
        ((submission, []), (submissions, ["--login-options", "AUTH=LOGIN"])), start=1
    ):
        path.write_bytes(letter(subject=f"curl {number}").encode())
        asked = [*where, *here, *trusted, *mail, *options, "--user", "anna@acme.test:sesame"]
        status, told = await run("curl", *asked, "--mail-from", "anna@acme.test")
        assert status == 0, told
        assert "< 235 2.7.0" in told
    await until(lambda: len(office.local("bo")) == 2, "bo has both")
    for user, sender, expected in (
        ("anna@acme.test:barley", "anna@acme.test", "535 5.7.8"),
        ("anna@acme.test:sesame", "bo@acme.test", "553 5.7.1"),
        ("anna@acme.test:sesame", "anna@new.test", "553 5.7.1"),
    ):
        asked = [*submission, *here, *trusted, *mail, "--user", user, "--mail-from", sender]
        status, told = await run("curl", *asked)
        assert status != 0, told
        assert f"< {expected}" in told, told


# Two workers and one store


class Plain(smtplib.SMTP):
    """A connection whose worker can be told by the first part of the ids in its replies."""

    def worker(self) -> str:
        """The part of its ids that all of one worker's have."""
        code, text = self.docmd("DATA")
        assert code == 503
        return text.decode().rpartition("[")[2].partition("-")[0]


def _connection(office: Office) -> Plain:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = Plain("127.0.0.1", office.submission, timeout=60)
    client.starttls(context=context)
    client.ehlo()
    return client


@asynccontextmanager
async def one_of_each_worker(office: Office) -> AsyncIterator[list[Plain]]:
    """Connections until both workers have one."""
    found: dict[str, Plain] = {}
    others: list[Plain] = []
    try:
        while len(found) < 2:
            client = await asyncio.to_thread(_connection, office)
            others.append(client)
            found.setdefault(await asyncio.to_thread(Plain.worker, client), client)
            assert len(others) < 100
        yield list(found.values())
    finally:
        for client in others:
            await asyncio.to_thread(client.close)


def _auth(client: Plain, password: str) -> int:
    answer = b64encode(f"\0cleo@acme.test\0{password}".encode()).decode()
    return client.docmd("AUTH", f"PLAIN {answer}")[0]


@pytest.mark.parametrize(
    ("change", "newest"),
    [("password", "linseed"), ("leaves", "")],
)
async def test_a_change_ends_sessions_and_remembered_logins_of_every_worker(
    office: Office, change: str, newest: str
) -> None:
    async with one_of_each_worker(office) as clients:
        for client in clients:
            assert await asyncio.to_thread(_auth, client, "sesame") == 235
            assert client.docmd("MAIL", "FROM:<cleo@acme.test>")[0] == 250
            assert client.docmd("RSET")[0] == 250
        if change == "password":
            await office.do(SetPassword("cleo@acme.test", await asyncio.to_thread(hash_password, newest)))
        else:
            await office.do(DeactivatePerson("cleo@acme.test"))

        for client in clients:

            def next_mail(client: Plain = client) -> bool:
                """Whether it is refused now; until the worker has seen the change it is begun and given up."""
                code, _ = client.docmd("MAIL", "FROM:<cleo@acme.test>")
                if code == 250:
                    client.docmd("RSET")
                assert code in (250, 421)
                return code == 421

            await until(next_mail, "the open session starts no further MAIL")
    async with one_of_each_worker(office) as clients:
        for client in clients:
            assert await asyncio.to_thread(_auth, client, "sesame") == 535
            if newest:
                assert await asyncio.to_thread(_auth, client, newest) == 235
