"""The states of a domain, and the one function that leads on: from standing and clock to standing and events.

Pure. What it decides by are facts.py's facts; who holds a name that several claim is claims.py's business. A time that
runs out takes something away only together with a definite answer: whatever a resolver does not know, and however
long, leaves every domain as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeAlias

from gateway.domains.facts import DAY, HOUR, Facts, Observation
from gateway.domains.token import VALID_SECONDS


class State(StrEnum):
    """`unverified` and `trusted` are an operator's word and no proof: no look at DNS changes them."""

    UNVERIFIED = "unverified"
    TRUSTED = "trusted"
    PENDING = "pending"
    EXPIRED = "expired"
    VERIFIED = "verified"
    ACTIVE = "active"
    PARKED = "parked"
    GRACE = "grace"
    SUSPENDED = "suspended"
    RELEASED = "released"


HOLDING = frozenset(
    {State.TRUSTED, State.VERIFIED, State.ACTIVE, State.PARKED, State.GRACE, State.SUSPENDED}
)  # one organisation at most is in one of these for a name: a unique index sees to that
SENDING = frozenset({State.TRUSTED, State.VERIFIED, State.ACTIVE, State.PARKED, State.GRACE})
"""States in which people may send from the domain."""
CHANGEABLE = frozenset({State.TRUSTED, State.VERIFIED, State.ACTIVE, State.PARKED})
"""States in which it gets new addresses, unless it is frozen or disputed."""
LOOKED_AT = frozenset({State.PENDING, State.VERIFIED, State.ACTIVE, State.PARKED, State.GRACE, State.SUSPENDED})

ACCEPT_WITHOUT_MX_SECONDS = 14 * DAY
PARKED_SECONDS = 30 * DAY
NULL_MX_SECONDS = 72 * HOUR
FROZEN_SECONDS = 48 * HOUR
TEMPFAIL_SECONDS = 5 * DAY
"""A suspended domain's senders retry for so long, and meanwhile see where its MX leads now."""
RELEASE_SECONDS = 30 * DAY
SEALED_SECONDS = 90 * DAY
FORGET_EXPIRED_SECONDS = 30 * DAY
DISPUTE_SECONDS = 7 * DAY
TOKEN_GONE_SECONDS = 48 * HOUR

Cause: TypeAlias = Literal["", "ownership", "both", "nxdomain"]
GRACE_SECONDS: dict[Cause, float] = {"ownership": 14 * DAY, "both": 7 * DAY, "nxdomain": 7 * DAY}
GRACE_DAYS: tuple[int, ...] = (3, 7, 13)
PARKED_DAYS: tuple[int, ...] = (1, 7, 21)

