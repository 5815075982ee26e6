"""TLS as programs speak it that nobody here wrote: openssl and swaks, and haproxy in front."""

from __future__ import annotations

import asyncio
import os
import smtplib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificates import NAME, authority
from tests.integration.gateway_process import GatewayProcess, StartGateway, gateway_process
from tests.integration.ports import PortReservation
from tests.integration.waiting import until

__all__ = ["gateway_process"]

# Each starts three interpreters with everything in them.
pytestmark = pytest.mark.slow

CONFIG = """\
plugins = []
[server]
hostname = "gw.example.test"
state_dir = "state"
[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true
[next_hop.mail]
kind = "maildir"
path = "mail/{domain}/{local}"
[hosted."example.test"]
mailboxes = ["anna"]
"""


@pytest.fixture
def ports() -> Iterator[PortReservation]:
    reservation = PortReservation()
    yield reservation
    reservation.release()


def listener(name: str, port: int, *settings: str) -> str:
    return "\n".join(["", "[[listener]]", f'name = "{name}"', f'address = "127.0.0.1:{port}"', *settings, ""])


def with_certificate(directory: Path, tls: str, name: str = "gw") -> list[str]:
    certificate, key = authority().write(directory, name)
    return [f'tls = "{tls}"', f'tls_certificate = "{certificate}"', f'tls_key = "{key}"']


