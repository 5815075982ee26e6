"""What people do with claims: make one, get a new token, approve, suspend, give up. Commands of the directory.

What looks at DNS lead to is looks.py's business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, and_, func, select, update

from gateway.directory import names as directory_names
from gateway.directory.change import Change
from gateway.directory.domains import HOLDERS, find_domain, row_of
from gateway.directory.errors import BadValue, Conflict
from gateway.directory.organisations import find_organisation
from gateway.directory.tables import audit_entry, domain, domain_token
from gateway.domains.facts import HOUR
from gateway.domains.names import Claimable, Hold, claimable, parents
from gateway.domains.rows import columns_of, standing_of
from gateway.domains.schedule import may_look_now
from gateway.domains.states import HOLDING, State, claim
from gateway.domains.token import SCOPES, Scope, new_token
from gateway.domains.writing import end_dispute, leave, revoke_tokens, set_columns
from gateway.mail.ids import new_id

MOST_CONTACTS = 10
_ASIDE = (State.EXPIRED, State.RELEASED, State.UNVERIFIED)
"""States out of which a new claim leads."""


@dataclass(frozen=True, slots=True)
class ClaimDomain:
    """An organisation says that a domain is its own; from now on its DNS is looked at. Returns the normal form.

    `contacts` get the notices: at least one, none in the domain itself. `own_names`: what the gateway is called.
    `held` is told of a claim that waits for an operator, in the same transaction.
    """

    name: str
    organisation: str
    contacts: Sequence[str] = ()
    scope: Scope = "exact"
    own_names: Collection[str] = ()
    held: Callable[[Change, Row[Any]], None] | None = None

    def run(self, change: Change, /) -> str:
        owner = find_organisation(change, self.organisation)
        change.actor.must_administer(owner.id, None, "add a domain")
        if self.scope not in SCOPES:
            raise BadValue(f'"{self.scope}" is no scope; expected exact or tree')
        wanted = claimable(self.name, self.own_names)
        there = row_of(change, wanted.name, owner.id)
        if there is not None and there.state not in _ASIDE:
            raise Conflict(f"{wanted.name} belongs to {owner.name} already, it is {there.state}; "
                           f"stellwerk domain show {wanted.name}")  # fmt: skip
        contacts = _contacts(self.contacts or [owner.contact_address], wanted)
        hold = wanted.hold or _held_by_a_parent(change, wanted.name, owner.id)
        values = {
            "contacts": " ".join(contacts),
            "scope": self.scope,
            "hold": hold,
            "next_look_at": None if hold else change.now,
            **columns_of(claim(change.now)),
        }
        if there is None:
            row = {"id": new_id(), "name": wanted.name, "organisation_id": owner.id, "created_at": change.now}
            brief = {name: values.pop(name) for name in ("state", "state_since", "scope", "contacts", "hold")}
            change.add(domain, {**row, **brief}, name=wanted.name, organisation_id=owner.id)
            there = row_of(change, wanted.name, owner.id)
            assert there is not None
        else:
            noted = {"state": values.pop("state"), "contacts": values.pop("contacts"), "scope": values.pop("scope")}
            change.change(domain, there, noted, action="domain.claim", name=wanted.name, organisation_id=owner.id)
        set_columns(change, there, values)
        issue_token(change, there, self.scope)
        if hold and self.held is not None:
            self.held(change, change.rows(select(domain).where(domain.c.id == there.id))[0])
        return wanted.name


@dataclass(frozen=True, slots=True)
class NewToken:
    """Another token, with the next serial. What was never used is revoked now, the one in use when this one is seen.

    Returns its serial.
    """

    name: str
    organisation: str = ""

    def run(self, change: Change, /) -> int:
        row = administered(change, self.name, self.organisation, "get a new token")
        if row.state in (State.TRUSTED, *_ASIDE):
            add = f"stellwerk domain add {row.name} --organisation O --contact ADDRESS"
            raise Conflict(f"{row.name} is {row.state}: there is nothing to prove" +
                           ("" if row.state == State.TRUSTED else f"; claim it first: {add}"))  # fmt: skip
        standing = replace(standing_of(row), token_issued_at=change.now)
        set_columns(change, row, {**columns_of(standing), "next_look_at": None if row.hold else change.now})
        return issue_token(change, row, row.scope)


@dataclass(frozen=True, slots=True)
class LookNow:
    """Somebody has changed DNS and does not want to wait: the desk looks at once, though not too often."""

    name: str
    organisation: str = ""

    def run(self, change: Change, /) -> None:
        row = administered(change, self.name, self.organisation, "have it looked at")
        if row.next_look_at is None:
            waits = f"it waits for an operator ({row.hold})" if row.hold else f"it is {row.state}"
            raise Conflict(f"{row.name} is not looked at: {waits}")
        facts = standing_of(row).facts
        last = max(facts.ownership.looked_at or 0.0, facts.routing.looked_at or 0.0) or None
        wait = may_look_now(change.now, last, self._looks(change, row))
        if wait:
            raise Conflict(f"{row.name} was looked at a moment ago, or often in this hour; try again in {wait:.0f} s")
        set_columns(change, row, {"next_look_at": change.now})
        change.note("domain.look", "domain", row.id, row.name, row.organisation_id)

    def _looks(self, change: Change, row: Row[Any]) -> int:
        """How many the organisation has asked for within the hour."""
        mine = and_(audit_entry.c.organisation_id == row.organisation_id, audit_entry.c.at > change.now - HOUR)
        query = select(func.count()).select_from(audit_entry).where(and_(mine, audit_entry.c.action == "domain.look"))
        return change.count(query)


@dataclass(frozen=True, slots=True)
class NotePublished:
    """Records of the domain were entered in its owner's DNS. `records`: name and type of each; `server`: where."""

    name: str
    organisation: str
    server: str
    key: str
    records: Sequence[str]

    def run(self, change: Change, /) -> None:
        row = administered(change, self.name, self.organisation, "publish its records")
        told = {"server": self.server, "key": self.key, "records": list(self.records)}
        change.note("domain.publish", "domain", row.id, row.name, row.organisation_id, **told)


