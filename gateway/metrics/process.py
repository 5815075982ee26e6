"""Gathers the numbers of this process once a second from where they are counted, and puts them on its board."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from gateway.app import Gateway
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.delivery.transport import Outcome
from gateway.logs import dropped_lines
from gateway.metrics.board import Board, directory
from gateway.metrics.families import LAG_BUCKETS
from gateway.metrics.snapshot import Histogram, Snapshot

log = logging.getLogger("stellwerk.metrics")

EVERY_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Listening(Protocol):
    """A listener at work, as far as it is counted here."""

    def put(self, snapshot: Snapshot) -> None:
        """Add its numbers."""


class ProcessMetrics:
    """The numbers of one worker or desk. `gather` is for the event loop's thread."""

    def __init__(self, gateway: Gateway, listeners: Iterable[Listening] = ()) -> None:
        self._gateway = gateway
        self._listeners = list(listeners)
        self._lag = Histogram(LAG_BUCKETS)
        self._board: Board | None = None
        self._told_trouble = False

    async def run(self) -> None:
        """Gather and write until cancelled; the last numbers are written then too. Never raises for the disk."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._write()
                due = loop.time() + EVERY_SECONDS
                await asyncio.sleep(EVERY_SECONDS)
                self._lag.observe(max(loop.time() - due, 0.0))
        finally:
            self._post(self.gather())
            if self._board is not None:
                self._board.close()

    async def _write(self) -> None:
        await asyncio.to_thread(self._post, self.gather())

    def _post(self, snapshot: Snapshot) -> None:
        try:
            if self._board is None:
                self._board = Board(directory(self._gateway.config), self._gateway.identity.instance)
            self._board.write(snapshot)
            self._told_trouble = False
        except OSError as error:
            if not self._told_trouble:
                log.warning("the numbers of this process cannot be written to %s: %s", error.filename or "", error)
            self._told_trouble = True

    def gather(self) -> Snapshot:
        """Everything that this process has counted."""
        gateway = self._gateway
        snapshot = Snapshot(gateway.identity.instance, gateway.role, time.monotonic())
        gateway.tracer.counts.put(snapshot)
        for listener in self._listeners:
            listener.put(snapshot)
        self._plugins(snapshot)
        self._next_hops(snapshot)
        self._store(snapshot)
        self._dns(snapshot)
        for outcome, number in gateway.job_counts.items():
            snapshot.put("stellwerk_jobs_run", (outcome,), number)
        for outcome, number in gateway.domains.counts.items():
            snapshot.put("stellwerk_domain_looks", (outcome,), number)
        snapshot.put("stellwerk_log_lines_dropped", (snapshot.role,), dropped_lines())
        snapshot.put("stellwerk_event_loop_lag_seconds", (snapshot.role,), *self._lag.numbers)
        _usage(snapshot)
        return snapshot

    def _plugins(self, snapshot: Snapshot) -> None:
        for call in self._gateway.plugins.runner.calls():
            labels = (call.plugin, call.hook)
            snapshot.put("stellwerk_plugin_calls", labels, call.made)
            snapshot.put("stellwerk_plugin_failures", labels, call.failed)
            snapshot.put("stellwerk_plugin_seconds", labels, call.seconds)
            snapshot.put("stellwerk_plugin_breaker_open", labels, call.policy.breaker.is_open)

    def _next_hops(self, snapshot: Snapshot) -> None:
        for name, hop in self._gateway.next_hops.items():
            busy, idle, down = hop.connection_state() if isinstance(hop, SmtpNextHop) else (0, 0, False)
            snapshot.put("stellwerk_next_hop_connections", (name, "busy"), busy)
            snapshot.put("stellwerk_next_hop_connections", (name, "idle"), idle)
            snapshot.put("stellwerk_next_hop_down", (name,), down)
        for name, counts in self._gateway.executor.counts.items():
            snapshot.put("stellwerk_next_hop_transaction_seconds", (name,), counts.seconds, counts.transactions)
            for outcome in Outcome:
                snapshot.put("stellwerk_next_hop_copies", (name, outcome.value), counts.outcomes[outcome])

    def _store(self, snapshot: Snapshot) -> None:
        counters = self._gateway.store.counters
        role = (snapshot.role,)
        snapshot.put("stellwerk_store_commit_seconds", role, counters.commit_seconds, counters.commits)
        snapshot.put("stellwerk_store_writes", role, counters.units)
        snapshot.put("stellwerk_store_rollbacks", role, counters.rollbacks)
        snapshot.put("stellwerk_store_expired", role, counters.expired)
        snapshot.put("stellwerk_store_lost_writes", role, counters.lazy_given_up)
        snapshot.put("stellwerk_store_queue", role, counters.queued)
        snapshot.put("stellwerk_store_failing", role, counters.last_error is not None)

    def _dns(self, snapshot: Snapshot) -> None:
        counts, cached = self._gateway.dns.counts()
        for event, number in counts.items():
            snapshot.put("stellwerk_dns_lookups", (event,), number)
        snapshot.put("stellwerk_dns_cached_answers", (), cached)


def start_metrics(gateway: Gateway, listeners: Iterable[Listening] = ()) -> asyncio.Task[None]:
    """Count for this process from now on. To be cancelled when it ends."""
    task = asyncio.create_task(ProcessMetrics(gateway, listeners).run(), name="metrics")
    task.add_done_callback(_log_crash)
    return task


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the numbers of this process are not told any more", exc_info=error)


def _usage(snapshot: Snapshot) -> None:
    role = (snapshot.role,)
    times = os.times()
    snapshot.put("stellwerk_process_cpu_seconds", role, times.user + times.system)
    with contextlib.suppress(OSError, ValueError):  # where there is no proc(5)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        snapshot.put("stellwerk_process_resident_memory_bytes", role, resident)
        snapshot.put("stellwerk_process_open_fds", role, sum(1 for _ in Path("/proc/self/fd").iterdir()))