async def run(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Exit status and all that was printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode or 0, printed.decode(errors="replace")


async def s_client(port: int, *options: str, stdin: bytes = b"QUIT\r\n") -> str:
    """What `openssl s_client` says."""
    given = ["-connect", f"127.0.0.1:{port}", "-CAfile", os.environ["TEST_CA"], "-crlf", *options]
    return (await run("openssl", "s_client", *given, stdin=stdin))[1]


@pytest.fixture
def authority_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "authority.pem"
    path.write_text(authority().pem)
    monkeypatch.setenv("TEST_CA", str(path))
    return path


@pytest.mark.server("openssl", "swaks")
async def test_openssl_and_swaks(
    gateway_process: StartGateway, tmp_path: Path, ports: PortReservation, authority_file: Path
) -> None:
    mx, smtps, closed = ports.take(), ports.take(), ports.take()
    text = CONFIG + listener("mx", mx, *with_certificate(tmp_path, "required"))
    text += listener("smtps", smtps, *with_certificate(tmp_path, "implicit", "smtps"), 'tls_min_version = "1.3"')
    client_ca = f'tls_client_ca = "{authority_file}"'
    text += listener("closed", closed, *with_certificate(tmp_path, "implicit", "closed"), client_ca)
    gateway = await gateway_process(text)

    said = await s_client(mx, "-starttls", "smtp", "-servername", NAME, "-verify_hostname", NAME)
    assert "Verify return code: 0 (ok)" in said
    assert "TLSv1.3" in said
    assert "Verify return code: 0 (ok)" in await s_client(smtps, "-noservername")
    assert "TLSv1.2" in await s_client(mx, "-starttls", "smtp", "-tls1_2")
    for port, options in ((mx, ("-starttls", "smtp", "-tls1_1")), (mx, ("-starttls", "smtp", "-tls1"))):
        assert "Cipher is (NONE)" in await s_client(port, *options, "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in await s_client(smtps, "-tls1_2")

    swaks = ["swaks", "--server", "127.0.0.1", "--from", "a@sender.test", "--to", "anna@example.test"]
    verified = ["--tls-verify", "--tls-ca-path", str(authority_file), "--tls-sni", NAME]
    status, told = await run(*swaks, "--port", str(mx), "--tls", *verified)
    assert status == 0, told
    assert "<~  250 2.0.0" in told
    status, told = await run(*swaks, "--port", str(smtps), "--tls-on-connect", *verified)
    assert status == 0, told
    status, told = await run(*swaks, "--port", str(mx))
    assert "530 5.7.0 Must issue a STARTTLS command first" in told
    status, told = await run(*swaks, "--port", str(closed), "--tls-on-connect")
    assert status != 0, told
    certificate, key = authority().write(tmp_path, "client", authority().issue("client.example.test"))
    status, told = await run(
        *swaks, "--port", str(closed), "--tls-on-connect", "--tls-cert", str(certificate), "--tls-key", str(key)
    )
    assert status == 0, told

    received = [(message, _received(message)) for message in await _mail(gateway, tmp_path, 3)]
    assert all("with ESMTPS (TLSv1.3 TLS_" in line for _, line in received), received
    (transaction, *_) = [line.partition(" id ")[2].partition(";")[0].split()[0] for _, line in received]
    session = (await gateway.trace(transaction))["session"]
    assert (session["tls"], session["cipher"][:4]) == ("TLSv1.3", "TLS_")


def _received(message: Path) -> str:
    header = message.read_text().replace("\n\t", " ").splitlines()
    return next(line for line in header if line.startswith("Received:"))


async def _mail(gateway: GatewayProcess, directory: Path, count: int) -> list[Path]:
    folder = gateway.config.parent / "mail/example.test/anna/new"
    return await until(lambda: found if len(found := sorted(folder.glob("*"))) >= count else [], "the mail")


HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""


@asynccontextmanager
async def haproxy(directory: Path, routes: dict[int, str]) -> AsyncIterator[None]:
    """A private haproxy: front port to `server` line."""
    text = HAPROXY + "".join(
        f"listen route{port}\n    bind 127.0.0.1:{port}\n    server gateway {server}\n"
        for port, server in routes.items()
    )
    config = directory / "haproxy.cfg"
    config.write_text(text)
    with (directory / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(config), stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def greeted(port: int, source: str) -> smtplib.SMTP:
    """A connection from `source` that has been greeted."""

    def connected() -> list[smtplib.SMTP]:
        try:
            return [smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=(source, 0))]
        except (OSError, smtplib.SMTPException):
            return []

    return (await until(connected, f"port {port} greets"))[0]


@pytest.mark.server("haproxy")
async def test_p51_haproxy(gateway_process: StartGateway, tmp_path: Path, ports: PortReservation) -> None:
    plain, implicit, *front = [ports.take() for _ in range(6)]
    behind = ["proxy_protocol = true", 'trusted_proxies = ["127.0.0.1"]', 'trusted_peers = ["127.0.0.1"]']
    text = CONFIG + listener("mx", plain, *behind, *with_certificate(tmp_path, "starttls"))
    text += listener("smtps", implicit, *behind, *with_certificate(tmp_path, "implicit", "smtps"))
    gateway = await gateway_process(text)
    routes = {
        front[0]: f"127.0.0.1:{plain} send-proxy",
        front[1]: f"127.0.0.1:{plain} send-proxy-v2 check-send-proxy check inter 200ms",
        front[2]: f"127.0.0.1:{implicit} send-proxy-v2-ssl-cn",
        front[3]: f"127.0.0.1:{plain}",  # somebody forgot it
    }
    async with haproxy(tmp_path, routes):
        for number, port in enumerate(front[:2], start=2):
            with await greeted(port, f"127.0.0.{number}") as client:
                _, offered = client.ehlo()
                assert b"XFORWARD" not in offered  # the client is a stranger, though the balancer is none
                if number == 3:
                    client._host = NAME  # type: ignore[attr-defined]
                    client.starttls(context=authority().client())
                client.sendmail("a@sender.test", "anna@example.test", f"Subject: {number}\r\n\r\nx\r\n")
        with await _encrypted(front[2], "127.0.0.4") as client:
            client.sendmail("a@sender.test", "anna@example.test", "Subject: 4\r\n\r\nx\r\n")
        with pytest.raises((OSError, smtplib.SMTPException)):
            smtplib.SMTP("127.0.0.1", front[3], timeout=30)
    received = [_received(message) for message in await _mail(gateway, tmp_path, 3)]
    for number, protocol in ((2, "ESMTP id"), (3, "ESMTPS (TLSv1.3"), (4, "ESMTPS (TLSv1.3")):
        assert any(f"[127.0.0.{number}]" in line and f"with {protocol}" in line for line in received), received
    await until(lambda: "no PROXY header" in gateway.output, "the log says why it was closed")


async def _encrypted(port: int, source: str) -> smtplib.SMTP:
    context = authority().client()
    context.check_hostname = False
    return await asyncio.to_thread(
        smtplib.SMTP_SSL, "127.0.0.1", port, timeout=30, source_address=(source, 0), context=context
    )
