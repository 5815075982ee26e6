"""The web server over a real socket: metrics, health, and what an attacker gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.outbox import Finish, add_write, finish
from gateway.metrics.process import start_metrics
from gateway.routing.effects import Job
from gateway.store.store import Write
from gateway.supervisor.state import StateDirectory
from gateway.web import app, server
from gateway.web.server import WebServer
from tests.core.gateways import NOW, Running, plugin, running
from tests.databases import locked, postgresql_only, url_of
from tests.integration.waiting import until
from tests.postgresql import PostgresqlServer

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

ANNA = "anna@example.test"


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: str
    body: bytes

    @property
    def checks(self) -> dict[str, dict[str, str]]:
        return {check["check"]: check for check in json.loads(self.body)["checks"]}


@dataclass
class Web:
    """A web server beside a gateway in this process, which plays desk and worker in one."""

    gateway: Running
    port: int
    server: WebServer

    async def get(self, path: str, method: str = "GET", headers: str = "") -> Answer:
        return await self.say(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())

    async def say(self, request: bytes) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return Answer(int(head.split()[1]) if head else 0, head.decode(), body)


@asynccontextmanager
async def web(directory: Path, *plugins: str) -> AsyncIterator[Web]:
    async with running(directory, *plugins) as gateway:
        state = await StateDirectory.acquire(gateway.gateway.config, None)
        state.publish({}, {"generation": 3, "smtp_restarts": 2, "started": NOW})
        metrics = start_metrics(gateway.gateway)
        sock = socket.create_server(("127.0.0.1", 0))
        one = WebServer(gateway.gateway, sock)
        one.start()
        try:
            yield Web(gateway, sock.getsockname()[1], one)
        finally:
            await one.stop()
            metrics.cancel()
            await asyncio.wait({metrics})
            state.release()


@pytest.fixture(autouse=True)
def every_look_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_HELD_SECONDS", 0)


async def healthy(found: Web, *, well: bool) -> Answer:
    """`/healthz` as soon as it says so: a worker's board takes a moment."""

    async def looked() -> Answer | None:
        answer = await found.get("/healthz")
        return answer if (answer.status == 200) == well else None

    answer = await until(looked, f"the node is {'well' if well else 'unwell'}")
    assert answer is not None
    return answer


async def test_a_gateway_that_is_well(tmp_path: Path) -> None:
    async with web(tmp_path) as found:
        answer = await healthy(found, well=True)
        live = await found.get("/livez")
    assert {name: check["status"] for name, check in answer.checks.items()} == dict.fromkeys(
        ["store", "supervisor", "workers", "space", "next hops", "plugins", "outbox"], "ok"
    )
    assert json.loads(answer.body)["status"] == "ok"
    assert "no-store" in answer.headers
    assert (live.status, json.loads(live.body)) == (200, {"status": "ok"})


@postgresql_only
async def test_s4_health_says_that_the_database_is_away(
    tmp_path: Path, store_url: str, postgresql_server: PostgresqlServer
) -> None:
    async with web(tmp_path) as found:
        await healthy(found, well=True)
        await asyncio.to_thread(postgresql_server.crash)
        try:
            answer = await healthy(found, well=False)
        finally:
            await asyncio.to_thread(postgresql_server.resume)
        assert answer.checks["store"]["status"] == "failed"
        assert "is not available" in answer.checks["store"]["seen"]
        await healthy(found, well=True)


async def test_s2_health_and_metrics_answer_while_the_store_is_down(tmp_path: Path) -> None:
    async with web(tmp_path) as found:
        await healthy(found, well=True)
        with locked(url_of(tmp_path)):
            assert (await found.gateway.send(ANNA)).code == 451
            answer = await healthy(found, well=False)
            metrics = await found.get("/metrics")
            assert (await found.get("/livez")).status == 200
        assert answer.status == 503
        assert answer.checks["store"]["status"] == "failed"
        assert "locked" in answer.checks["store"]["seen"]
        assert "doctor" in answer.checks["store"]["do"]
        assert metrics.status == 200
        await healthy(found, well=True)


async def test_a_worker_that_stands_still_or_is_gone_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path) as found:
        await healthy(found, well=True)
        monkeypatch.setattr("gateway.metrics.node.FRESH_SECONDS", -1)
        answer = await healthy(found, well=False)
    assert answer.checks["workers"]["seen"] == "0 of 1 SMTP processes are alive"


FAILS = """
@hookimpl
def message_received(self, message):
    raise RuntimeError("broken")
"""


