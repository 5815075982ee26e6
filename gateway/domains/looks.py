"""What a look at DNS leads to, in one transaction: compare and set, so that of two at a time one counts.

The claim is read, the state machine asked, disputes judged, and what comes of it written together with its notices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection, Row, and_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.directory.actor import Actor
from gateway.directory.change import Change
from gateway.directory.domains import holder_of
from gateway.directory.sealing import seal_others, unseal
from gateway.directory.tables import domain, domain_token
from gateway.domains.contest import Verdict, judge
from gateway.domains.facts import Observation
from gateway.domains.rows import columns_of, standing_of, with_observations
from gateway.domains.schedule import next_looks, spread_of
from gateway.domains.states import HOLDING, Event, Standing, State, observe
from gateway.domains.writing import end_dispute, leave, revoke_tokens
from gateway.errors import StellwerkError
from gateway.store.store import Store, Write

GATEWAY = Actor("the gateway")
_GAINING = HOLDING - {State.SUSPENDED}


class Teller(Protocol):
    """Writes the notices of an event into the outbox, in the look's own transaction."""

    def __call__(self, change: Change, row: Row[Any], standing: Standing, event: Event, /) -> None: ...


@dataclass(frozen=True, slots=True)
class RecordLook:
    """One look at the claim `id`, which had this `version` before DNS was asked.

    `serial`: of the token that was found, 0 for none.
    """

    id: str
    version: int
    look: Observation
    serial: int = 0
    seen: tuple[Mapping[str, Any], ...] = ()
    tell: Teller | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of it. `old` and `new` are states; `counted` is False when somebody changed the claim meanwhile."""

    counted: bool
    old: str = ""
    new: str = ""
    events: tuple[Event, ...] = ()


STALE = Recorded(False)


def record(connection: Connection, payloads: Sequence[RecordLook], /) -> Sequence[Recorded]:
    """For the writer's thread."""
    return [_Recording(Change(connection, GATEWAY, each.look.at), each).run() for each in payloads]


