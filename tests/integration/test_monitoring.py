"""The whole gateway watched: numbers of all processes, health while things break, and no secret anywhere (C6)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.metrics.families import FAMILIES
from gateway.supervisor.state import running
from tests.integration.gateway_process import STELLWERK, GatewayProcess
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

# Each starts four interpreters.
pytestmark = pytest.mark.slow

CONFIG = """\
plugins = [{plugins}]
plugin_dir = "plugins"
[server]
hostname = "gw.example.test"
state_dir = "state"
workers = 2
[store]
url = "sqlite:///{directory}/state/stellwerk.db"
auto_upgrade = true
busy_timeout_seconds = 0.5
[log]
level = "debug"
format = "json"
[web]
address = "{web}"
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
[hosted."example.test"]
mailboxes = ["anna"]
"""
TAKEN = "From: a@b.test\r\nSubject: canary-subject\r\n\r\ncanary-body {number}\r\n.\r\n"


class Watched:
    """A gateway with a web server, and what it says there."""

    def __init__(self, directory: Path, **more: str) -> None:
        self.directory = directory
        self._numbers = itertools.count()
        values = {"plugins": "", "web": "127.0.0.1:0", "directory": str(directory), **more}
        self.process = GatewayProcess(directory, CONFIG.format(**values))

    @property
    def state(self) -> dict[str, Any]:
        found = running(self.directory / "state")
        assert found is not None
        return found

    def port(self, name: str) -> int:
        return int(self.state["listeners"][name].rpartition(":")[2])

    async def get(self, path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port("web"))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(head.split()[1]), body.decode()

    async def healthy(self, *, well: bool) -> dict[str, dict[str, str]]:
        """The checks as soon as the node is well, or unwell."""

        async def looked() -> str | None:
            status, body = await self.get("/healthz")
            return body if (status == 200) == well else None

        body = await until(looked, f"the node is {'well' if well else 'unwell'}")
        assert body is not None
        return {check["check"]: check for check in json.loads(body)["checks"]}

    async def value(self, series: str) -> float:
        _, body = await self.get("/metrics")
        found = [line for line in body.splitlines() if line.startswith(f"{series} ")]
        return float(found[0].split()[-1]) if found else 0.0

    async def counts(self, series: str, wanted: float) -> None:
        async def reached() -> bool:
            return await self.value(series) == wanted

        await until(reached, f"{series} is {wanted}")

    async def mail(self, to: str = "anna@example.test") -> str:
        """Send a message; the last reply."""
        async with Client.connect(self.port("mx")) as client:
            await client.say(b"MAIL FROM:<a@b.test>\r\n", "250")
            refused = await client.say(f"RCPT TO:<{to}>\r\n".encode())
            if not refused.startswith("250"):
                return refused
            await client.say(b"DATA\r\n", "354")
            reply = await client.say(TAKEN.format(number=next(self._numbers)).encode())
            await client.say(b"QUIT\r\n", "221")
            return reply

    def lines(self) -> list[dict[str, Any]]:
        """The log, every line of which must be JSON but those that are said to the person at the terminal."""
        return [json.loads(line) for line in self.process.output.splitlines() if line.startswith("{")]


async def test_the_numbers_of_all_processes_through_deaths_and_reloads(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    await watched.process.start()
    try:
        await watched.healthy(well=True)
        for _ in range(4):
            assert (await watched.mail()).startswith("250")
        assert (await watched.mail("nobody@example.test")).startswith("550 5.1.1")
        taken = 'stellwerk_messages_total{listener="mx",verdict="accepted"}'
        await watched.counts(taken, 4)
        await watched.counts('stellwerk_recipients_total{listener="mx",verdict="refused"}', 1)
        await watched.counts('stellwerk_processes{role="smtp"}', 2)

        before = watched.lines()
        workers = [line for line in before if line.get("message", "").startswith("smtp-")]
        os.kill(int(workers[0]["message"].split()[3].rstrip(",")), signal.SIGKILL)
        await watched.counts('stellwerk_process_restarts_total{role="smtp"}', 1)
        await watched.counts('stellwerk_processes{role="smtp"}', 2)
        await watched.counts(taken, 4)

        os.kill(watched.state["process"], signal.SIGHUP)
        await watched.counts("stellwerk_generation", 2)
        await watched.healthy(well=True)
        assert (await watched.mail()).startswith("250")
        await watched.counts(taken, 5)

        _, body = await watched.get("/metrics")
        names = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE ")}
        assert {name.removesuffix("_total") for name in names} == set(FAMILIES)
        doctor = json.loads(await watched.process.command("doctor", "--json"))
        assert any(one["check"] == "web" and one["status"] == "ok" for one in doctor)
    finally:
        await watched.process.stop()


async def test_s2_a_locked_store_is_told_and_mail_is_deferred_then_all_is_well(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    await watched.process.start()
    try:
        await watched.healthy(well=True)
        lock = sqlite3.connect(tmp_path / "state/stellwerk.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        reply = await watched.mail()
        checks = await watched.healthy(well=False)
        assert (await watched.get("/livez"))[0] == 200
        lock.close()
        assert reply.startswith("451 4.3.0")
        assert checks["store"]["status"] == "failed"
        assert checks["workers"]["status"] == "ok"
        await watched.healthy(well=True)
        assert (await watched.mail()).startswith("250")
    finally:
        await watched.process.stop()


async def test_c5_a_port_in_use_is_one_line_and_no_half_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        watched = Watched(tmp_path, web=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(AssertionError, match="ended with 1") as ended:
            await watched.process.start()
    told = [line for line in str(ended.value).splitlines() if "web.address" in line]
    assert len(told) == 1
    assert "is in use by" in told[0]
    assert "set another address" in told[0]
    assert "Traceback" not in str(ended.value)


LEAKY = """
from gateway.api import Plugin, hookimpl