EventKind: TypeAlias = Literal[
    "verified", "active", "expired", "grace", "grace_day", "parked", "parked_day", "unparked", "recovered", "suspended",
    "reinstated", "released", "frozen", "thawed", "disputed", "dispute_refused", "transferred", "token",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is told: `kind`, and for those that come on certain days of a state, which day."""

    kind: EventKind
    day: int = 0
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is kept of one claim. Times are POSIX seconds.

    `accepts_until`: while it is `verified`, mail is taken without an MX of ours until then. `previous`, `cause` and
    `ends_at` are of a grace period. `token_issued_at`: of the newest token. `frozen_at`, `disputed_at`: None for no.
    `told`: up to which day of the state the owner has been told.
    """

    state: State
    since: float
    facts: Facts = field(default_factory=Facts)
    token_issued_at: float = 0.0
    accepts_until: float = 0.0
    previous: State | None = None
    cause: Cause = ""
    ends_at: float | None = None
    frozen_at: float | None = None
    disputed_at: float | None = None
    told: int = 0

    def takes_mail_until(self) -> float:
        """Until when RCPT says yes if nothing changes: a time gone by for no, infinity for no end."""
        state = self.previous if self.state is State.GRACE else self.state
        if state is State.VERIFIED:
            return self.accepts_until
        if state in (State.TRUSTED, State.ACTIVE, State.PARKED) or self.state is State.GRACE:
            return float("inf")
        return 0.0


def claim(now: float) -> Standing:
    """How every claim begins: pending, with a token issued now."""
    return Standing(State.PENDING, now, token_issued_at=now)


def observe(standing: Standing, look: Observation) -> tuple[Standing, tuple[Event, ...]]:
    """One look more, and what comes of it."""
    return step(replace(standing, facts=standing.facts.seen(look)), look.at)


def step(standing: Standing, now: float) -> tuple[Standing, tuple[Event, ...]]:
    """Where the facts and the clock lead. The new standing stays as it is when it is stepped once more at `now`."""
    if standing.state not in LOOKED_AT:
        return standing, ()
    events: list[Event] = []
    standing = _freeze(standing, now, events)
    while True:
        new, event = _LEAVE[standing.state](standing, now)
        if event is not None:
            events.append(event)
        if new == standing or new.state not in LOOKED_AT:
            break
        standing = new
    return _tell_days(new, now, events), tuple(events)


def _enter(standing: Standing, state: State, now: float, **more: object) -> Standing:
    cleared: dict[str, object] = {"previous": None, "cause": "", "ends_at": None, "told": 0}
    return replace(standing, state=state, since=now, **(cleared | more))  # type: ignore[arg-type]


_Left: TypeAlias = tuple[Standing, Event | None]


def _freeze(standing: Standing, now: float, events: list[Event]) -> Standing:
    """Other name servers and no token: somebody else may own the name now. Only a fresh token says otherwise."""
    facts = standing.facts
    if standing.state in (State.PENDING, State.SUSPENDED):
        return standing
    if standing.frozen_at is None:
        if facts.moved and facts.ownership.status == "fail":
            events.append(Event("frozen"))
            return replace(standing, frozen_at=now)
    elif facts.is_proven_with_a_token_after(standing.frozen_at):
        events.append(Event("thawed"))
        return replace(standing, frozen_at=None)
    return standing


def _leave_pending(standing: Standing, now: float) -> _Left:
    ownership = standing.facts.ownership
    if standing.facts.is_proven_with_a_token_after(standing.since - 1e-6) and standing.disputed_at is None:
        until = now + ACCEPT_WITHOUT_MX_SECONDS
        return _enter(standing, State.VERIFIED, now, accepts_until=until), Event("verified")
    if ownership.status == "fail" and now - standing.token_issued_at >= VALID_SECONDS:
        return _enter(standing, State.EXPIRED, now), Event("expired")
    return standing, None


def _leave_verified(standing: Standing, now: float) -> _Left:
    left = _lose(standing, now)
    if left is not None:
        return left
    facts = standing.facts
    if facts.routing.status == "pass" and facts.ownership.definite == "pass":
        return _enter(standing, State.ACTIVE, now), Event("active")
    return standing, None


def _leave_active(standing: Standing, now: float) -> _Left:
    left = _lose(standing, now) or _null_mx(standing, now)
    if left is not None:
        return left
    facts = standing.facts
    if facts.routing.is_confirmed_failure and facts.ownership.definite == "pass":
        return _enter(standing, State.PARKED, now), Event("parked")  # told from the first day on
    return standing, None


def _leave_parked(standing: Standing, now: float) -> _Left:
    left = _lose(standing, now) or _null_mx(standing, now)
    if left is not None:
        return left
    facts = standing.facts
    if facts.routing.status == "pass" and facts.ownership.definite == "pass":
        return _enter(standing, State.ACTIVE, now), Event("active")
    if now - standing.since >= PARKED_SECONDS and facts.routing.status == "fail":
        return _enter(standing, State.VERIFIED, now, accepts_until=0.0), Event("unparked")
    return standing, None


def _leave_grace(standing: Standing, now: float) -> _Left:
    facts = standing.facts
    if facts.ownership.status == "pass":
        assert standing.previous is not None
        return _enter(standing, standing.previous, now), Event("recovered")
    left = _frozen_too_long(standing, now) or _null_mx(standing, now)
    if left is not None:
        return left
    assert standing.ends_at is not None
    cause = _cause(facts)
    sooner = min(standing.ends_at, now + GRACE_SECONDS[cause]) if cause else standing.ends_at
    if cause not in ("", standing.cause) and sooner < standing.ends_at:
        return replace(standing, cause=cause, ends_at=sooner), None
    if now >= standing.ends_at and facts.ownership.status == "fail":
        return _suspend(standing, now, standing.cause)
    return standing, None


def _leave_suspended(standing: Standing, now: float) -> _Left:
    facts = standing.facts
    if facts.is_proven_with_a_token_after(standing.since) and facts.routing.status == "pass":
        return _enter(standing, State.ACTIVE, now, frozen_at=None), Event("reinstated")
    known = facts.ownership.status in ("pass", "fail")
    if known and now - standing.since >= RELEASE_SECONDS:
        return _enter(standing, State.RELEASED, now), Event("released")
    return standing, None


_LEAVE = {
    State.PENDING: _leave_pending,
    State.VERIFIED: _leave_verified,
    State.ACTIVE: _leave_active,
    State.PARKED: _leave_parked,
    State.GRACE: _leave_grace,
    State.SUSPENDED: _leave_suspended,
}


def _lose(standing: Standing, now: float) -> _Left | None:
    frozen = _frozen_too_long(standing, now)
    if frozen is not None:
        return frozen
    cause = _cause(standing.facts)
    if not cause:
        return None
    ends_at = now + GRACE_SECONDS[cause]
    return _enter(standing, State.GRACE, now, previous=standing.state, cause=cause, ends_at=ends_at), Event(
        "grace", cause=cause
    )


def _cause(facts: Facts) -> Cause:
    """Why ownership is lost, "" when it is not: confirmed, and seen once more at this look."""
    ownership, routing = facts.ownership, facts.routing
    if not ownership.is_confirmed_failure or ownership.status != "fail":
        return ""
    if ownership.special == "nxdomain" and ownership.special_since == ownership.first_fail:
        return "nxdomain"
    return "both" if routing.is_confirmed_failure else "ownership"


def _frozen_too_long(standing: Standing, now: float) -> _Left | None:
    ownership = standing.facts.ownership
    if standing.frozen_at is None or now - standing.frozen_at < FROZEN_SECONDS:
        return None
    if ownership.status != "fail" or not ownership.is_confirmed_failure:
        return None
    return _suspend(standing, now, "frozen")


def _null_mx(standing: Standing, now: float) -> _Left | None:
    if standing.facts.routing.special_for("null_mx", now) < NULL_MX_SECONDS:
        return None
    return _suspend(standing, now, "null_mx")


def _suspend(standing: Standing, now: float, cause: str) -> _Left:
    return _enter(standing, State.SUSPENDED, now), Event("suspended", cause=cause)


def _tell_days(standing: Standing, now: float, events: list[Event]) -> Standing:
    """The day of grace or parking that is told now, if any: not while nobody knows how things are."""
    if standing.state is State.GRACE:
        assert standing.ends_at is not None
        known, kind, days = standing.facts.ownership, "grace_day", GRACE_DAYS
        days = tuple(day for day in days if standing.since + day * DAY < standing.ends_at)
    elif standing.state is State.PARKED:
        known, kind, days = standing.facts.routing, "parked_day", PARKED_DAYS
    else:
        return standing
    if known.status != "fail":
        return standing
    reached = [day for day in days if standing.told < day <= (now - standing.since) / DAY]
    if not reached:
        return standing
    events.append(Event(kind, reached[-1], standing.cause))  # type: ignore[arg-type]
    return replace(standing, told=reached[-1])
