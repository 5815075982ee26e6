"""People: who may log in, what they are, and their passwords. Leaving is in leaving.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, select

from gateway.directory import names
from gateway.directory.actor import ROLES, Actor, Role
from gateway.directory.change import Change, one
from gateway.directory.domains import own_domain
from gateway.directory.errors import BadValue, Conflict, NotAllowed, NotFound
from gateway.directory.organisations import find_context, find_organisation
from gateway.directory.rank import must_administer_mailbox_of
from gateway.directory.tables import app_password, context, mailbox, organisation, person
from gateway.directory.visibility import sees_person
from gateway.mail.ids import new_id

ACTIVE = "active"
INACTIVE = "inactive"
LANGUAGES = ("en", "de")
MOST_APP_PASSWORDS = 5
"""Of one person at the same time: each is one more hash that every failed login of anybody has to take."""


@dataclass(frozen=True, slots=True)
class AddPerson:
    """Returns the id. The person has no password, and so no login, and no mailbox yet."""

    address: str
    organisation: str
    context: str
    name: str = ""
    role: Role = "member"
    language: str = "en"
    phone: str = ""
    extension: str = ""

    def run(self, change: Change, /) -> str:
        owner = find_organisation(change, self.organisation)
        where = find_context(change, owner, self.context)
        change.actor.must_administer(owner.id, where.id, "add people")
        address = names.address(self.address)
        check_role(change.actor, self.role)
        check_language(self.language)
        own_domain(change, address.domain, owner)
        if one(change, person, address=address.key) is not None:
            raise Conflict(is_a_person_already(address.key))
        must_administer_mailbox_of(change, address.key)
        row = {
            "id": new_id(),
            "context_id": where.id,
            "address": address.key,
            "name": names.line(self.name, "the name"),
            "phone": names.line(self.phone, "the phone"),
            "language": self.language,
            "role": self.role,
            "extension": free_extension(change, where.id, self.extension),
            "created_at": change.now,
        }
        change.add(person, row, name=address.key, organisation_id=owner.id)
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class ChangePerson:
    """Other values for some of name, phone, language, role, extension; a person may change their own name, phone and
    language. Returns False if nothing differs.
    """

    address: str
    values: dict[str, str]

    def run(self, change: Change, /) -> bool:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id or self.values.keys() - {"name", "phone", "language"}:
            found.must_be_administered_by(change.actor, "change them")
        values = dict(self.values)
        for column in {"name", "phone"} & values.keys():
            values[column] = names.line(values[column], f"the {column}")
        if "language" in values:
            check_language(values["language"])
        if values.get("role", found.row.role) != found.row.role:
            check_role(change.actor, values["role"])
        if values.get("extension", found.row.extension) != found.row.extension:
            found.must_be_active()
            values["extension"] = free_extension(change, found.row.context_id, values["extension"])
        return change.change(person, found.row, values, action="person.change", name=found.row.address,
                             organisation_id=found.organisation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MovePerson:
    """Into another context of the organisation, with the personal mailboxes they own; the extension is given up where
    somebody has it there. Returns False if they are there.
    """

    address: str
    context: str

    def run(self, change: Change, /) -> bool:
        found = find_person(change, self.address)
        found.must_be_administered_by(change.actor, "move them")
        target = find_context(change, find_organisation(change, found.organisation), self.context)
        change.actor.must_administer(found.organisation_id, target.id, "move people there")
        if target.id == found.row.context_id:
            return False
        same: dict[str, Any] = {"organisation_id": found.organisation_id}
        mine = select(mailbox).where(
            mailbox.c.owner_id == found.row.id, mailbox.c.kind == "personal", mailbox.c.ended_at.is_(None)
        )
        for box in change.rows(mine):
            change.change(mailbox, box, {"context_id": target.id}, action="mailbox.move", name=box.address, **same)
        values = {"context_id": target.id}
        if found.row.extension and one(change, person, context_id=target.id, extension=found.row.extension):
            values["extension"] = ""
        return change.change(person, found.row, values, action="person.move", name=found.row.address, **same)


@dataclass(frozen=True, slots=True)
class SetPassword:
    """A new password, hashed by the caller (argon2id, PHC string). The old one, and every session, is dead at once.

    Empty: no login by password. Returns how many app passwords stay valid; with `end_app_passwords` none does.
    """

    address: str
    password: str
    end_app_passwords: bool = False

    def run(self, change: Change, /) -> int:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "set a password")
        if self.password:
            found.must_be_active()
        values = {
            "password": self.password,
            "password_changed_at": change.now,
            "credential_version": found.row.credential_version + 1,
        }
        change.change(person, found.row, values, action="person.password", name=found.row.address,
                      organisation_id=found.organisation_id)  # fmt: skip
        if self.end_app_passwords:
            end_app_passwords(change, found)
        return len(change.rows(_open_app_passwords(found.row.id)))


@dataclass(frozen=True, slots=True)
class AddAppPassword:
    """A further password for one program or device. Returns its id."""

    address: str
    label: str
    password: str

    def run(self, change: Change, /) -> str:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "add an app password")
        found.must_be_active()
        if (number := len(change.rows(_open_app_passwords(found.row.id)))) >= MOST_APP_PASSWORDS:
            raise Conflict(
                f"{found.row.address} has {number} app passwords, and {MOST_APP_PASSWORDS} is the most; end one first"
            )
        row = {
            "id": new_id(),
            "person_id": found.row.id,
            "label": names.line(self.label, "the label"),
            "password": self.password,
            "created_at": change.now,
        }
        change.add(app_password, row, name=f"{found.row.address} {row['label']}", organisation_id=found.organisation_id)
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class EndAppPassword:
    """The password is dead at once, and with it every session: nobody knows with which one they logged in."""

    address: str
    id: str

    def run(self, change: Change, /) -> None:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "end an app password")
        row = one(change, app_password, id=self.id, person_id=found.row.id)
        if row is None or row.ended_at is not None:
            raise NotFound("app password", self.id, hint=f"stellwerk user show {found.row.address} lists them")
        name = f"{found.row.address} {row.label}"
        change.change(app_password, row, {"ended_at": change.now, "password": ""}, action="app_password.end", name=name,
                      organisation_id=found.organisation_id)  # fmt: skip
        values = {"credential_version": found.row.credential_version + 1}
        change.change(person, found.row, values, action="person.sessions", name=found.row.address,
                      organisation_id=found.organisation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EndAppPasswords:
    """All of a person's, and every session with them. Returns how many there were."""

    address: str

    def run(self, change: Change, /) -> int:
        found = find_person(change, self.address)
        if change.actor.person_id != found.row.id:
            found.must_be_administered_by(change.actor, "end app passwords")
        if count := end_app_passwords(change, found):
            values = {"credential_version": found.row.credential_version + 1}
            change.change(person, found.row, values, action="person.sessions", name=found.row.address,
                          organisation_id=found.organisation_id)  # fmt: skip
        return count


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """A person's row and where it belongs."""

    row: Row[Any]
    organisation_id: str
    organisation: str
    context: str

    def must_be_active(self) -> None:
        """Raises `Conflict`."""
        if self.row.state != ACTIVE:
            raise Conflict(f"{self.row.address} has left; activate them first: stellwerk user activate ADDRESS")

    def must_be_administered_by(self, actor: Actor, what: str) -> None:
        """Raises `NotAllowed`. Nobody administers somebody who may do more than they."""
        actor.must_administer(self.organisation_id, self.row.context_id, what)
        actor.must_not_do_for_more(self.row.role, self.row.address, what)


