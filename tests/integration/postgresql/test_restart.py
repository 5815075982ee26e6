"""S4: PostgreSQL restarts without mercy under load. Nothing is lost or doubled, and the gateway goes on by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.testing.sink import Sink
from tests.integration.gateway_process import StartGateway
from tests.integration.load import Ledger, check, config_text, copies_at, sending, summary, unknown_attempts
from tests.integration.ports import reserved_ports
from tests.integration.waiting import until
from tests.postgresql import PostgresqlServer

pytestmark = [pytest.mark.slow, pytest.mark.server("postgresql")]

RESTARTS = 5
ACKNOWLEDGED_BETWEEN = 150


async def acknowledged(ledger: Ledger, more: int) -> None:
    """Wait until so many more messages are."""
    wanted = len(ledger.acknowledged) + more
    await until(lambda: len(ledger.acknowledged) >= wanted, f"{wanted} messages are acknowledged")


async def restart_under_load(server: PostgresqlServer, ledger: Ledger) -> None:
    """One restart that hit a message between its final dot and its reply; repeated until it did."""
    while True:
        await acknowledged(ledger, ACKNOWLEDGED_BETWEEN)
        await until(lambda: bool(ledger.awaiting), "one awaits its reply")
        told_to_wait = len(ledger.refusals)
        await asyncio.to_thread(server.restart)
        if len(ledger.refusals) > told_to_wait:
            return


async def test_s4_restarts_of_the_database_lose_nothing_and_double_nothing(
    gateway_process: StartGateway, durable_postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    ledger = Ledger()
    with durable_postgresql.database() as url, reserved_ports() as ports:
        async with Sink() as sink:
            port = ports.take()
            process = await gateway_process(config_text(url, tmp_path / "state", port, sink, workers=2))
            workers = process.workers()
            async with sending(port, ledger):
                for _ in range(RESTARTS):
                    await restart_under_load(durable_postgresql, ledger)
                await acknowledged(ledger, ACKNOWLEDGED_BETWEEN)
            assert process.workers() == workers, "a process did not survive"
            await process.stop()
            copies = copies_at(sink)
        doubts = unknown_attempts(url)
    print(summary(ledger, copies, doubts))
    assert len(ledger.acknowledged) >= RESTARTS * ACKNOWLEDGED_BETWEEN
    check(ledger, copies, doubts)
    # Nothing but the database was away, so no outcome of a delivery was ever in doubt.
    assert set(copies.values()) == {1}
    assert "Traceback" not in process.output
    assert "is not available" in process.output
    assert "the store commits again" in process.output
