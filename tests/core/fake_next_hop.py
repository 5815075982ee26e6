"""A next hop in memory: takes what it is given, answers each recipient as told, hangs when told to.

It keeps the contract of `NextHop` and nothing more; the wire is the sink's business (gateway/testing/sink.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.delivery.transport import Batch, Late, Outcome, Result, Results
from gateway.mail.reply import ACCEPTED, DEADLINE_PASSED, NEXT_HOP_BROKE_OFF, UNKNOWN_USER, Reply

BUSY = Reply(450, "4.2.0", "mailbox busy")
_REPLIES = {
    Outcome.DONE: ACCEPTED.says("queued"),
    Outcome.REFUSED: UNKNOWN_USER,
    Outcome.DEFERRED: BUSY,
    Outcome.UNKNOWN: NEXT_HOP_BROKE_OFF,
}


@dataclass
class FakeNextHop:
    """`batches` are all that came, `delivered` counts the copies that were taken, by address."""

    name: str = "mail"
    kind: str = "maildir"
    dsn: bool = False
    """Whether it offers DSN, as `Result.dsn_passed_on` tells."""
    batches: list[Batch] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    contents: list[bytes] = field(default_factory=list)
    """The bytes of each batch, read when it was taken."""
    gate: asyncio.Event | None = None
    """When set, each batch waits for it."""
    overdue: Outcome | None = None
    """As if the deadline had passed: DEFERRED before a batch was begun, UNKNOWN while it goes on until `learn`."""
    on_batch: Callable[[Batch], None] | None = None
    """Called first; may raise, as a bug would."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    _script: dict[str, deque[Result]] = field(default_factory=lambda: defaultdict(deque))
    _waiting: list[tuple[Batch, Late | None]] = field(default_factory=list)

    def answer(self, to: str, *outcomes: Outcome | Reply) -> None:
        """What the next attempts for this address come to, one each; then it is taken again."""
        for outcome in outcomes:
            self._script[to].append(outcome_of(outcome))

    async def deliver(self, batch: Batch, *, deadline: float, late: Late | None = None) -> Results:
        self.batches.append(batch)
        self.arrived.set()
        if self.on_batch is not None:
            self.on_batch(batch)
        if self.gate is not None:
            await self.gate.wait()
        if self.overdue is Outcome.UNKNOWN:
            self._waiting.append((batch, late))
        if self.overdue is not None:
            reply = NEXT_HOP_BROKE_OFF if self.overdue is Outcome.UNKNOWN else DEADLINE_PASSED
            return (Result(self.overdue, reply),) * len(batch.copies)
        return self._take(batch)

    def learn(self) -> None:
        """What went on behind its deadline comes to an end now: `late` is told."""
        waiting, self._waiting = self._waiting, []
        for batch, late in waiting:
            results = self._take(batch)
            if late is not None:
                late(results)

    async def probe(self) -> str | None:
        return None

    async def close(self) -> None:
        self.closed = True

    def _take(self, batch: Batch) -> Results:
        results = tuple(self._result(str(copy.to)) for copy in batch.copies)
        taken = [str(copy.to) for copy, result in zip(batch.copies, results, strict=True) if _is_done(result)]
        self.delivered.update(taken)
        if taken:
            self.contents.append(batch.edits.render(batch.body))
        return results

    def _result(self, to: str) -> Result:
        script = self._script[to]
        result = script.popleft() if script else outcome_of(Outcome.DONE)
        return Result(result.outcome, result.reply, self.dsn and _is_done(result), f"fake {self.name}")


def outcome_of(outcome: Outcome | Reply) -> Result:
    """A result with this outcome and a fitting reply, or with this reply and its outcome."""
    if isinstance(outcome, Outcome):
        return Result(outcome, _REPLIES[outcome])
    kind = Outcome.DONE if outcome.is_accept else Outcome.DEFERRED if outcome.is_temporary else Outcome.REFUSED
    return Result(kind, outcome)


def _is_done(result: Result) -> bool:
    return result.outcome is Outcome.DONE
