"""When a domain is looked at next, and whether what a sweep saw is to be believed. Pure: three small functions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from zlib import crc32

from gateway.domains.facts import DAY, HOUR, SECOND_SIGHT_SECONDS, Fact
from gateway.domains.states import (
    FROZEN_SECONDS,
    LOOKED_AT,
    PARKED_SECONDS,
    RELEASE_SECONDS,
    Standing,
    State,
)
from gateway.domains.token import VALID_SECONDS

MINUTE = 60.0
PENDING_AT = (0.0, 30.0, 1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE)
"""Seconds after the token was issued; then hourly to 48 h, then 6-hourly."""
AFTER_FAIL = (15 * MINUTE, HOUR, 6 * HOUR, 12 * HOUR)
AFTER_TEMP = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE)
OWNERSHIP_SECONDS = DAY
ROUTING_SECONDS = 6 * HOUR
SPREAD = 0.2

FEWEST_TURNED = 5
TURNED_PART = 0.2

LOOK_SECONDS = 10.0
LOOKS_PER_HOUR = 60


@dataclass(frozen=True, slots=True)
class NextLooks:
    """POSIX times at which each fact is looked at again. What is due soon is looked at together."""

    ownership: float
    routing: float

    @property
    def at(self) -> float:
        return min(self.ownership, self.routing)


def next_looks(standing: Standing, now: float, spread: float = 0.0) -> NextLooks | None:
    """Each fact's own, from when it was looked at last; `now` where that is long ago. None: the state is not looked at.

    `spread`, from -1 to 1, moves what is regular by up to a fifth.
    """
    if standing.state not in LOOKED_AT:
        return None
    facts = standing.facts
    if standing.state is State.PENDING:
        both = _pending(standing, now)
        return NextLooks(both, both)
    stretch = 1 + SPREAD * spread
    ownership = _next(facts.ownership, OWNERSHIP_SECONDS * stretch, now)
    # About to be switched over, the owner waits for it.
    regular = HOUR if standing.state is State.VERIFIED else ROUTING_SECONDS * stretch
    routing = _next(facts.routing, regular, now)
    if _waits_for_second_sight(standing):
        ownership = min(ownership, now + SECOND_SIGHT_SECONDS)
    ends = [end for end in _ends(standing) if end > now]
    return NextLooks(min([ownership, *ends]), min([routing, *ends]))


def _pending(standing: Standing, now: float) -> float:
    ownership = standing.facts.ownership
    if ownership.status == "temp":
        return now + AFTER_TEMP[min(ownership.temps, len(AFTER_TEMP)) - 1]
    if _waits_for_second_sight(standing):
        return now + SECOND_SIGHT_SECONDS
    age = now - standing.token_issued_at
    if ownership.looked_at is None:
        return now
    step = next((at for at in PENDING_AT if at > age), None)
    if step is not None:
        return standing.token_issued_at + step
    end = standing.token_issued_at + VALID_SECONDS
    regular = now + (HOUR if age < 48 * HOUR else 6 * HOUR)
    return min(regular, end) if end > now else regular


def _waits_for_second_sight(standing: Standing) -> bool:
    """Only where there is something to gain: elsewhere a single sight is enough."""
    facts = standing.facts
    gaining = standing.state in (State.PENDING, State.SUSPENDED)
    if not gaining and standing.frozen_at is None and standing.disputed_at is None:
        return False
    return facts.ownership.status == "pass" and facts.sighted_at is not None and facts.proven_at is None


def _next(fact: Fact, regular: float, now: float) -> float:
    return now if fact.looked_at is None else max(now, fact.looked_at + _pause(fact, regular))


def _pause(fact: Fact, regular: float) -> float:
    if fact.status == "temp":
        return AFTER_TEMP[min(fact.temps, len(AFTER_TEMP)) - 1]
    if fact.status == "fail":
        return min(AFTER_FAIL[min(fact.consecutive_fail, len(AFTER_FAIL)) - 1], regular)
    return regular


def _ends(standing: Standing) -> list[float]:
    """Times that run out: something is decided there, by a look."""
    ends = [standing.ends_at] if standing.ends_at is not None else []
    if standing.state is State.PARKED:
        ends.append(standing.since + PARKED_SECONDS)
    if standing.state is State.SUSPENDED:
        ends.append(standing.since + RELEASE_SECONDS)
    if standing.frozen_at is not None:
        ends.append(standing.frozen_at + FROZEN_SECONDS)
    return ends


def spread_of(identity: str) -> float:
    """The same for one domain at all times, and another for each: so that many claimed at once part in time."""
    return crc32(identity.encode()) / 0xFFFFFFFF * 2 - 1


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look did to one fact's domain: whether it was good before, and is bad (`fail` or `temp`) now."""

    was_good: bool
    is_bad: bool


def is_resolver_trouble(sweep: Collection[Turn]) -> bool:
    """Whether so many domains turned bad at once that the resolver is to be doubted: more than a fifth, and five."""
    turned = sum(turn.was_good and turn.is_bad for turn in sweep)
    return turned >= FEWEST_TURNED and turned > TURNED_PART * len(sweep)


def may_look_now(now: float, last_look: float | None, looks_of_the_hour: int) -> float:
    """How many seconds somebody who asks for a look has to wait: 0 for none."""
    if looks_of_the_hour >= LOOKS_PER_HOUR:
        return HOUR
    return 0.0 if last_look is None else max(0.0, LOOK_SECONDS - (now - last_look))
