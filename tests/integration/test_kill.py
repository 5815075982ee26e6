"""SIGKILL under load: nothing acknowledged is lost, and a duplicate is only where the journal says `unknown`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gateway.testing.sink import Sink
from tests.databases import is_sqlite
from tests.integration.gateway_process import GatewayProcess, StartGateway, gateway_process
from tests.integration.load import Ledger, check, config_text, copies_at, sending, summary, unknown_attempts
from tests.integration.ports import reserved_ports
from tests.integration.waiting import until

__all__ = ["gateway_process"]

ROUNDS = 20
ROUNDS_ON_POSTGRESQL = 4
"""The kills are the same, and so is all that follows but for the database."""
ACKNOWLEDGED_PER_ROUND = 100


class Killer:
    """Kills the whole gateway or only its SMTP worker, in turn, at the moment the issue of this test asks for."""

    def __init__(self, process: GatewayProcess, ledger: Ledger) -> None:
        self._process = process
        self._ledger = ledger

    async def round(self, number: int) -> None:
        """One kill that hit at least one transaction between its final dot and its reply; repeated until it did."""
        while True:
            before = len(self._ledger.acknowledged)

            def is_ripe(before: int = before) -> bool:
                ledger = self._ledger
                return len(ledger.acknowledged) - before >= ACKNOWLEDGED_PER_ROUND and bool(ledger.awaiting)

            await until(is_ripe, f"round {number}: {ACKNOWLEDGED_PER_ROUND} acknowledged and one awaiting its reply")
            broken = self._ledger.broken_while_awaiting
            if number % 2:
                self._process.kill_workers()
            else:
                await self._process.kill()
                await self._process.start()
            await until(partial(self._noticed, broken), "the clients noticed")
            if self._ledger.broken_while_awaiting > broken:
                return

    def _noticed(self, broken: int) -> bool:
        return not self._ledger.awaiting or self._ledger.broken_while_awaiting > broken


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_and_every_duplicate_is_explained(
    gateway_process: StartGateway, tmp_path: Path, store_url: str
) -> None:
    rounds = ROUNDS if is_sqlite(store_url) else ROUNDS_ON_POSTGRESQL
    ledger = Ledger()
    async with Sink() as sink:
        with reserved_ports() as ports:
            port = ports.take()
            process = await gateway_process(config_text(store_url, tmp_path / "state", port, sink))
            async with sending(port, ledger):
                killer = Killer(process, ledger)
                for number in range(rounds):
                    await killer.round(number)
            await process.stop()
        copies = copies_at(sink)
    doubts = unknown_attempts(store_url)
    print(summary(ledger, copies, doubts))
    assert len(ledger.acknowledged) >= rounds * ACKNOWLEDGED_PER_ROUND
    check(ledger, copies, doubts)
