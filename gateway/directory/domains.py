"""Domains of organisations: who holds a name, what may be done in it, and an operator's word in place of a proof.

Claims and proofs by DNS are gateway/domains' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import Row, and_, or_, select

from gateway.directory import names
from gateway.directory.change import Change
from gateway.directory.errors import BadValue, Conflict, NotFound
from gateway.directory.organisations import find_organisation
from gateway.directory.sealing import seal_others, unseal
from gateway.directory.tables import domain, organisation
from gateway.domains.states import CHANGEABLE, HOLDING, State
from gateway.mail.ids import new_id

HOLDERS: tuple[str, ...] = tuple(sorted(HOLDING))
_ADD = "add it first: stellwerk domain add NAME --organisation O --contact ADDRESS"

_WHY_NOT = {
    State.GRACE: "its ownership cannot be seen in DNS any more, so it gets nothing new until that is repaired",
    State.SUSPENDED: "it is suspended",
}


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """An operator vouches for a domain without a proof by DNS, or takes that back. Returns False if it was so.

    With `organisation` it is made its domain, if it is none of it yet.
    """

    name: str
    trusted: bool = True
    organisation: str = ""

    def run(self, change: Change, /) -> bool:
        change.actor.must_be_operator("trust a domain")
        row = self._row(change)
        state = State.TRUSTED if self.trusted else State.UNVERIFIED
        if row is None:
            self._add(change)
            return True
        if row.state == state or (not self.trusted and row.state != State.TRUSTED):
            return False
        if self.trusted:
            must_be_free(change, row.name, row.organisation_id)
        values = {
            "state": str(state),
            "state_since": change.now,
            "takes_mail_until": None if self.trusted else 0.0,
            "hold": "",
            "frozen_at": None,
            "disputed_at": None,
            "next_look_at": None,
            "version": row.version + 1,
        }
        action = "domain.trust" if self.trusted else "domain.distrust"
        change.change(domain, row, values, action=action, name=row.name, organisation_id=row.organisation_id)
        if self.trusted:
            _gained(change, row.name, row.organisation_id)
        return True

    def _row(self, change: Change) -> Row[Any] | None:
        if not (self.organisation and self.trusted):
            hint = _ADD if self.trusted else "stellwerk domain list shows all"
            return find_domain(change, self.name, self.organisation, hint=hint)
        owner = find_organisation(change, self.organisation)
        return row_of(change, names.domain(self.name), owner.id)

    def _add(self, change: Change) -> None:
        owner = find_organisation(change, self.organisation)
        name = names.domain(self.name)
        must_be_free(change, name, owner.id)
        row = {
            "id": new_id(),
            "name": name,
            "organisation_id": owner.id,
            "state": str(State.TRUSTED),
            "state_since": change.now,
            "created_at": change.now,
        }
        change.add(domain, row, name=name, organisation_id=owner.id)
        _gained(change, name, owner.id)


def _gained(change: Change, name: str, organisation_id: str) -> None:
    seal_others(change, name, organisation_id)
    unseal(change, name, organisation_id)


def must_be_free(change: Change, name: str, organisation_id: str) -> None:
    """No other organisation holds it. For operators, who may know who does. Raises `Conflict`."""
    holder = holder_of(change, name)
    if holder is not None and holder.organisation_id != organisation_id:
        whose = organisation_name(change, holder.organisation_id)
        raise Conflict(f"{name} belongs to {whose} (it is {holder.state}); take it from them first")


def holder_of(change: Change, name: str, *, lock: bool = False) -> Row[Any] | None:
    """The one row of those that claim the name that has it. With `lock` it stays so until the transaction ends."""
    query = select(domain).where(and_(domain.c.name == name, domain.c.state.in_(HOLDERS)))
    return change.first(query.with_for_update() if lock else query)


def row_of(change: Change, name: str, organisation_id: str) -> Row[Any] | None:
    return change.first(select(domain).where(and_(domain.c.name == name, domain.c.organisation_id == organisation_id)))


def find_domain(change: Change, name: str, of: str = "", *, hint: str = _ADD) -> Row[Any]:
    """The actor's own; for operators the holder's, else the only claim; of the organisation `of` where it is said.

    Raises `NotFound`, for a domain of an organisation that the actor does not see, too.
    """
    known = names.domain(name)
    query = select(domain, organisation.c.name.label("whose")).join_from(domain, organisation)
    rows = change.rows(query.where(domain.c.name == known).order_by(organisation.c.name))
    actor = change.actor
    mine = [
        row
        for row in rows
        if (actor.is_operator or row.organisation_id == actor.organisation_id) and of in ("", row.whose)
    ]
    if not mine:
        raise NotFound("domain", name, hint=hint)
    held = [row for row in mine if row.state in HOLDERS]
    if len(mine) > 1 and not held:
        raise BadValue(
            f"{known} is claimed by several; say whose with --organisation: {', '.join(r.whose for r in mine)}"
        )
    identity = (held or mine)[0].id
    return change.rows(select(domain).where(domain.c.id == identity))[0]


def own_domain(change: Change, name: str, owner: Row[Any]) -> Row[Any]:
    """The domain `name` of the organisation `owner`, in which something new may be made.

    Raises `NotFound` for one of others, and `Conflict` for one whose state does not allow it.
    """
    known = names.domain(name)
    row = row_of(change, known, owner.id)
    if row is None:
        add = f"stellwerk domain add {known} --organisation {owner.name} --contact ADDRESS"
        there = change.first(select(domain.c.id).where(domain.c.name == known)) if change.actor.is_operator else None
        raise NotFound("domain", known, hint=f"it is none of {owner.name}" if there else f"add it first: {add}")
    must_take_new(known, row.state, row.frozen_at, row.disputed_at)
    return row


def must_take_new(name: str, state: str, frozen_at: float | None, disputed_at: float | None) -> None:
    """Raises `Conflict` unless the domain may get new addresses."""
    if frozen_at is not None or disputed_at is not None:
        refuse_frozen(name)
    if state not in CHANGEABLE:
        why = _WHY_NOT.get(State(state), f"it is {state}, and gets addresses once its owner has proven it")
        raise Conflict(f"{name}: {why}; stellwerk domain show {name} says what to do")


def is_frozen(change: Change, name: str) -> bool:
    """Whether whoever holds the name has to confirm it first."""
    doubted = or_(domain.c.frozen_at.is_not(None), domain.c.disputed_at.is_not(None))
    held = and_(domain.c.name == name, domain.c.state.in_(HOLDERS), doubted)
    return change.first(select(domain.c.id).where(held)) is not None


def refuse_frozen(name: str) -> NoReturn:
    """Raises `Conflict`."""
    raise Conflict(
        f"{name} is frozen: its name servers changed while its token was gone, or others claim it too; "
        f"put a fresh token into DNS: stellwerk domain token {name} --new"
    )


def organisation_name(change: Change, organisation_id: str) -> str:
    return str(change.rows(select(organisation.c.name).where(organisation.c.id == organisation_id))[0].name)