async def test_what_no_other_node_would_do_better_is_a_warning(tmp_path: Path) -> None:
    plugin(tmp_path, "fails", FAILS)
    async with web(tmp_path, "fails") as found:
        for _ in range(5):
            await found.gateway.send(ANNA)
        store = found.gateway.gateway.store
        await store.write([add_write("j1", Job("note", {}, "k", "crm"), NOW)])
        await store.write([Write(finish, Finish("j1", NOW, "no", dead=True))])
        await found.server._backlog.read()

        async def warned() -> Answer | None:
            answer = await healthy(found, well=True)
            return answer if answer.checks["plugins"]["status"] == "warning" else None

        answer = await until(warned, "the open breaker is told")
        assert answer is not None
    assert "fails.message_received" in answer.checks["plugins"]["seen"]
    assert answer.checks["outbox"]["seen"] == "1 dead letters"
    assert "stellwerk jobs" in answer.checks["outbox"]["do"]
    assert json.loads(answer.body)["status"] == "warning"


async def test_metrics_of_mail_supervisor_and_backlog(tmp_path: Path) -> None:
    async with web(tmp_path) as found:
        await found.gateway.send(ANNA)
        await found.gateway.written()
        await found.server._backlog.read()

        async def counted() -> str:
            text = await body(found)
            return text if 'stellwerk_messages_total{listener="mx",verdict="accepted"} 1.0' in text else ""

        text = await until(counted, "the message is counted")
    for line in (
        "stellwerk_generation 3.0",
        'stellwerk_process_restarts_total{role="smtp"} 2.0',
        'stellwerk_processes{role="smtp"} 1.0',
        'stellwerk_processes_wanted{role="smtp"} 1.0',
        "stellwerk_journal_open_entries 0.0",
        'stellwerk_outbox_jobs{state="dead"} 0.0',
        f"stellwerk_start_time_seconds {NOW!r}".replace("1800000000.0", "1.8e+09"),
    ):
        assert f"{line}\n" in text
    assert ANNA not in text
    assert "example.test" not in text


async def body(found: Web) -> str:
    return (await found.get("/metrics")).body.decode()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /", 404),
        ("GET /../../etc/passwd", 404),
        ("GET /metrics/../healthz", 404),
        ("GET /static/..%2f..%2fsecret", 404),
        ("POST /healthz", 405),
        ("DELETE /metrics", 405),
    ],
)
async def test_w6_there_is_nothing_else(tmp_path: Path, request_line: str, status: int) -> None:
    async with web(tmp_path) as found:
        method, path = request_line.split()
        answer = await found.get(path, method)
    assert answer.status == status
    assert b"root:" not in answer.body


async def test_w16_garbage_and_endless_headers_are_refused_and_mail_goes_on(tmp_path: Path) -> None:
    async with web(tmp_path) as found:
        assert (await found.say(b"\x16\x03\x01 EHLO x\r\n\r\n")).status == 400
        with contextlib.suppress(ConnectionResetError):  # closed with most of it unread
            assert (await found.say(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1_000_000)).status in {400, 431}
        assert (await found.gateway.send(ANNA)).code == 250
        await healthy(found, well=True)


async def test_w16_a_flood_of_idle_connections_is_bounded_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 10)
    async with web(tmp_path) as found:
        idle = [await asyncio.open_connection("127.0.0.1", found.port) for _ in range(30)]
        assert (await found.gateway.send(ANNA)).code == 250
        for reader, writer in idle:  # each is closed without a word
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        await healthy(found, well=True)


async def test_w16_a_server_that_fails_is_a_log_line_and_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_AGAIN_SECONDS", 0.01)
    async with web(tmp_path) as found:
        await healthy(found, well=True)
        first = found.server._server
        assert first is not None

        async def breaks(counter: int) -> bool:
            raise SystemExit(3)

        monkeypatch.setattr(first, "on_tick", breaks)
        await until(lambda: found.server._server is not first, "the server was started anew")
        await healthy(found, well=True)
        assert (await found.gateway.send(ANNA)).code == 250
    assert any("web server failed" in record.getMessage() for record in caplog.records)


async def test_a_bug_is_a_500_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path) as found:
        await healthy(found, well=True)

        def fails(*_: Any) -> Any:
            raise RuntimeError("canary-in-an-exception")

        monkeypatch.setattr("gateway.web.app.exposition", fails)
        answer = await found.get("/metrics")
        assert answer.status == 500
        assert b"canary" not in answer.body
        assert (await found.get("/livez")).status == 200


async def test_many_who_ask_at_once_cause_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_HELD_SECONDS", 60)
    async with web(tmp_path) as found:
        looks: list[int] = []
        look = found.gateway.gateway.store.write

        async def counting(*arguments: Any, **more: Any) -> Any:
            looks.append(1)
            return await look(*arguments, **more)

        monkeypatch.setattr(found.gateway.gateway.store, "write", counting)
        answers = await asyncio.gather(*(found.get("/healthz") for _ in range(20)))
    assert len({answer.body for answer in answers}) == 1
    assert len(looks) == 1
