"""The supervisor with the workers that ship: what refuses to start, a plugin that hangs, a new generation with mail."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.checking import check_spool
from gateway.errors import StartupError
from gateway.supervisor.state import running
from tests.core.cli.running import CONFIG, stellwerk
from tests.integration.gateway_process import STELLWERK, GatewayProcess
from tests.integration.waiting import until

# Each starts three interpreters with everything in them.
pytestmark = pytest.mark.slow

HANGS = """
import time
from gateway.api import Plugin, hookimpl

class Hangs(Plugin):
    @hookimpl
    def smtp_mail(self, sender):
        if sender is not None and sender.local == "hang":
            time.sleep(3600)
"""


def config_text(directory: Path, plugin: str = "", server: str = "") -> str:
    chain = f'plugins = ["{plugin}"]\nplugin_dir = "plugins"' if plugin else "plugins = []"
    return CONFIG.format(directory=directory).replace("plugins = []", chain).replace("[server]", f"[server]\n{server}")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """Not started yet."""
    process = GatewayProcess(tmp_path, config_text(tmp_path))
    yield process
    await process.stop()


def port_of(directory: Path) -> int:
    state = running(directory / "state")
    assert state is not None
    return int(state["listeners"]["mx"].rpartition(":")[2])


def gateway_signal(directory: Path, number: signal.Signals) -> None:
    state = running(directory / "state")
    assert state is not None
    os.kill(state["process"], number)


def send(directory: Path, sender: str) -> None:
    with smtplib.SMTP("127.0.0.1", port_of(directory), "client.example.test", timeout=60) as client:
        client.sendmail(sender, ["anna@example.test"], f"Subject: from {sender}\r\n\r\nx\r\n")


def stored(directory: Path) -> int:
    return sum(path.is_file() for path in (directory / "mail").rglob("*"))


async def test_g3_a_plugin_that_hangs_is_named_and_its_worker_replaced(gateway: GatewayProcess, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/hangs.py").write_text(HANGS)
    gateway.config.write_text(config_text(tmp_path, "hangs", "watchdog_seconds = 1"))
    await gateway.start()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await asyncio.to_thread(send, tmp_path, "hang@example.test")
    await until(lambda: "restarting it" in gateway.output, "the supervisor restarts the worker")
    (line,) = [line for line in gateway.output.splitlines() if "CRITICAL" in line]
    assert "the event loop stood still for 1 seconds in plugin hangs, hook smtp_mail" in line
    await asyncio.to_thread(send, tmp_path, "bo@example.test")
    assert stored(tmp_path) == 1


async def test_a_new_generation_takes_the_mail_over(gateway: GatewayProcess, tmp_path: Path) -> None:
    await gateway.start()
    await asyncio.to_thread(send, tmp_path, "bo@example.test")
    gateway.config.write_text(config_text(tmp_path, server="workers = 2"))
    gateway_signal(tmp_path, signal.SIGHUP)
    await until(lambda: "generation 1 has gone" in gateway.output, "the old generation has gone")
    await asyncio.to_thread(send, tmp_path, "bo@example.test")
    await asyncio.to_thread(send, tmp_path, "anna@example.test")
    assert stored(tmp_path) == 3


def spoil_revision(directory: Path) -> None:
    with sqlite3.connect(directory / "state/stellwerk.db") as connection:
        connection.execute("UPDATE alembic_version_core SET version_num = 'from_the_future'")
    connection.close()


def spoil_spool(directory: Path) -> None:
    (directory / "state/spool").rmdir()
    (directory / "state/spool").write_text("")


def spoil_database(directory: Path) -> None:
    (directory / "state/stellwerk.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (spoil_revision, "from_the_future"),
        (spoil_spool, "state/spool is there and no directory; move it away"),
        (spoil_database, "stellwerk.db"),
    ],
)
async def test_what_is_spoilt_is_one_line(
    gateway: GatewayProcess, tmp_path: Path, spoil: Callable[[Path], None], expected: str
) -> None:
    await gateway.start()
    await gateway.stop()
    spoil(tmp_path)
    ran = await stellwerk(gateway.config, "serve")
    assert ran.status == 1
    assert expected in ran.errors.splitlines()[-1]
    assert "Traceback" not in ran.errors
    assert ran.output == "", "nobody is told where it listens when it does not"


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        ("raise RuntimeError('no licence')", "bad.py: plugin bad cannot be imported: RuntimeError: no licence"),
        ("import no_such_module", "bad.py: plugin bad cannot be imported: ModuleNotFoundError: No module named"),
        (None, "there is no plugin 'bad'"),
    ],
)
async def test_g11_a_plugin_that_does_not_load(tmp_path: Path, plugin: str | None, expected: str) -> None:
    (tmp_path / "plugins").mkdir()
    if plugin:
        (tmp_path / "plugins/bad.py").write_text(plugin)
    config = tmp_path / "s.toml"
    config.write_text(config_text(tmp_path, "bad"))
    for command in (["serve"], ["config", "check"]):
        process = await asyncio.create_subprocess_exec(
            STELLWERK,
            *command,
            "--config",
            config,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert expected in errors.decode().splitlines()[-1]
        assert b"Traceback" not in errors


def test_a_missing_spool_and_one_that_takes_no_files(tmp_path: Path) -> None:
    with pytest.raises(
        StartupError, match=r"is missing \(No such file or directory\); `stellwerk serve` makes it when it starts"
    ):
        check_spool(tmp_path / "spool")
    with pytest.raises(StartupError, match=r"the spool /proc lies on a file system without O_TMPFILE \(.*\); put"):
        check_spool(Path("/proc"))
    check_spool(tmp_path)
    assert list(tmp_path.iterdir()) == []
