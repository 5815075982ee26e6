"""The journal's rules (docs/journal.md), as a pure function of what it holds. No database and no clock in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Copy = tuple[str, str]
"""Final address and next hop: what makes two steps one copy."""


class State(StrEnum):
    """The state of a step."""

    SENDING = "sending"
    DONE = "done"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in {State.DONE, State.REFUSED}


class Decision(StrEnum):
    """What is done with one recipient of a transaction."""

    NEW = "new"
    JOIN = "join"
    RETRY = "retry"
    REPLAN = "replan"
    ANSWERED = "answered"
    BUSY = "busy"


@dataclass(slots=True)
class StepView:
    """A step as the rules see it. Times are POSIX seconds."""

    recipient: str
    position: int
    copy: Copy
    state: State
    leased_until: float = 0.0
    attempts: int = 0
    closed: bool = False


@dataclass(slots=True)
class EntryView:
    """An entry with all its steps."""

    id: str
    created_at: float
    steps: list[StepView] = field(default_factory=list)

    def of(self, recipient: str) -> list[StepView]:
        return [step for step in self.steps if step.recipient == recipient]

    def has_copy(self, copy: Copy) -> bool:
        """Whether the next hop took this copy, for whichever recipient."""
        return any(step.copy == copy and step.state is State.DONE for step in self.steps)


Decided = dict[str, tuple[Decision, EntryView | None]]


def decide(
    entries: Sequence[EntryView], wanted: Mapping[str, Sequence[Copy]], now: float, join_seconds: float
) -> Decided:
    """Decide for each recipient in `wanted` (with the copies its plan needs). `entries`: newest first.

    The entry given back is the one to join or to continue; None for a new one.
    """
    decided: Decided = {recipient: _decide_one(entries, recipient, copies, now, join_seconds)
                        for recipient, copies in wanted.items()}  # fmt: skip
    newest = entries[0] if entries else None
    sent_again = any(
        decision is Decision.NEW and newest is not None and newest.of(recipient)
        for recipient, (decision, _) in decided.items()
    )
    if sent_again:
        for recipient, (decision, entry) in decided.items():
            if decision in {Decision.JOIN, Decision.BUSY} and entry is not None and not entry.of(recipient):
                decided[recipient] = (Decision.NEW, None)
    return decided


def _decide_one(
    entries: Sequence[EntryView], recipient: str, copies: Sequence[Copy], now: float, join_seconds: float
) -> tuple[Decision, EntryView | None]:
    for entry in entries:
        steps = entry.of(recipient)
        if steps and not all(step.closed for step in steps):
            return _continue(steps, now), entry
    if not entries or entries[0].of(recipient) or now - entries[0].created_at > join_seconds:
        return Decision.NEW, None
    newest = entries[0]
    on_their_way = {step.copy for step in newest.steps if step.state is State.SENDING and step.leased_until > now}
    if any(copy in on_their_way and not newest.has_copy(copy) for copy in copies):
        return Decision.BUSY, newest
    return Decision.JOIN, newest


def _continue(steps: Sequence[StepView], now: float) -> Decision:
    if any(step.leased_until > now and not step.state.is_final for step in steps):
        return Decision.BUSY
    if all(step.state.is_final for step in steps):
        return Decision.ANSWERED
    if all(step.attempts == 0 and step.state is State.DEFERRED for step in steps):
        return Decision.REPLAN
    return Decision.RETRY
