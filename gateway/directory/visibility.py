"""Which people and mailboxes somebody sees: as conditions of a query, so that no listing forgets to ask."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select, true

from gateway.directory.actor import ROLES, Actor
from gateway.directory.change import Change
from gateway.directory.tables import context, context_visibility, mailbox, membership, organisation, person

# Names of their own: a query that these conditions stand in may ask the same tables, and would be correlated with.
_context = context.alias("seen_context")
_membership = membership.alias("seen_membership")


def visible_organisation(actor: Actor) -> ColumnElement[bool]:
    """Condition on `organisation`: one's own, for operators all."""
    return true() if actor.is_operator else organisation.c.id == actor.organisation_id


def visible_context(actor: Actor, context_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Condition: all for operators, the organisation's for its administrators, else one's own and those switched on."""
    if actor.is_operator:
        return true()
    if actor.role == "organisation_admin":
        return context_id.in_(select(_context.c.id).where(_context.c.organisation_id == actor.organisation_id))
    shown = select(context_visibility.c.sees_context_id).where(context_visibility.c.context_id == actor.context_id)
    return or_(context_id == actor.context_id, context_id.in_(shown))


def administered_context(actor: Actor, context_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Condition: contexts whose people and mailboxes the actor may change."""
    if actor.role == "context_admin":
        return context_id == actor.context_id
    return visible_context(actor, context_id) if actor.role in {"organisation_admin", "operator"} else false()


def administered_person(actor: Actor) -> ColumnElement[bool]:
    """Condition on `person`: whom the actor administers, who is nobody that may do more than they."""
    below = [role for role in ROLES if not actor.may_do_less_than(role)]
    return and_(administered_context(actor, person.c.context_id), person.c.role.in_(below))


def visible_person(actor: Actor) -> ColumnElement[bool]:
    """Condition on `person`."""
    return visible_context(actor, person.c.context_id)


def visible_mailbox(actor: Actor) -> ColumnElement[bool]:
    """Condition on `mailbox`: of a visible context, one's own, or one that somebody shares with the actor."""
    if actor.is_operator:
        return true()
    shared = select(_membership.c.mailbox_id).where(
        and_(_membership.c.person_id == actor.person_id, _membership.c.until.is_(None))
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
