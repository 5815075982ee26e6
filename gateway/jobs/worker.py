"""Runs due jobs in the desk process: the gateway's own mail, and what plugins left in the outbox."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.delivery.transport import Batch, Copy, NextHop, Outcome, Results
from gateway.errors import StoreUnavailable
from gateway.hooks.runner import PluginFailure, Runner
from gateway.jobs import outbox
from gateway.jobs.outbox import CORE, GIVE_UP_SECONDS, RETRY_SECONDS, SEND_MAIL, Finish, Lease, LeasedJob
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.edits import NO_EDITS
from gateway.routing.effects import Retry
from gateway.store.store import Store, Write

log = logging.getLogger("stellwerk.jobs")

LEASE_SECONDS = 900.0
POLL_SECONDS = 1.0
SEND_SECONDS = 300.0
ABSENT_SECONDS = 3600.0
"""How often a job is offered whose plugin is not there."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """How one attempt ended. Done without an `error`; else tried again after that many seconds, or never (None)."""

    error: str = ""
    retry_after: float | None = None
    patient: bool = False
    """The attempt does not count: nobody was there to make it."""
    left: Mapping[str, Any] | None = None
    """The payload of what there is left to do, where some of it is done."""


class JobWorker:
    """Empties the outbox. `own_hop` takes mail of the gateway itself; `counts` is told how attempts end."""

    def __init__(
        self, store: Store, runner: Runner, next_hops: Mapping[str, NextHop], own_hop: str, instance: str,
        clock: Callable[[], float], has_mailbox: Callable[[Address], Awaitable[bool]] | None = None,
        counts: Counter[str] | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._runner = runner
        self._next_hops = next_hops
        self._own_hop = own_hop
        self._instance = instance
        self._clock = clock
        self._has_mailbox = has_mailbox
        self._counts = Counter() if counts is None else counts
        slowest = max((call.policy.timeout_seconds for call in runner.chain("run_job")), default=0.0)
        self._lease_seconds = max(LEASE_SECONDS, 2 * slowest)

    async def run(self) -> None:
        """Look for due jobs until cancelled. A store that is down is met with patience."""
        was_down = False
        while True:
            busy = 0
            try:
                busy = await self.run_due()
                was_down = False
            except StoreUnavailable as error:
                if not was_down:
                    log.warning("the outbox cannot be read, trying again: %s", error)
                was_down = True
            except Exception:
                log.exception("the outbox failed, trying again")
            if not busy:
                await asyncio.sleep(POLL_SECONDS)

    async def run_due(self) -> int:
        """Run what is due now, a few jobs side by side: one that hangs holds up nobody's lease. How many they were."""
        now = self._clock()
        (jobs,) = await self._store.write([Write(outbox.lease, Lease(self._instance, now, now + self._lease_seconds))])
        await asyncio.gather(*(self._do(leased) for leased in jobs))
        return len(jobs)

    async def _do(self, leased: LeasedJob) -> None:
        try:
            ended = await self._run_one(leased)
        except asyncio.CancelledError:
            # Whoever runs next need not wait for the end of the lease.
            self._finish_soon(Finish(leased.id, self._clock(), "broken off: the gateway stopped", due_at=self._clock()))
            raise
        except Exception as error:
            log.exception("job %s (%s.%s) failed", leased.id, leased.job.owner, leased.job.kind)
            ended = _Ended(f"{type(error).__name__}: {error}", outbox.next_try(leased.attempts))
        finish = self._finish(leased, ended)
        try:
            await self._store.write([Write(outbox.finish, finish)])
        except StoreUnavailable:
            self._finish_soon(finish)

    def _finish(self, leased: LeasedJob, ended: _Ended) -> Finish:
        now = self._clock()
        if not ended.error:
            self._counts["done"] += 1
            return Finish(leased.id, now)
        # A job that became due late has its tries all the same.
        too_old = now - leased.created_at > GIVE_UP_SECONDS and leased.attempts > len(RETRY_SECONDS)
        if ended.retry_after is None or (too_old and not ended.patient):
            self._counts["dead"] += 1
            log.error("job %s (%s.%s) is a dead letter: %s", leased.id, leased.job.owner, leased.job.kind, ended.error)
            return Finish(leased.id, now, ended.error, dead=True, payload=ended.left)
        self._counts["retried"] += 1
        return Finish(leased.id, now, ended.error, due_at=now + ended.retry_after, payload=ended.left)

    def _finish_soon(self, finish: Finish) -> None:
        """Without waiting. When it is lost the lease ends by itself, and the job runs once more."""
        try:
            self._store.write_soon([Write(outbox.finish, finish)], on_error=_log_lost_write)
        except StoreUnavailable as error:
            _log_lost_write(error)

    async def _run_one(self, leased: LeasedJob) -> _Ended:
        if leased.job.owner != CORE:
            return await self._ask_plugin(leased)
        if leased.job.kind == SEND_MAIL:
            return await self._send(leased)
        return _Ended(f"the core knows no job kind {leased.job.kind}")

    async def _send(self, leased: LeasedJob) -> _Ended:
        pause = outbox.next_try(leased.attempts)
        hop = self._next_hops.get(self._own_hop)
        if hop is None:
            return _Ended(f"next hop {self._own_hop} is not configured", pause)
        payload = leased.job.payload
        sender = payload.get("sender")
        recipients = [Address.parse(to) for to in payload["recipients"]]
        if self._has_mailbox is not None and hop.kind == "maildir":
            strangers = [to for to in recipients if not await self._has_mailbox(to)]
            if strangers:  # a folder nobody reads is no delivery, and strangers could make any number of them
                return _Ended(f"{strangers[0]} has no mailbox here and routing.own leads into Maildirs only")
        batch = Batch(
            sender=Address.parse(sender) if sender else None,
            copies=tuple(Copy(to, ("NEVER",)) for to in recipients),
            edits=NO_EDITS,
            body=MemoryBody(leased.job.content or b""),
            smtputf8=bool(payload.get("smtputf8")),
            body_type="8BITMIME",
        )
        deadline = asyncio.get_running_loop().time() + SEND_SECONDS
        results = await hop.deliver(batch, deadline=deadline)
        told = ", ".join(f"<{to}> {result.reply}" for to, result in zip(recipients, results, strict=True))
        log.info("job %s own mail %s via %s: %s", leased.id, leased.job.key, hop.name, told)
        return _rest_of(leased.job.payload, results, pause)

    async def _ask_plugin(self, leased: LeasedJob) -> _Ended:
        plugin = leased.job.owner
        call = next((call for call in self._runner.chain("run_job") if call.plugin == plugin), None)
        if call is None or call.is_shadow:
            absent = "is in shadow mode" if call is not None else "is not loaded or runs no jobs"
            return _Ended(f"plugin {plugin} {absent}; its jobs are kept", ABSENT_SECONDS, patient=True)
        pause = outbox.next_try(leased.attempts)
        events: list[dict[str, object]] = []
        try:
            answer = await self._runner.invoke(call, {"job": leased.job}, events)
        except PluginFailure as failure:
            return _Ended(str(failure), pause)
        if events and "error" in events[-1]:
            return _Ended(str(events[-1]["error"]), pause)
        if isinstance(answer, Retry):
            after = answer.after_seconds
            usable = isinstance(after, int | float) and math.isfinite(after)
            return _Ended(str(answer.reason or "asked for another try"), max(after, POLL_SECONDS) if usable else pause)
        return _Ended()


def _rest_of(payload: Mapping[str, Any], results: Results, pause: float) -> _Ended:
    """What is left of own mail: whoever has it gets it no second time, whoever refused it is asked no second time."""
    refused: list[str] = list(payload.get("refused", ()))
    waiting: list[str] = []
    why = "refused at an earlier try"
    for to, result in zip(payload["recipients"], results, strict=True):
        if result.outcome is not Outcome.DONE:
            (refused if result.outcome is Outcome.REFUSED else waiting).append(to)
            why = str(result.reply)
    if waiting:
        return _Ended(why, pause, left={**payload, "recipients": waiting, "refused": refused})
    if refused:
        return _Ended(why, left={**payload, "recipients": refused, "refused": []})
    return _Ended()


def _log_lost_write(error: BaseException) -> None:
    log.warning("what became of a job could not be written, it may run once more: %s", error)
