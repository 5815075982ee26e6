"""The client against servers that others wrote: Postfix and smtp-sink."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from gateway.delivery.transport import Outcome
from gateway.mail.envelope import Client
from tests.core.delivery.batches import batch, next_hop, soon
from tests.core.delivery.real_postfix import trusting_postfix
from tests.integration.ports import PortReservation


@pytest.mark.server("postfix")
async def test_postfix_takes_xforward_and_many_messages_in_one_session(caplog: pytest.LogCaptureFixture) -> None:
    clients = [
        Client("192.0.2.7", 2525, "mx.example.com", "mx.example.com", "ESMTP", "4XQ1", "REMOTE"),
        Client("2001:db8::7", helo="[IPv6:2001:db8::7]", protocol="SMTP"),
        Client("unix"),
        Client("192.0.2.8", 1, "n" * 64, "h e=l+l\to" * 9, "ESMTP", "i" * 250, "LOCAL"),
        None,
    ]
    async with trusting_postfix() as reinjection:
        async with next_hop(f"127.0.0.1:{reinjection.smtp_port}", connections=1) as hop:
            for client in clients:
                (result,) = await hop.deliver(batch(client=client), deadline=soon(60))
                assert result.outcome is Outcome.DONE, result
                assert result.dsn_passed_on
            assert await hop.probe() is None
        assert caplog.text == "", "none of it was refused"
        await reinjection.wait_until_delivered(len(clients), "anna")
        assert len(reinjection.log_lines(r"client=localhost.*orig_client=mx\.example\.com\[192\.0\.2\.7\]")) == 1
        assert len(reinjection.log_lines(r"orig_client=unknown\[2001:db8::7\]")) == 1
        assert len(reinjection.log_lines(r": client=.*\[127\.0\.0\.1\]$")) == 1, "mail of our own comes from us"


@pytest.fixture
def open_directory(tmp_path: Path) -> Path:
    """One that an unprivileged server may write to."""
    tmp_path.chmod(0o777)
    return tmp_path


def contents(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.iterdir()]


@pytest.mark.server("smtp-sink")
@pytest.mark.parametrize("options", [[], ["-p"], ["-e"], ["-L"]], ids=["as it is", "no pipelining", "no esmtp", "lmtp"])
async def test_smtp_sink_takes_what_is_sent(open_directory: Path, options: list[str]) -> None:
    """Another implementation, with its own idea of where data ends; it dumps each message into a file."""
    into = ["-d", f"{open_directory}/%M."]
    if os.geteuid() == 0:  # as which it will not run
        into = ["-u", "nobody", "-R", str(open_directory), "-d", "%M."]
    ports = PortReservation()
    port = ports.take()
    sink = await asyncio.create_subprocess_exec(
        *("smtp-sink", *into, *options, f"127.0.0.1:{port}", "10"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        protocol = "lmtp" if "-L" in options else "smtp"
        async with next_hop(f"127.0.0.1:{port}", protocol=protocol) as hop:
            while await hop.probe() is not None:
                assert sink.returncode is None
                await asyncio.sleep(0.02)
            for data in (b"x\r\n.\r\n..\r\n", b".\r\n" * 100_000, b"Subject: y\r\n\r\n"):
                (result,) = await hop.deliver(batch(data), deadline=soon())
                assert result.outcome is Outcome.DONE, result
                dumped = contents(open_directory)
                assert any(text.endswith(data.replace(b"\r\n", b"\n") + b"\n") for text in dumped)
            assert len(dumped) == 3
    finally:
        ports.release()
        if sink.returncode is None:
            sink.terminate()
        await sink.communicate()
