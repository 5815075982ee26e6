"""Runs the delivery steps of a plan: equal bytes, sender and next hop share one transaction. Keeps no record itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.delivery.relays import COUNTED_AS, RelayHops, is_relay
from gateway.delivery.transport import Batch, Copy, NextHop, Outcome, Result, Results
from gateway.errors import StoreUnavailable
from gateway.mail.message import Message
from gateway.mail.reply import INTERNAL_ERROR, NEXT_HOP_MISCONFIGURED, STORE_DOWN
from gateway.routing.plan import DeliverStep, group

log = logging.getLogger("stellwerk.pipeline")

Late = Callable[[DeliverStep, Result], None]
"""`late(step, result)`: what became in the end of a step that was unknown at the deadline."""


class HopCounts:
    """What came of the transactions with one next hop, for metrics."""

    __slots__ = ("outcomes", "seconds", "transactions")

    def __init__(self) -> None:
        self.transactions = 0
        self.seconds = 0.0
        self.outcomes: Counter[Outcome] = Counter()

    def add(self, seconds: float, results: Results) -> None:
        self.transactions += 1
        self.seconds += seconds
        for result in results:
            self.outcomes[result.outcome] += 1


class Executor:
    """Hands batches to the next hops of the configuration, and to `relays` that mailboxes have for themselves."""

    def __init__(self, next_hops: Mapping[str, NextHop], relays: RelayHops | None = None) -> None:
        self._next_hops = next_hops
        self._relays = relays
        self.counts: defaultdict[str, HopCounts] = defaultdict(HopCounts)

    async def run(
        self, message: Message, head: tuple[str, ...], steps: Sequence[DeliverStep], deadline: float, late: Late
    ) -> dict[tuple[str, str], Result]:
        """The result of each copy by its key. `head`: fields that go on top of every copy. Never raises for trouble.

        `deadline` is a time of the running loop's clock.
        """
        copies: dict[tuple[str, str], DeliverStep] = {}
        for step in steps:
            known = copies.setdefault(step.copy_key, step)
            if known.notify != step.notify:
                copies[step.copy_key] = replace(known, notify=_notify_for_both(known.notify, step.notify))
        batches = group(copies.values())
        if len(batches) == 1:
            outcomes = [await self._run_batch(message, head, batches[0], deadline, late)]
        else:
            outcomes = await asyncio.gather(
                *(self._run_batch(message, head, batch, deadline, late) for batch in batches)
            )
        return {
            step.copy_key: result
            for batch, results in zip(batches, outcomes, strict=True)
            for step, result in zip(batch, results, strict=True)
        }

    async def _run_batch(
        self, message: Message, head: tuple[str, ...], steps: tuple[DeliverStep, ...], deadline: float, late: Late
    ) -> Results:
        first = steps[0]
        try:
            hop = await self._hop(first.via)
        except StoreUnavailable as error:
            log.error("%s next hop %s cannot be looked up: %s", message.id, first.via, error)
            down = Result(Outcome.DEFERRED, STORE_DOWN, where=f"next hop {first.via} cannot be looked up")
            return (down,) * len(steps)
        except Exception as error:
            log.error("%s next hop %s cannot be made", message.id, first.via, exc_info=error)
            wrong = Result(Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED, where=f"{first.via}: {type(error).__name__}")
            return (wrong,) * len(steps)
        if hop is None:
            log.error("%s next hop %s is not configured", message.id, first.via)
            missing = Result(Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED, where=f"next hop {first.via} is not configured")
            return (missing,) * len(steps)

        def tell_late(results: Results) -> None:
            for step, result in zip(steps, results, strict=True):
                late(step, result)

        parameters = message.envelope.parameters
        batch = Batch(
            sender=first.sender,
            copies=tuple(Copy(step.to, step.notify, step.orcpt) for step in steps),
            edits=first.edits.with_lines(head),
            body=message.body,
            smtputf8=parameters.smtputf8,
            body_type=parameters.body,
            ret=parameters.ret,
            envid=parameters.envid,
            client=None if message.session.hides_client else message.session.client,
        )
        began = time.perf_counter()
        results: Results
        try:
            results = await hop.deliver(batch, deadline=deadline, late=tell_late)
        except Exception as error:
            # A bug of one next hop must not lose what the others did meanwhile.
            log.error("%s next hop %s failed", message.id, hop.name, exc_info=error)
            failed = Result(Outcome.UNKNOWN, INTERNAL_ERROR, where=f"{hop.name}: {type(error).__name__}")
            results = (failed,) * len(steps)
        self.counts[COUNTED_AS if is_relay(first.via) else first.via].add(time.perf_counter() - began, results)
        return results

    async def _hop(self, via: str) -> NextHop | None:
        """Raises `StoreUnavailable`."""
        if self._relays is not None and is_relay(via):
            return await self._relays.hop(via)
        return self._next_hops.get(via)


def _notify_for_both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """NOTIFY (RFC 3461 4.1) of a copy that two recipients share: neither silences what the other wants to hear."""
    if not one or not other:  # the default: failure, and perhaps delay
        return tuple(dict.fromkeys(("FAILURE", *one, *other))) if "SUCCESS" in one + other else ()
    wanted = tuple(dict.fromkeys(word for word in one + other if word != "NEVER"))
    return wanted or ("NEVER",)
