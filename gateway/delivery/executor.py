"""Runs the delivery steps of a plan: equal bytes, sender and next hop share one transaction. Keeps no record itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gateway.delivery.transport import Batch, Copy, NextHop, Outcome, Result, Results
from gateway.mail.message import Message
from gateway.mail.reply import Reply
from gateway.routing.plan import DeliverStep, group

Late = Callable[[DeliverStep, Result], None]
"""`late(step, result)`: what became in the end of a step that was unknown at the deadline."""


class Executor:
    """Hands batches to the next hops of the configuration."""

    def __init__(self, next_hops: Mapping[str, NextHop]) -> None:
        self._next_hops = next_hops

    async def run(
        self, message: Message, head: tuple[str, ...], steps: Sequence[DeliverStep], deadline: float, late: Late
    ) -> dict[tuple[str, str], Result]:
        """The result of each copy by its key. `head`: fields that go on top of every copy. Never raises for trouble.

        `deadline` is a time of the running loop's clock.
        """
        copies: dict[tuple[str, str], DeliverStep] = {}
        for step in steps:
            copies.setdefault(step.copy_key, step)
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
        hop = self._next_hops.get(first.via)
        if hop is None:
            missing = Reply(451, "4.3.5", f"next hop {first.via} is not configured")
            return tuple(Result(Outcome.DEFERRED, missing) for _ in steps)

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
            client=message.session.client,
        )
        return await hop.deliver(batch, deadline=deadline, late=tell_late)

    async def close(self) -> None:
        await asyncio.gather(*(hop.close() for hop in self._next_hops.values()))
