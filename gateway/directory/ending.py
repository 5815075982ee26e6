"""Contexts and organisations end when nothing is in them any more. What was stays answerable, and names stay taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, or_, select

from gateway.directory.change import Change
from gateway.directory.errors import Conflict
from gateway.directory.organisations import find_context, find_organisation
from gateway.directory.people import ACTIVE
from gateway.directory.tables import (
    context,
    context_plugin,
    context_visibility,
    domain,
    mailbox,
    organisation,
    person,
)

MOST_NAMED = 10
GIVEN_UP = ("expired", "released")
"""States of a domain that is its organisation's no more."""


@dataclass(frozen=True, slots=True)
class EndContext:
    """Nothing can be put into it any more. Raises `Conflict` with all that is in it still."""

    organisation: str
    context: str

    def run(self, change: Change, /) -> None:
        owner = find_organisation(change, self.organisation)
        where = find_context(change, owner, self.context)
        change.actor.must_administer(owner.id, None, "end a context")
        name = f"{owner.name}/{where.name}"
        left = [*_people(change, where.id), *_mailboxes(change, where.id), *_leaned_on(change, where.id)]
        if left:
            raise Conflict(f"{name} cannot end yet: {'; '.join(left)}")
        _unlink(change, owner, where)
        values = {"ended_at": change.now, "fallback_mailbox_id": None}
        change.change(context, where, values, action="context.end", name=name, organisation_id=owner.id)


@dataclass(frozen=True, slots=True)
class EndOrganisation:
    """Nothing can be put into it any more. For operators. Raises `Conflict` with all that is in it still."""

    name: str

    def run(self, change: Change, /) -> None:
        owner = find_organisation(change, self.name)
        change.actor.must_be_operator("end an organisation")
        contexts = select(context.c.name).where(context.c.organisation_id == owner.id, context.c.ended_at.is_(None))
        domains = select(domain.c.name).where(domain.c.organisation_id == owner.id, domain.c.state.not_in(GIVEN_UP))
        people = (
            select(person.c.address)
            .join_from(person, context, context.c.id == person.c.context_id)
            .where(context.c.organisation_id == owner.id, person.c.state == ACTIVE)
        )
        left = [
            *_told(change, contexts.order_by(context.c.name), "context", f"stellwerk context end {owner.name}/NAME"),
            *_told(
                change, domains.order_by(domain.c.name), "domain", f"stellwerk domain list --organisation {owner.name}"
            ),
            *_told(change, people.order_by(person.c.address), "active person", "stellwerk user deactivate ADDRESS"),
        ]
        if left:
            raise Conflict(f"{owner.name} cannot end yet: {'; '.join(left)}")
        change.change(organisation, owner, {"ended_at": change.now}, action="organisation.end", name=owner.name,
                      organisation_id=owner.id)  # fmt: skip


def _people(change: Change, context_id: str) -> list[str]:
    query = select(person.c.address).where(person.c.context_id == context_id, person.c.state == ACTIVE)
    how = "stellwerk user deactivate ADDRESS, or stellwerk user change ADDRESS --context NAME"
    return _told(change, query.order_by(person.c.address), "active person", how)


def _mailboxes(change: Change, context_id: str) -> list[str]:
    query = select(mailbox.c.address).where(mailbox.c.context_id == context_id, mailbox.c.ended_at.is_(None))
    return _told(change, query.order_by(mailbox.c.address), "mailbox", "stellwerk mailbox end ADDRESS")


def _leaned_on(change: Change, context_id: str) -> list[str]:
    """Other contexts that fall back on a mailbox of this one."""
    query = (
        select((organisation.c.name + "/" + context.c.name).label("name"))
        .join_from(context, organisation, organisation.c.id == context.c.organisation_id)
        .join(mailbox, mailbox.c.id == context.c.fallback_mailbox_id)
        .where(mailbox.c.context_id == context_id, context.c.id != context_id)
        .order_by(context.c.name)
    )
    return _told(change, query, "fallback of another context", "stellwerk context fallback NAME none")


def _told(change: Change, query: Any, noun: str, how: str) -> list[str]:
    """At most one text: how many there are, their names, and the command that mends it."""
    found: Sequence[str] = [row[0] for row in change.rows(query)]
    if not found:
        return []
    names = ", ".join(found[:MOST_NAMED]) + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")
    return [f"{len(found)} {noun if len(found) == 1 else _PLURALS[noun]}: {names} ({how})"]


_PLURALS = {
    "active person": "active people",
    "mailbox": "mailboxes",
    "context": "contexts",
    "domain": "domains",
    "fallback of another context": "fallbacks of other contexts",
}


def _unlink(change: Change, owner: Row[Any], where: Row[Any]) -> None:
    """Who sees whom, and plugins that were switched: links of a context that nobody is in."""
    seen = or_(context_visibility.c.context_id == where.id, context_visibility.c.sees_context_id == where.id)
    names = {
        row.id: row.name
        for row in change.rows(select(context.c.id, context.c.name).where(context.c.organisation_id == owner.id))
    }
    for row in change.rows(select(context_visibility).where(seen)):
        name = f"{owner.name}/{names[row.context_id]} sees {names[row.sees_context_id]}"
        change.remove(context_visibility, row, action="context_visibility.end", name=name, organisation_id=owner.id)
    for row in change.rows(select(context_plugin).where(context_plugin.c.context_id == where.id)):
        name = f"{owner.name}/{where.name} {row.plugin}"
        change.remove(context_plugin, row, action="context_plugin.end", name=name, organisation_id=owner.id)
