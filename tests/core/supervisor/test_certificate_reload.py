"""Certificates of a running gateway: a new generation shows new ones, a bad one leaves the old generation serving."""

from __future__ import annotations

import os
import signal
import smtplib
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.certificates import NAME, authority
from tests.core.as_nobody import as_nobody, let_everybody_into
from tests.core.supervisor.test_real_worker import config_text, gateway_signal, port_of
from tests.integration.gateway_process import GatewayProcess
from tests.integration.waiting import until

# Each starts three interpreters with everything in them.
pytestmark = pytest.mark.slow


def with_tls(directory: Path, server: str = "") -> str:
    settings = f'tls = "required"\ntls_certificate = "{directory}/gw.pem"\ntls_key = "{directory}/gw.key"\n'
    return config_text(directory, server=server).replace('name = "mx"\n', f'name = "mx"\n{settings}', 1)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """Not started yet; its certificate is good."""
    authority().write(tmp_path)
    process = GatewayProcess(tmp_path, with_tls(tmp_path))
    yield process
    await process.stop()


def shown(directory: Path) -> bytes:
    """The certificate that a new connection gets to see, in DER. One that an old generation took comes again."""
    try:
        client = smtplib.SMTP("127.0.0.1", port_of(directory), timeout=30)
    except smtplib.SMTPConnectError as error:
        if error.smtp_code != 421:
            raise
        return shown(directory)
    with client:
        client._host = NAME  # type: ignore[attr-defined]
        client.starttls(context=authority().client())
        client.ehlo()
        certificate: bytes = client.sock.getpeercert(True)  # type: ignore[union-attr]
        return certificate


def open_to_everybody(directory: Path) -> str:
    (directory / "gw.key").chmod(0o644)
    return "every account of this machine may read the key"


def expired(directory: Path) -> str:
    authority().write(directory, leaf=authority().issue(days=-1, since_days=40))
    return "expired on "


def another_key(directory: Path) -> str:
    (directory / "gw.key").write_bytes(authority().issue().private_key_pem.bytes())
    return "the key does not belong to the certificate"


async def test_g13_c5_a_new_certificate_at_sighup_and_a_bad_one(gateway: GatewayProcess, tmp_path: Path) -> None:
    await gateway.start()
    first = shown(tmp_path)
    assert shown(tmp_path) == first
    authority().write(tmp_path)
    gateway_signal(tmp_path, signal.SIGHUP)
    await until(lambda: "generation 2 took over" in gateway.output, "the new generation")
    second = shown(tmp_path)
    assert second != first
    for spoil in (another_key, expired, open_to_everybody):
        said = spoil(tmp_path)
        gateway_signal(tmp_path, signal.SIGHUP)
        await until(partial(_has_said, gateway, f": {said}"), said)
        assert shown(tmp_path) == second
    assert "the old one serves on" in gateway.output
    # A worker that is replaced meanwhile serves what its generation began with.
    gateway.kill_workers()
    await until(lambda: _greets(tmp_path), "the replaced worker")
    assert shown(tmp_path) == second


def _open_files(process: int) -> dict[str, str]:
    """What each descriptor of a process leads to."""
    return {file.name: str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()}


def _has_said(gateway: GatewayProcess, text: str) -> bool:
    return text in gateway.output


def _greets(directory: Path) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port_of(directory), timeout=30):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("spoil", [open_to_everybody, expired, another_key])
async def test_c5_it_does_not_start_half(gateway: GatewayProcess, tmp_path: Path, spoil: object) -> None:
    assert callable(spoil)
    said = spoil(tmp_path)
    with pytest.raises(AssertionError, match=r"ended with 1:(?s:.*)" + said):
        await gateway.start()
    assert "Traceback" not in gateway.output
    assert "ready" not in gateway.output


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give it up")
async def test_a_key_of_root_serves_workers_without_rights(gateway: GatewayProcess, tmp_path: Path) -> None:
    if as_nobody(lambda: str(os.access(sys.executable, os.X_OK))) != "True":
        pytest.skip(f"user nobody cannot run {sys.executable}")
    gateway.config.write_text(with_tls(tmp_path, 'user = "nobody"'))
    let_everybody_into(tmp_path)
    assert (tmp_path / "gw.key").stat().st_mode & 0o077 == 0
    await gateway.start()
    first = shown(tmp_path)
    authority().write(tmp_path)
    gateway_signal(tmp_path, signal.SIGHUP)
    await until(lambda: "generation 2 took over" in gateway.output, "the new generation")
    assert shown(tmp_path) != first


async def test_nobody_finds_the_key_among_open_files(gateway: GatewayProcess, tmp_path: Path) -> None:
    await gateway.start()
    shown(tmp_path)
    workers = gateway.workers()
    assert len(workers) == 2  # one that speaks TLS, and the desk
    for worker in workers:
        found = _open_files(worker)
        assert found["0"] == os.devnull
        assert not [name for name in found.values() if "memfd" in name]
