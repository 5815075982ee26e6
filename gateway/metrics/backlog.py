"""What waits in journal and outbox, read from the store now and then. No SQL here, and nothing is changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gateway.delivery.journal_counts import open_work
from gateway.domains.showing import domains_by_state
from gateway.errors import StoreUnavailable
from gateway.jobs.listing import counts
from gateway.metrics.snapshot import Snapshot
from gateway.store.store import Store

log = logging.getLogger("stellwerk.metrics")

READ_SECONDS = 15.0
_SHARE = 0.02
"""Of the time, at most, that goes into reading: a large journal is looked at less often."""


class Backlog:
    """The numbers of the store as they were last read. For the desk."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._last: Snapshot | None = None
        self._oldest: list[tuple[str, float | None]] = []
        self.dead_letters = 0

    async def run(self) -> None:
        """Read until cancelled. A store that is down leaves the last numbers, and their age tells."""
        while True:
            took = await self.read()
            await asyncio.sleep(max(READ_SECONDS, took / _SHARE))

    async def read(self) -> float:
        """Read once; the seconds it took."""
        began = time.perf_counter()
        try:
            work = await open_work(self._store)
            jobs = await counts(self._store)
            domains = await domains_by_state(self._store)
        except (StoreUnavailable, SQLAlchemyError) as error:
            log.debug("journal and outbox could not be read: %s", error)
            return 0.0
        took = time.perf_counter() - began
        found = Snapshot()
        found.put("stellwerk_journal_open_entries", (), work.entries)
        found.put("stellwerk_journal_deferred_steps", (), work.deferred)
        found.put("stellwerk_journal_unknown_steps", (), work.unknown)
        found.put("stellwerk_outbox_jobs", ("due",), jobs.due)
        found.put("stellwerk_outbox_jobs", ("dead",), jobs.dead)
        found.put("stellwerk_outbox_jobs", ("held",), jobs.held)
        found.put("stellwerk_store_read_seconds", (), took)
        found.put("stellwerk_store_read_timestamp_seconds", (), self._clock())
        for state, number in domains.items():
            found.put("stellwerk_domains", (state,), number)
        self.dead_letters = jobs.dead
        self._oldest = [
            ("stellwerk_journal_oldest_open_seconds", work.oldest),
            ("stellwerk_outbox_oldest_due_seconds", jobs.oldest_due),
            ("stellwerk_outbox_oldest_held_seconds", jobs.oldest_held),
        ]
        self._last = found
        return took

    def put(self, snapshot: Snapshot) -> None:
        """Add what is known; nothing before the first reading."""
        if self._last is None:
            return
        snapshot.add(self._last, gauges=True)
        now = self._clock()
        for name, oldest in self._oldest:
            snapshot.put(name, (), 0.0 if oldest is None else max(now - oldest, 0.0))
