"""Mailboxes, their addresses and their settings. Who else may use them is in members.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, and_, select

from gateway.directory import names, plans
from gateway.directory.actor import Actor
from gateway.directory.change import Change, one
from gateway.directory.domains import is_frozen, own_domain, refuse_frozen
from gateway.directory.errors import BadValue, Conflict, NotAllowed, NotFound
from gateway.directory.organisations import find_context, find_organisation
from gateway.directory.people import find_person
from gateway.directory.rank import must_administer_login_of
from gateway.directory.tables import address, context, mailbox, membership, organisation, person
from gateway.directory.visibility import sees_mailbox
from gateway.mail.address import Address
from gateway.mail.ids import new_id

Kind = Literal["personal", "shared"]
KINDS: tuple[Kind, ...] = ("personal", "shared")
MAIN, ALIAS, INTAKE = "main", "alias", "intake"
SETTINGS = frozenset({"display_name", "receives", "vip", "max_message_bytes", "next_hop"})


@dataclass(frozen=True, slots=True)
class AddMailbox:
    """Returns its id. `owner` is the address that a person logs in with; a personal mailbox has one."""

    address: str
    organisation: str
    context: str
    kind: Kind = "personal"
    owner: str = ""
    display_name: str = ""

    def run(self, change: Change, /) -> str:
        organisation_row = find_organisation(change, self.organisation)
        where = find_context(change, organisation_row, self.context)
        change.actor.must_administer(organisation_row.id, where.id, "add mailboxes")
        if self.kind not in KINDS:
            raise BadValue(f'"{self.kind}" is no kind of mailbox; expected personal or shared')
        owner_id = None
        if self.owner:
            found = find_person(change, self.owner)
            found.must_be_active()
            if found.organisation_id != organisation_row.id:
                raise NotFound("person", self.owner)
            change.actor.must_not_do_for_more(found.row.role, found.row.address, "add mailboxes")
            owner_id = found.row.id
            if self.kind == "personal":
                plans.check_own_mailboxes(change, organisation_row, found.row)
        parsed = free_address(change, self.address, organisation_row, owner_id)
        row = {
            "id": new_id(),
            "context_id": where.id,
            "address": parsed.key,
            "kind": self.kind,
            "owner_id": owner_id,
            "display_name": names.line(self.display_name, "the display name"),
            "created_at": change.now,
        }
        change.add(mailbox, row, name=parsed.key, organisation_id=organisation_row.id)
        add_address(change, parsed, str(row["id"]), MAIN, organisation_row.id)
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class ChangeMailbox:
    """Other values for some of `SETTINGS`, by their names in the table. Returns False if nothing differs."""

    address: str
    values: dict[str, Any]

    def run(self, change: Change, /) -> bool:
        box = find_mailbox(change, self.address)
        box.must_be_managed_by(change, "change its settings")
        if unknown := sorted(self.values.keys() - SETTINGS):
            raise BadValue(f"a mailbox has no setting {', '.join(unknown)}; there are: {', '.join(sorted(SETTINGS))}")
        values = dict(self.values)
        if "display_name" in values:
            values["display_name"] = names.line(values["display_name"], "the display name")
        limit = values.get("max_message_bytes")
        if limit is not None and limit < 1:
            raise BadValue(f"a limit is a number of bytes from 1 on, or unlimited; found {limit}")
        if "next_hop" in values:
            # Where mail for it goes is the business of whoever answers for the domain, not of a member.
            box.must_be_administered_by(change.actor, "change where its mail goes")
        if limit is not None and limit != box.row.max_message_bytes:
            plans.check_message_bytes(box.organisation_row(change), box.row, limit)
        return change.change(mailbox, box.row, values, action="mailbox.change", name=box.row.address,
                             organisation_id=box.organisation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GiveMailbox:
    """Another owner; empty: none. It may be given to somebody who may do more, but not taken from them."""

    address: str
    owner: str

    def run(self, change: Change, /) -> bool:
        box = find_mailbox(change, self.address)
        box.must_be_administered_by(change.actor, "give it to somebody else")
        owner_id = None
        if self.owner:
            found = find_person(change, self.owner)
            found.must_be_active()
            if found.organisation_id != box.organisation_id:
                raise NotFound("person", self.owner)
            owner_id = found.row.id
            if box.row.kind == "personal" and box.row.owner_id != owner_id:
                plans.check_own_mailboxes(change, box.organisation_row(change), found.row)
        return change.change(mailbox, box.row, {"owner_id": owner_id}, action="mailbox.give", name=box.row.address,
                             organisation_id=box.organisation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EndMailbox:
    """No mail is taken for it any more and its addresses are free; what it was stays in the directory."""

    address: str

    def run(self, change: Change, /) -> None:
        box = find_mailbox(change, self.address)
        box.must_be_administered_by(change.actor, "end it")
        same = {"name": box.row.address, "organisation_id": box.organisation_id}
        for row in change.rows(select(address).where(address.c.mailbox_id == box.row.id)):
            change.remove(address, row, action="address.end", name=row.key, organisation_id=box.organisation_id)
        open_ones = and_(membership.c.mailbox_id == box.row.id, membership.c.until.is_(None))
        for row in change.rows(select(membership).where(open_ones)):
            change.change(membership, row, {"until": change.now}, action="membership.end", **same)
        for row in change.rows(select(context).where(context.c.fallback_mailbox_id == box.row.id)):
            change.change(context, row, {"fallback_mailbox_id": None}, action="context.fallback", name=row.name,
                          organisation_id=box.organisation_id)  # fmt: skip
        change.change(mailbox, box.row, {"ended_at": change.now}, action="mailbox.end", **same)


@dataclass(frozen=True, slots=True)
class AddAlias:
    """A further address of a mailbox, in a domain of its organisation. Returns the normal form."""

    alias: str
    mailbox: str

    def run(self, change: Change, /) -> str:
        box = find_mailbox(change, self.mailbox)
        box.must_be_administered_by(change.actor, "add an alias")
        owner = box.organisation_row(change)
        parsed = free_address(change, self.alias, owner, box.row.owner_id)
        plans.check_aliases(change, owner, box.row)
        add_address(change, parsed, box.row.id, ALIAS, box.organisation_id)
        return parsed.key


@dataclass(frozen=True, slots=True)
class EndAlias:
    """The address is free again."""

    alias: str

    def run(self, change: Change, /) -> None:
        key = names.address(self.alias).key
        row = one(change, address, key=key)
        if row is None or row.kind == MAIN:
            hint = "" if row is None else "it is a mailbox; end it with: stellwerk mailbox end ADDRESS"
            raise NotFound("alias", self.alias, hint=hint)
        box = find_mailbox(change, self.alias)
        box.must_be_administered_by(change.actor, "end an alias")
        change.remove(address, row, action="address.end", name=key, organisation_id=box.organisation_id)


@dataclass(frozen=True, slots=True)
class FoundMailbox:
    """A mailbox's row and where it belongs; the owner's role and address are empty where it has none."""

    row: Row[Any]
    organisation_id: str
    organisation: str
    context: str
    owner_role: str
    owner: str
    is_frozen: bool = False
    """Its domain may be another's by now (frozen, disputed): until that is settled administrators change nothing."""

    def organisation_row(self, change: Change) -> Row[Any]:
        return change.rows(select(organisation).where(organisation.c.id == self.organisation_id))[0]

    def must_be_administered_by(self, actor: Actor, what: str) -> None:
        """Raises `NotAllowed`. Nobody administers the mailbox of somebody who may do more than they."""
        asked = f"{what} ({self.row.address})"
        actor.must_administer(self.organisation_id, self.row.context_id, asked)
        if self.owner_role:
            actor.must_not_do_for_more(self.owner_role, self.owner, asked)
        if self.is_frozen and not actor.is_operator:
            refuse_frozen(self.row.address.rpartition("@")[2])

    def must_be_managed_by(self, change: Change, what: str) -> None:
        """By its owner, by a member with the right to, or by an administrator. Raises `NotAllowed`."""
        actor = change.actor
        if actor.person_id and actor.person_id == self.row.owner_id:
            return
        open_one = one(change, membership, mailbox_id=self.row.id, person_id=actor.person_id, until=None)
        if open_one is not None and open_one.can_manage:
            return
        if not actor.administers(self.organisation_id, self.row.context_id):
            raise NotAllowed(
                f"{actor.name} may not {what} ({self.row.address}); its owner, members with the right to manage and "
                "administrators may"
            )
        self.must_be_administered_by(actor, what)