@dataclass(frozen=True, slots=True)
class ApproveDomain:
    """An operator has looked at a claim that waits for one: it goes on as any other."""

    name: str
    organisation: str = ""

    def run(self, change: Change, /) -> None:
        change.actor.must_be_operator("approve a domain")
        row = find_domain(change, self.name, self.organisation)
        if not row.hold:
            raise Conflict(f"{row.name} waits for nobody: it is {row.state}")
        standing = replace(standing_of(row), token_issued_at=change.now)
        same = {"name": row.name, "organisation_id": row.organisation_id}
        change.change(domain, row, {"hold": ""}, action="domain.approve", **same)
        set_columns(change, row, {"next_look_at": change.now, **columns_of(standing)})


@dataclass(frozen=True, slots=True)
class SuspendDomain:
    """An operator takes a domain out of service; only a fresh token and the MX bring it back."""

    name: str

    def run(self, change: Change, /) -> None:
        change.actor.must_be_operator("suspend a domain")
        row = find_domain(change, self.name)
        if row.state not in HOLDING - {State.TRUSTED, State.SUSPENDED}:
            raise Conflict(f"{row.name} is {row.state}; only a domain in service is suspended"
                           + ("; stellwerk domain distrust" if row.state == State.TRUSTED else ""))  # fmt: skip
        leave(change, row, State.SUSPENDED, "domain.suspend")
        set_columns(change, row, {"next_look_at": change.now})


@dataclass(frozen=True, slots=True)
class GiveUpDomain:
    """The organisation does not want it any more: its tokens are revoked for ever, and the name is free."""

    name: str
    organisation: str = ""

    def run(self, change: Change, /) -> None:
        row = administered(change, self.name, self.organisation, "give a domain up")
        if row.state in _ASIDE:
            raise Conflict(f"{row.name} is {row.state} already")
        if row.disputed_at is not None:
            end_dispute(change, row.name)
        state = State.EXPIRED if row.state == State.PENDING else State.RELEASED
        leave(change, row, state, "domain.give-up")
        revoke_tokens(change, row)


def administered(change: Change, name: str, of: str, what: str) -> Row[Any]:
    """The domain, if the actor administers its organisation. Raises `NotFound`, `NotAllowed`."""
    row = find_domain(change, name, of)
    change.actor.must_administer(row.organisation_id, None, what)
    return row


def issue_token(change: Change, row: Row[Any], scope: Scope) -> int:
    """The next serial of this organisation and name. Those never used are revoked: a new one takes their place."""
    mine = and_(domain_token.c.name == row.name, domain_token.c.organisation_id == row.organisation_id)
    last = change.first(select(func.max(domain_token.c.serial).label("serial")).where(mine))
    serial = (last.serial if last is not None and last.serial else 0) + 1
    unused = and_(mine, domain_token.c.used_at.is_(None), domain_token.c.revoked_at.is_(None))
    change.connection.execute(update(domain_token).where(unused).values(revoked_at=change.now))
    token = new_token()
    values = {
        "token": token,
        "name": row.name,
        "organisation_id": row.organisation_id,
        "serial": serial,
        "scope": scope,
        "issued_at": change.now,
    }
    change.connection.execute(domain_token.insert().values(**values))
    set_columns(change, row, {"serial": serial, "token": token})
    whose = (row.id, row.name, row.organisation_id)
    change.note("domain.token", "domain", *whose, serial=serial, token=token)
    return serial


def _contacts(given: Sequence[str], wanted: Claimable) -> list[str]:
    outside = [directory_names.address(text) for text in given if text]
    inside = [str(each) for each in outside if each.domain == wanted.name or each.domain.endswith("." + wanted.name)]
    if inside:
        raise BadValue(f"{inside[0]} is in {wanted.shown} itself and would not hear of trouble with it; "
                       "name an address elsewhere: --contact ADDRESS")  # fmt: skip
    if not outside:
        raise BadValue(f"{wanted.shown} needs a contact outside of it, who is told of trouble: --contact ADDRESS "
                       "(an operator may take it without: stellwerk domain trust NAME --organisation O)")  # fmt: skip
    if len(outside) > MOST_CONTACTS:
        raise BadValue(f"at most {MOST_CONTACTS} contacts, not {len(outside)}")
    return list(dict.fromkeys(str(each) for each in outside))


def _held_by_a_parent(change: Change, name: str, organisation_id: str) -> Hold:
    """Another organisation has proven a name above with all below it: an operator must look."""
    above = and_(domain.c.name.in_(parents(name)), domain.c.scope == "tree", domain.c.state.in_(HOLDERS))
    other = select(domain.c.id).where(and_(above, domain.c.organisation_id != organisation_id))
    return "parent_owned_by_other" if change.first(other) is not None else ""