class Leaky(Plugin):
    @hookimpl
    def message_received(self, message):
        raise RuntimeError("it broke")
"""


async def test_c6_no_secret_and_no_content_stands_in_log_trace_metrics_or_title(tmp_path: Path) -> None:
    secret = b"canary-in-the-secret-file-0123456789abcdef"
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/secret").write_bytes(secret)
    (tmp_path / "state/secret").chmod(0o600)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/leaky.py").write_text(LEAKY)
    password = base64.b64encode(b"\0canary-user\0canary-password").decode()
    watched = Watched(tmp_path, plugins='"leaky"')
    await watched.process.start()
    try:
        assert (await watched.mail()).startswith("451 4.3.0")
        async with Client.connect(watched.port("mx")) as client:
            for line in (f"AUTH PLAIN {password}", "AUTH LOGIN", password, "Y2FuYXJ5LXBhc3N3b3Jk", f"XAUTH {password}"):
                assert (await client.say(f"{line}\r\n".encode()))[0] == "5"
            refused = await client.say(b"MAIL FROM:<a b>\r\n")
        await watched.counts('stellwerk_messages_total{listener="mx",verdict="deferred"}', 1)
        told = refused.rpartition("[")[2].rstrip("]")

        def logged() -> list[dict[str, Any]]:
            return [line for line in watched.lines() if line.get("id") == told and "command" in line]

        commands = {line["command"] for line in await until(logged, "the refused commands are in the log")}
        assert commands >= {"AUTH", "MAIL FROM:<a b>"}
        stories = await watched.process.command("trace", "--last", "10", "--json")
        _, metrics = await watched.get("/metrics")
        _, health = await watched.get("/healthz")
        titles = b"".join(
            (Path("/proc") / str(pid) / name).read_bytes()
            for pid in [watched.state["process"], *watched.process.workers()]
            for name in ("cmdline", "comm")
        ).decode()
    finally:
        await watched.process.stop()
    everything = f"{watched.process.output}\n{stories}\n{metrics}\n{health}\n{titles}"
    for canary in ("canary", password, "Y2FuYXJ5", secret.decode()):
        assert canary not in everything
    assert "it broke" in everything


async def test_c6_the_password_of_the_database_is_never_shown(tmp_path: Path) -> None:
    """Nobody listens there: every error that a wrong or absent database can cause, at start and in the commands."""
    watched = Watched(tmp_path)
    text = watched.process.config.read_text()
    sqlite = f"sqlite:///{tmp_path}/state/stellwerk.db"
    url = "postgresql://gateway:canary-password@127.0.0.1:1/mail"
    assert sqlite in text
    watched.process.config.write_text(text.replace(sqlite, url))
    said = ""
    with pytest.raises(AssertionError, match="ended with") as ended:
        await watched.process.start()
    said += str(ended.value)
    for command in (["doctor"], ["jobs"], ["trace", "--last", "1"], ["db", "status"], ["config", "check"]):
        try:
            said += await watched.process.command(*command)
        except AssertionError as error:
            said += str(error)
    assert "canary" not in said


async def test_a_standard_error_that_nobody_reads_stops_no_mail(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        STELLWERK,
        "serve",
        "--config",
        watched.process.config,
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=writing,
    )
    try:
        os.set_blocking(writing, False)
        try:
            while True:  # full before the first line, and full it stays
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        await until(lambda: running(tmp_path / "state"), "the gateway listens")

        async def well() -> bool:
            try:
                return (await watched.get("/healthz"))[0] == 200
            except OSError:
                return False

        await until(well, "the gateway serves")
        for _ in range(20):
            assert (await watched.mail()).startswith("250")
    finally:
        os.close(reading)
        os.close(writing)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
