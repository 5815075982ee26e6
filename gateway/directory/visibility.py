"""Which people and mailboxes somebody sees: as conditions of a query, so that no listing forgets to ask."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select, true, union_all

from gateway.directory.actor import Actor
from gateway.directory.change import Change
from gateway.directory.tables import context, context_visibility, mailbox, membership, organisation, person


def visible_organisation(actor: Actor) -> ColumnElement[bool]:
    """Condition on `organisation`: one's own, for operators all."""
    return true() if actor.is_operator else organisation.c.id == actor.organisation_id


def visible_context(actor: Actor, context_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Condition: all for operators, the organisation's for its administrators, else one's own and those switched on."""
    if actor.is_operator:
        return true()
    if actor.role == "organisation_admin":
        return context_id.in_(select(context.c.id).where(context.c.organisation_id == actor.organisation_id))
    shown = select(context_visibility.c.sees_context_id).where(context_visibility.c.context_id == actor.context_id)
    own = select(context.c.id).where(context.c.id == actor.context_id)
    return context_id.in_(union_all(own, shown))


def visible_person(actor: Actor) -> ColumnElement[bool]:
    """Condition on `person`."""
    return visible_context(actor, person.c.context_id)


def visible_mailbox(actor: Actor) -> ColumnElement[bool]:
    """Condition on `mailbox`: of a visible context, one's own, or one that somebody shares with the actor."""
    if actor.is_operator:
        return true()
    shared = select(membership.c.mailbox_id).where(
        and_(membership.c.person_id == actor.person_id, membership.c.until.is_(None))
    )
    return or_(
        visible_context(actor, mailbox.c.context_id),
        mailbox.c.owner_id == actor.person_id if actor.person_id else false(),
        mailbox.c.id.in_(shared),
    )


def sees_person(change: Change, person_id: str) -> bool:
    return (
        change.first(select(person.c.id).where(and_(person.c.id == person_id, visible_person(change.actor))))
        is not None
    )


def sees_mailbox(change: Change, mailbox_id: str) -> bool:
    query = select(mailbox.c.id).where(and_(mailbox.c.id == mailbox_id, visible_mailbox(change.actor)))
    return change.first(query) is not None
