"""Organisations, their plans, and the contexts that group their departments or sites."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, and_, func, select

from gateway.directory import names
from gateway.directory.change import Change, one
from gateway.directory.errors import BadValue, Conflict, NotFound
from gateway.directory.tables import context, context_plugin, context_visibility, mailbox, organisation, person
from gateway.mail.ids import new_id

UNLIMITED = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one organisation may have; None is unlimited. What others share with a person is not their own."""

    own_mailboxes: int | None = UNLIMITED
    shared_mailboxes: int | None = UNLIMITED
    members: int | None = UNLIMITED
    aliases: int | None = UNLIMITED
    message_bytes: int | None = UNLIMITED

    def columns(self) -> dict[str, int | None]:
        return {
            "plan_own_mailboxes": self.own_mailboxes,
            "plan_shared_mailboxes": self.shared_mailboxes,
            "plan_members": self.members,
            "plan_aliases": self.aliases,
            "plan_message_bytes": self.message_bytes,
        }


@dataclass(frozen=True, slots=True)
class AddOrganisation:
    """Returns its id. For operators."""

    name: str
    title: str = ""
    contact_name: str = ""
    contact_address: str = ""
    contact_phone: str = ""
    plan: Plan = field(default_factory=Plan)

    def run(self, change: Change, /) -> str:
        change.actor.must_be_operator("add an organisation")
        names.handle(self.name, "an organisation")
        if (there := one(change, organisation, name=self.name)) is not None:
            raise _taken("an organisation", there)
        row = {
            "id": new_id(),
            "name": self.name,
            "title": names.line(self.title, "the title"),
            "contact_name": names.line(self.contact_name, "the contact's name"),
            "contact_address": str(names.address(self.contact_address)) if self.contact_address else "",
            "contact_phone": names.line(self.contact_phone, "the contact's phone"),
            "created_at": change.now,
            **self.plan.columns(),
        }
        change.add(organisation, row, name=self.name, organisation_id=str(row["id"]))
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class ChangeOrganisation:
    """Other values for some columns, by their names in the table; a lowered plan refuses only what is new.

    Returns False if nothing differs.
    """

    name: str
    values: dict[str, Any]

    def run(self, change: Change, /) -> bool:
        row = find_organisation(change, self.name)
        changes_plan = any(column.startswith("plan_") for column in self.values)
        if changes_plan:
            change.actor.must_be_operator("change an organisation's plan")
        change.actor.must_administer(row.id, None, f"change {row.name}")
        values = dict(self.values)
        for column, value in values.items():
            if column.startswith("plan_"):
                if value is not None and value < 0:
                    raise BadValue(f"a plan's limit is a number from 0 on, or unlimited; found {value}")
            elif column == "contact_address":
                values[column] = str(names.address(value)) if value else ""
            else:
                values[column] = names.line(value, f"the {column.replace('_', ' ')}")
        action = "organisation.plan" if changes_plan else "organisation.change"
        return change.change(organisation, row, values, action=action, name=row.name, organisation_id=row.id)


