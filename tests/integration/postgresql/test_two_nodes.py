"""Two gateways with a state directory each and one PostgreSQL: what a retry meets that goes to the other one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.testing.sink import Answer, Sink
from tests.databases import postgresql_only, query
from tests.integration.gateway_process import GatewayProcess, StartGateway
from tests.integration.load import config_text
from tests.integration.ports import reserved_ports
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

pytestmark = [pytest.mark.slow, postgresql_only]

ANNA, BO = "anna@example.test", "bo@example.test"
HELLO = b"Subject: hello\r\nMessage-ID: <1@client.test>\r\n\r\nHello.\r\n"
BUSY = "451 4.3.0 still being delivered"


@dataclass
class Nodes:
    """Both are up. `ports` are their listeners'."""

    processes: tuple[GatewayProcess, GatewayProcess]
    ports: tuple[int, int]
    sink: Sink
    url: str

    async def send(self, node: int, *to: str) -> str:
        """The reply of that node to the same message as ever; seen by the client, as QUIT tells."""
        async with Client.connect(self.ports[node]) as client:
            reply = await client.send("s@client.test", to, HELLO)
            await client.say(b"QUIT\r\n", "221")
            return reply

    def steps(self) -> set[tuple[str, str]]:
        return {(row[0], row[1]) for row in query(self.url, "SELECT recipient, state FROM journal_step")}


@pytest.fixture
async def nodes(gateway_process: StartGateway, store_url: str, tmp_path: Path) -> AsyncIterator[Nodes]:
    with reserved_ports() as reserved:
        ports = reserved.take(), reserved.take()
        async with Sink() as sink:
            first, second = await asyncio.gather(*(
                gateway_process(config_text(store_url, tmp_path / f"state-{port}", port, sink))
                for port in ports
            ))  # fmt: skip
            yield Nodes((first, second), ports, sink, store_url)
            # The sink goes away first otherwise, and what is under way would wait for it.
            await asyncio.gather(first.stop(), second.stop())
            assert "Traceback" not in first.output + second.output


async def test_a_retry_at_the_other_node_while_the_first_attempt_runs_is_told_to_wait(nodes: Nodes) -> None:
    answered = asyncio.Event()
    nodes.sink.answer("DOT", Answer("250 2.0.0 at last", after=answered))
    first = asyncio.create_task(nodes.send(0, ANNA))
    await nodes.sink.reached("DOT")
    assert (await nodes.send(1, ANNA)).startswith(BUSY)
    answered.set()
    assert (await first).startswith("250")
    assert [message.to for message in nodes.sink.messages] == [(ANNA,)]


async def test_a_retry_at_the_other_node_runs_the_stored_plan_for_what_is_missing(nodes: Nodes) -> None:
    nodes.sink.answer("RCPT", "450 4.2.1 later", to=BO)
    assert (await nodes.send(0, ANNA, BO)).startswith("45")
    assert nodes.steps() == {(ANNA, "done"), (BO, "deferred")}
    assert (await nodes.send(1, ANNA, BO)).startswith("250")
    assert [message.to for message in nodes.sink.messages] == [(ANNA,), (BO,)]


async def test_what_a_killed_node_was_sending_is_free_when_it_comes_back(nodes: Nodes) -> None:
    nodes.sink.answer("DOT", Answer("250 2.0.0 too late", after=asyncio.Event()))
    lost = asyncio.create_task(nodes.send(0, ANNA))
    await nodes.sink.reached("DOT")
    await nodes.processes[0].kill()
    with pytest.raises(ConnectionError):
        await lost
    assert (await nodes.send(1, ANNA)).startswith(BUSY)  # nobody can know that it is dead
    await nodes.processes[0].start()
    await until(lambda: nodes.steps() == {(ANNA, "unknown")}, "its successor frees what it held")
    assert (await nodes.send(1, ANNA)).startswith("250")
    assert [message.to for message in nodes.sink.messages] == [(ANNA,)]
