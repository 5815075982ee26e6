"""Runs due jobs in the desk process: the gateway's own mail, and what plugins left in the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from gateway.delivery.transport import Batch, Copy, NextHop, Outcome
from gateway.errors import StoreUnavailable
from gateway.hooks.runner import PluginFailure, Runner
from gateway.jobs import outbox
from gateway.jobs.outbox import CORE, GIVE_UP_SECONDS, SEND_MAIL, Finish, Lease, LeasedJob
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.edits import NO_EDITS
from gateway.routing.effects import Retry
from gateway.store.store import Store, Write

log = logging.getLogger("stellwerk.jobs")

LEASE_SECONDS = 900.0
POLL_SECONDS = 1.0
SEND_SECONDS = 300.0


class JobWorker:
    """Empties the outbox. `own_hop` takes mail of the gateway itself."""

    def __init__(
        self, store: Store, runner: Runner, next_hops: Mapping[str, NextHop], own_hop: str, instance: str,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._store = store
        self._runner = runner
        self._next_hops = next_hops
        self._own_hop = own_hop
        self._instance = instance
        self._clock = clock

    async def run(self) -> None:
        """Look for due jobs until cancelled. A store that is down is met with patience."""
        while True:
            try:
                busy = await self.run_due()
            except StoreUnavailable as error:
                log.warning("the outbox cannot be read, trying again: %s", error)
                busy = 0
            if not busy:
                await asyncio.sleep(POLL_SECONDS)

    async def run_due(self) -> int:
        """Run what is due now, one after the other; how many jobs that were."""
        now = self._clock()
        (jobs,) = await self._store.write([Write(outbox.lease, Lease(self._instance, now, now + LEASE_SECONDS))])
        for leased in jobs:
            await self._store.write([Write(outbox.finish, await self._run_one(leased))])
        return len(jobs)

    async def _run_one(self, leased: LeasedJob) -> Finish:
        if leased.job.owner == CORE and leased.job.kind == SEND_MAIL:
            error, retry_after = await self._send(leased)
        elif leased.job.owner == CORE:
            error, retry_after = f"the core knows no job kind {leased.job.kind}", None
        else:
            error, retry_after = await self._ask_plugin(leased)
        now = self._clock()
        if not error and retry_after is None:
            return Finish(leased.id, now)
        too_old = now - leased.created_at > GIVE_UP_SECONDS
        if retry_after is None or too_old:
            log.error("job %s (%s.%s) is a dead letter: %s", leased.id, leased.job.owner, leased.job.kind, error)
            return Finish(leased.id, now, error, dead=True)
        return Finish(leased.id, now, error, due_at=now + retry_after)

    async def _send(self, leased: LeasedJob) -> tuple[str, float | None]:
        """A `send_mail` job: (error, seconds until the next try or None for never)."""
        hop = self._next_hops.get(self._own_hop)
        if hop is None:
            return f"next hop {self._own_hop} is not configured", outbox.next_try(leased.attempts)
        payload = leased.job.payload
        sender = payload.get("sender")
        batch = Batch(
            sender=Address.parse(sender) if sender else None,
            copies=tuple(Copy(Address.parse(to), ("NEVER",)) for to in payload["recipients"]),
            edits=NO_EDITS,
            body=MemoryBody(leased.job.content or b""),
            smtputf8=bool(payload.get("smtputf8")),
            body_type="8BITMIME",
        )
        deadline = asyncio.get_running_loop().time() + SEND_SECONDS
        results = await hop.deliver(batch, deadline=deadline)
        bad = [result for result in results if result.outcome is not Outcome.DONE]
        if not bad:
            return "", None
        error = str(bad[0].reply)
        if all(result.outcome is Outcome.REFUSED for result in bad):
            return error, None
        return error, outbox.next_try(leased.attempts)

    async def _ask_plugin(self, leased: LeasedJob) -> tuple[str, float | None]:
        calls = [call for call in self._runner.chain("run_job") if call.plugin == leased.job.owner]
        if not calls:
            return f"plugin {leased.job.owner} is not loaded; its jobs are kept", outbox.RETRY_SECONDS[-1]
        events: list[dict[str, object]] = []
        try:
            answer = await self._runner.invoke(calls[0], {"job": leased.job}, events)
        except PluginFailure as failure:
            return str(failure), outbox.next_try(leased.attempts)
        if events and "error" in events[-1]:
            return str(events[-1]["error"]), outbox.next_try(leased.attempts)
        if isinstance(answer, Retry):
            return answer.reason or "asked for another try", answer.after_seconds
        return "", None