def find_person(change: Change, address: str) -> FoundPerson:
    """By the address they log in with. Raises `NotFound`, for people of another organisation, too."""
    key = names.address(address).key
    row = one(change, person, address=key)
    if row is None:
        raise NotFound("person", address, hint="stellwerk user list shows all")
    where = select(organisation.c.id, organisation.c.name, context.c.name.label("context")).join_from(
        context, organisation
    )
    place = change.rows(where.where(context.c.id == row.context_id))[0]
    change.actor.must_see(place.id, "person", address)
    if row.id != change.actor.person_id and not sees_person(change, row.id):
        raise NotFound("person", address, hint="stellwerk user list shows all")
    return FoundPerson(row, place.id, place.name, place.context)


def end_app_passwords(change: Change, found: FoundPerson) -> int:
    """How many there were. That sessions end too is the caller's business."""
    rows = change.rows(_open_app_passwords(found.row.id))
    for row in rows:
        change.change(app_password, row, {"ended_at": change.now, "password": ""}, action="app_password.end",
                      name=f"{found.row.address} {row.label}", organisation_id=found.organisation_id)  # fmt: skip
    return len(rows)


def _open_app_passwords(person_id: str) -> Select[Any]:
    mine = and_(app_password.c.person_id == person_id, app_password.c.ended_at.is_(None))
    return select(app_password).where(mine).order_by(app_password.c.created_at, app_password.c.id)


def is_a_person_already(address: str) -> str:
    """Why `address` cannot be a new person's: the history of two people would be one."""
    return (
        f"{address} is a person already; an address is free again only once they have left and are erased: stellwerk "
        "user activate takes them back, stellwerk person erase erases them"
    )


def free_extension(change: Change, context_id: str, text: str) -> str:
    """Raises `Conflict` when somebody of the context has it. Those who have left have freed theirs."""
    digits = names.extension(text)
    if digits and (holder := one(change, person, context_id=context_id, extension=digits)) is not None:
        raise Conflict(f"extension {digits} is {holder.address}'s; choose another")
    return digits


def check_language(language: str) -> None:
    """Raises `BadValue`."""
    if language not in LANGUAGES:
        raise BadValue(f'"{language}" is no language that notices are written in; expected {" or ".join(LANGUAGES)}')


def check_role(actor: Actor, role: str) -> None:
    """Nobody makes somebody more than they are. Raises `BadValue`, `NotAllowed`."""
    if role not in ROLES:
        raise BadValue(f'"{role}" is no role; expected {", ".join(ROLES)}')
    if actor.may_do_less_than(role):
        raise NotAllowed(f"{actor.name} ({actor.role}) may not make somebody {role}")