@dataclass(frozen=True, slots=True)
class AddContext:
    """Returns its id."""

    organisation: str
    name: str
    title: str = ""

    def run(self, change: Change, /) -> str:
        owner = find_organisation(change, self.organisation)
        change.actor.must_administer(owner.id, None, "add a context")
        names.handle(self.name, "a context")
        if (there := one(change, context, organisation_id=owner.id, name=self.name)) is not None:
            raise _taken(f"a context of {owner.name}", there)
        row = {
            "id": new_id(),
            "organisation_id": owner.id,
            "name": self.name,
            "title": names.line(self.title, "the title"),
            "created_at": change.now,
        }
        change.add(context, row, name=f"{owner.name}/{self.name}", organisation_id=owner.id)
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """Another title; its name is its handle and stays. Returns False if it was so."""

    organisation: str
    context: str
    title: str

    def run(self, change: Change, /) -> bool:
        owner = find_organisation(change, self.organisation)
        where = find_context(change, owner, self.context)
        change.actor.must_administer(owner.id, where.id, "change a context")
        values = {"title": names.line(self.title, "the title")}
        return change.change(context, where, values, action="context.change", name=f"{owner.name}/{where.name}",
                             organisation_id=owner.id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShowPeopleTo:
    """Whether people of `context` see the people of `sees`, both of one organisation. Returns False if it was so."""

    organisation: str
    context: str
    sees: str
    shown: bool = True

    def run(self, change: Change, /) -> bool:
        owner = find_organisation(change, self.organisation)
        change.actor.must_administer(owner.id, None, "show contexts to each other")
        viewer, shown = (find_context(change, owner, name) for name in (self.context, self.sees))
        if viewer.id == shown.id:
            raise BadValue(f"people of {self.context} see each other always; name two contexts")
        row = one(change, context_visibility, context_id=viewer.id, sees_context_id=shown.id)
        name = f"{owner.name}/{viewer.name} sees {shown.name}"
        if self.shown is (row is not None):
            return False
        if row is None:
            new = {"context_id": viewer.id, "sees_context_id": shown.id}
            change.add(context_visibility, new, name=name, organisation_id=owner.id)
        else:
            change.remove(context_visibility, row, action="context_visibility.end", name=name, organisation_id=owner.id)
        return True


@dataclass(frozen=True, slots=True)
class SwitchPlugin:
    """Switch a plugin on or off for a context; None leaves it to the plugin's default again.

    `known`: every plugin of this installation. One that is gone can only be left to its default again.
    """

    organisation: str
    context: str
    plugin: str
    enabled: bool | None
    known: Collection[str]

    def run(self, change: Change, /) -> bool:
        owner = find_organisation(change, self.organisation)
        where = find_context(change, owner, self.context)
        change.actor.must_administer(owner.id, where.id, "switch plugins")
        row = one(change, context_plugin, context_id=where.id, plugin=self.plugin)
        if self.plugin not in self.known and (row is None or self.enabled is not None):
            raise NotFound("plugin", self.plugin, self.known, "stellwerk plugins shows all")
        name = f"{owner.name}/{where.name} {self.plugin}"
        if row is None:
            if self.enabled is None:
                return False
            new = {"context_id": where.id, "plugin": self.plugin, "enabled": int(self.enabled)}
            change.add(context_plugin, new, name=name, organisation_id=owner.id)
            return True
        if self.enabled is None:
            change.remove(context_plugin, row, action="context_plugin.end", name=name, organisation_id=owner.id)
            return True
        values = {"enabled": int(self.enabled)}
        return change.change(
            context_plugin, row, values, action="context_plugin.change", name=name, organisation_id=owner.id
        )


@dataclass(frozen=True, slots=True)
class SetFallback:
    """Which mailbox of a context takes mail that would go to somebody who has left; empty: none."""

    organisation: str
    context: str
    address: str

    def run(self, change: Change, /) -> bool:
        owner = find_organisation(change, self.organisation)
        where = find_context(change, owner, self.context)
        change.actor.must_administer(owner.id, where.id, "set the fallback")
        box_id = None
        if self.address:
            key = names.address(self.address).key
            same = and_(mailbox.c.context_id == where.id, mailbox.c.ended_at.is_(None), mailbox.c.address == key)
            box = change.first(select(mailbox).where(same))
            if box is None:
                raise NotFound("mailbox", self.address, hint=f"the fallback must be a mailbox of {where.name}")
            box_id = box.id
        return change.change(
            context,
            where,
            {"fallback_mailbox_id": box_id},
            action="context.fallback",
            name=f"{owner.name}/{where.name}",
            organisation_id=owner.id,
        )


def find_organisation(change: Change, name: str) -> Row[Any]:
    """By its name; whoever belongs to another gets the same `NotFound` as for one that is not there.

    Raises `Conflict` for one that has ended: nothing of it can be changed.
    """
    row = one(change, organisation, name=name)
    visible = change.actor.is_operator or (row is not None and row.id == change.actor.organisation_id)
    if row is None or not visible:
        query = select(organisation.c.name).where(organisation.c.ended_at.is_(None))
        known = [each.name for each in change.rows(query)] if change.actor.is_operator else []
        raise NotFound("organisation", name, known, "stellwerk organisation list shows all" if known else "")
    if row.ended_at is not None:
        raise Conflict(f"the organisation {row.name} has ended; stellwerk organisation show {row.name} says when")
    return row


def find_context(change: Change, owner: Row[Any], name: str) -> Row[Any]:
    """A context of the organisation `owner`. Raises `NotFound`, and `Conflict` for one that has ended."""
    row = one(change, context, organisation_id=owner.id, name=name)
    if row is None:
        query = select(context.c.name).where(context.c.organisation_id == owner.id, context.c.ended_at.is_(None))
        known = [each.name for each in change.rows(query)]
        raise NotFound("context", name, known, f"{owner.name} has: {', '.join(known) or 'none'}")
    if row.ended_at is not None:
        full = f"{owner.name}/{row.name}"
        raise Conflict(f"the context {full} has ended; stellwerk context show {full} says when")
    return row


def _taken(noun: str, row: Row[Any]) -> Conflict:
    if row.ended_at is None:
        return Conflict(f'there is {noun} "{row.name}" already; choose another name')
    return Conflict(
        f'there was {noun} "{row.name}", which has ended; what happened there keeps the name, choose another one'
    )


def count_people(change: Change, context_id: str) -> int:
    """Active people of a context."""
    here = and_(person.c.context_id == context_id, person.c.state == "active")
    return change.count(select(func.count()).select_from(person).where(here))
