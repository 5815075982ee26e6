"""People who leave and come back. Nothing that they did is deleted; what still names them is in dangling.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select

from gateway.directory.change import Change, one
from gateway.directory.errors import BadValue, Conflict, NotFound
from gateway.directory.people import ACTIVE, INACTIVE, FoundPerson, end_app_passwords, find_person
from gateway.directory.tables import context, mailbox, membership, person


@dataclass(frozen=True, slots=True)
class DeactivatePerson:
    """They can do nothing any more, from now on: password and app passwords are dead, sessions too, memberships end.

    Mailboxes stay theirs until somebody gives them to others; mail for them goes to `deputy`, if there is one.
    """

    address: str
    deputy: str = ""

    def run(self, change: Change, /) -> None:
        found = find_person(change, self.address)
        found.must_be_administered_by(change.actor, "deactivate them")
        if found.row.state != ACTIVE:
            raise Conflict(f"{found.row.address} has left already")
        values: dict[str, Any] = {
            "state": INACTIVE,
            "deactivated_at": change.now,
            "password": "",
            "extension": "",
            "credential_version": found.row.credential_version + 1,
        }
        if self.deputy:
            values["deputy_id"] = _deputy(change, found, self.deputy)
        same: dict[str, Any] = {"organisation_id": found.organisation_id}
        change.change(person, found.row, values, action="person.deactivate", name=found.row.address, **same)
        end_app_passwords(change, found)
        open_ones = and_(membership.c.person_id == found.row.id, membership.c.until.is_(None))
        for row in change.rows(select(membership).where(open_ones)):
            box = one(change, mailbox, id=row.mailbox_id)
            name = f"{'' if box is None else box.address} {found.row.address}"
            change.change(membership, row, {"until": change.now}, action="membership.end", name=name, **same)


@dataclass(frozen=True, slots=True)
class ActivatePerson:
    """They are back, without password and without the memberships they had: somebody decides anew."""

    address: str

    def run(self, change: Change, /) -> None:
        found = find_person(change, self.address)
        found.must_be_administered_by(change.actor, "activate them")
        if found.row.state == ACTIVE:
            raise Conflict(f"{found.row.address} is active")
        if found.row.address.endswith(ERASED):
            raise Conflict(f"{found.row.address} was erased; nobody knows who that was: add a new person")
        where = one(change, context, id=found.row.context_id)
        if where is not None and where.ended_at is not None:
            raise Conflict(
                f"{found.row.address} was of {found.organisation}/{where.name}, which has ended; move them first: "
                f"stellwerk user change {found.row.address} --context NAME"
            )
        values = {"state": ACTIVE, "deactivated_at": None}
        change.change(person, found.row, values, action="person.activate", name=found.row.address,
                      organisation_id=found.organisation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SetDeputy:
    """Who gets the mail of somebody who has left, or will have; empty: nobody. Returns False if it was so."""

    address: str
    deputy: str

    def run(self, change: Change, /) -> bool:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "choose their deputy")
        deputy_id = _deputy(change, found, self.deputy) if self.deputy else None
        return change.change(person, found.row, {"deputy_id": deputy_id}, action="person.deputy",
                             name=found.row.address, organisation_id=found.organisation_id)  # fmt: skip


ERASED = "@erased.invalid"
"""The domain of pseudonyms: see erasing.py. No mail can ever be for it (RFC 2606)."""


def _deputy(change: Change, found: FoundPerson, address: str) -> str:
    deputy = find_person(change, address)
    if deputy.organisation_id != found.organisation_id:
        raise NotFound("person", address)
    deputy.must_be_active()
    if deputy.row.id == found.row.id:
        raise BadValue(f"{found.row.address} cannot be their own deputy; name somebody else")
    return str(deputy.row.id)