class _Recording:
    """One look. What is visible elsewhere (a state, a flag) is written as a change of the directory."""

    def __init__(self, change: Change, asked: RecordLook) -> None:
        self.change = change
        self.asked = asked
        self.now = asked.look.at
        self.events: list[Event] = []

    def run(self) -> Recorded:
        row = self.change.first(select(domain).where(domain.c.id == self.asked.id))
        if row is None or row.version != self.asked.version:
            return STALE
        old = standing_of(row)
        new, events = observe(old, self.asked.look)
        holder = holder_of(self.change, row.name) if old.state is State.PENDING else None
        visible = bool(events) or holder is not None or _shown(old) != _shown(new)
        if visible:  # on PostgreSQL the counter's row keeps all others who change the directory waiting
            self.change.open()
            if holder is not None:  # as it is now that nobody else changes it
                holder = holder_of(self.change, row.name, lock=True)
        self.events += events
        if old.state is State.PENDING:
            new = self._contested(row, old, new, holder)
        if not self._write(row, new):
            raise Overtaken(f"somebody else has changed {row.name} at the same moment")
        if new.state in _GAINING and old.state not in HOLDING:
            seal_others(self.change, row.name, row.organisation_id)
            unseal(self.change, row.name, row.organisation_id)
        if self.asked.serial:
            self._used(row)
        if self.events:  # what is told quotes what was seen just now
            row = self.change.rows(select(domain).where(domain.c.id == row.id))[0]
        for event in self.events:
            self._note(row, old, new, event)
        self.change.close()
        return Recorded(True, str(old.state), str(new.state), tuple(self.events))

    def _contested(self, row: Row[Any], old: Standing, new: Standing, holder: Row[Any] | None) -> Standing:
        """Whether a claimant gains what its proof would give it; the holder's row is written here."""
        before = replace(old, facts=new.facts)
        if holder is None:
            if old.disputed_at is None:
                return new
            freed, events = observe(replace(old, disputed_at=None), self.asked.look)
            self.events[:] = events
            return freed
        verdict = judge(before, standing_of(holder), self.now)
        if verdict == "transferred":
            return self._transfer(row, old, holder)
        if verdict == "refused":
            self._settle(row, holder, Event("dispute_refused"))
            revoke_tokens(self.change, row)
            self.events[:] = [Event("dispute_refused")]
            return replace(before, state=State.EXPIRED, since=self.now, disputed_at=None)
        if new.state in HOLDING:  # proven, but somebody has it
            self.events.clear()
            new = before
        return self._doubt(row, old, new, holder, verdict)

    def _doubt(self, row: Row[Any], old: Standing, new: Standing, holder: Row[Any], verdict: Verdict) -> Standing:
        gone = new.facts.ownership.is_confirmed_failure or new.state is State.EXPIRED
        if old.disputed_at is not None and gone:
            self._settle(row, holder, Event("dispute_refused"))
            return replace(new, disputed_at=None)
        if verdict == "disputed":
            self._holder(holder, {"disputed_at": self.now}, Event("disputed"))
        elif verdict != "operator" or old.disputed_at is not None:
            return new
        self.events.append(Event("disputed"))
        return replace(new, disputed_at=self.now)

    def _transfer(self, row: Row[Any], old: Standing, holder: Row[Any]) -> Standing:
        leave(self.change, holder, State.RELEASED, "domain.transfer")
        revoke_tokens(self.change, holder)
        end_dispute(self.change, row.name, but=row.id)
        self._tell(holder, Event("transferred"))
        new, events = observe(replace(old, disputed_at=None), self.asked.look)
        self.events[:] = events
        return new

    def _settle(self, row: Row[Any], holder: Row[Any], event: Event) -> None:
        if holder.disputed_at is not None:
            self._holder(holder, {"disputed_at": None}, event)

    def _holder(self, holder: Row[Any], values: dict[str, Any], event: Event) -> None:
        same = {"name": holder.name, "organisation_id": holder.organisation_id}
        grown = {**values, "version": holder.version + 1}
        self.change.change(domain, holder, grown, action=f"domain.{event.kind}", **same)
        self._tell(holder, event)

    def _write(self, row: Row[Any], new: Standing) -> bool:
        """Set, if it is still what was compared."""
        looks = next_looks(new, self.now, spread_of(row.id))
        values = {
            **columns_of(new),
            "observations": with_observations(row.observations, self.asked.seen),
            "next_look_at": None if looks is None else looks.at,
            "leased_until": None,
            "version": domain.c.version + 1,
        }
        same = and_(domain.c.id == row.id, domain.c.version == row.version)
        return self.change.connection.execute(update(domain).where(same).values(**values)).rowcount == 1

    def _used(self, row: Row[Any]) -> None:
        """The token that was found is in use; older ones go for ever."""
        mine = and_(domain_token.c.name == row.name, domain_token.c.organisation_id == row.organisation_id)
        unused = and_(mine, domain_token.c.serial == self.asked.serial, domain_token.c.used_at.is_(None))
        first = self.change.connection.execute(update(domain_token).where(unused).values(used_at=self.now)).rowcount
        older = and_(mine, domain_token.c.serial < self.asked.serial, domain_token.c.revoked_at.is_(None))
        gone = self.change.connection.execute(update(domain_token).where(older).values(revoked_at=self.now)).rowcount
        if first and gone:
            self.events.append(Event("token"))

    def _note(self, row: Row[Any], old: Standing, new: Standing, event: Event) -> None:
        self.change.note(
            f"domain.{event.kind}", "domain", row.id, row.name, row.organisation_id,
            state=f"{old.state} -> {new.state}", **({"day": event.day} if event.day else {}),
            **({"cause": event.cause} if event.cause else {}),
        )  # fmt: skip
        if self.asked.tell is not None:
            self.asked.tell(self.change, row, new, event)

    def _tell(self, row: Row[Any], event: Event) -> None:
        if self.asked.tell is not None:
            self.asked.tell(self.change, row, standing_of(row), event)


class Overtaken(StellwerkError):
    """Somebody changed the row after it was read: the transaction is undone."""


async def record_look(store: Store, asked: RecordLook) -> Recorded:
    """`STALE` when somebody else changed the claim meanwhile: the look is made again. Raises `StoreUnavailable`."""
    try:
        (recorded,) = await store.write([Write(record, asked)])
    except (Overtaken, IntegrityError):
        return STALE
    return recorded  # type: ignore[no-any-return]


def _shown(standing: Standing) -> tuple[Any, ...]:
    """What others see of it."""
    return standing.state, standing.takes_mail_until(), standing.frozen_at, standing.disputed_at