def find_mailbox(change: Change, text: str) -> FoundMailbox:
    """By any of its addresses. Raises `NotFound`, for one of another organisation, too."""
    key = names.address(text).key
    row = change.first(select(mailbox).join(address, address.c.mailbox_id == mailbox.c.id).where(address.c.key == key))
    if row is None:
        raise NotFound("mailbox", text, hint="stellwerk mailbox list shows all")
    place = change.rows(
        select(organisation.c.id, organisation.c.name, context.c.name.label("context"))
        .join_from(context, organisation)
        .where(context.c.id == row.context_id)
    )[0]
    change.actor.must_see(place.id, "mailbox", text)
    if not sees_mailbox(change, row.id):
        raise NotFound("mailbox", text, hint="stellwerk mailbox list shows all")
    owner = one(change, person, id=row.owner_id) if row.owner_id else None
    role, login = ("", "") if owner is None else (owner.role, owner.address)
    frozen = is_frozen(change, row.address.rpartition("@")[2])
    return FoundMailbox(row, place.id, place.name, place.context, role, login, frozen)


def free_address(change: Change, text: str, owner: Row[Any], owner_id: str | None) -> Address:
    """An address that nobody has, in a domain of the organisation `owner`, for a mailbox of `owner_id`.

    Raises `Conflict`, `NotFound`, `NotAllowed`.
    """
    parsed = names.address(text)
    own_domain(change, parsed.domain, owner)
    taken = one(change, address, key=parsed.key)
    if taken is not None:
        raise Conflict(f"{parsed.key} is taken: it is the {_KINDS[taken.kind]} of a mailbox")
    must_administer_login_of(change, parsed.key, owner_id)
    return parsed


_KINDS = {MAIN: "main address", ALIAS: "alias", INTAKE: "intake address"}


def add_address(change: Change, parsed: Address, mailbox_id: str, kind: str, organisation_id: str) -> None:
    """`parsed` leads to the mailbox from now on. Whether it may is for the caller to have seen."""
    row = {
        "key": parsed.key,
        "domain": parsed.domain,
        "mailbox_id": mailbox_id,
        "kind": kind,
        "created_at": change.now,
    }
    change.add(address, row, name=parsed.key, organisation_id=organisation_id)
