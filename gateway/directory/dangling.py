"""What still names people who have left, and mailboxes without an owner: each with the command that mends it.

A list of checks by noun, so that whoever brings a noun that names people adds one; plugins declare the addresses that
their settings name. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from gateway.directory import named_outside, names
from gateway.directory.actor import Actor
from gateway.directory.errors import NotAllowed
from gateway.directory.findings import Check, Finding, stellwerk
from gateway.directory.listing import must_see_person
from gateway.directory.people import ACTIVE, INACTIVE
from gateway.directory.tables import address, app_password, context, mailbox, membership, organisation, person
from gateway.directory.visibility import administered_context, visible_organisation
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.hooks.named import Setting


async def audit(
    store: Store, actor: Actor, person_address: str = "", settings: Iterable[Setting] = ()
) -> list[Finding]:
    """All findings that the actor can mend; with `person_address` those about one person.

    `settings`: the addresses that the configuration names. Raises `NotAllowed`, and `NotFound` for a person who never
    was, or whom the actor does not see.
    """
    if actor.role == "member":
        raise NotAllowed(f"{actor.name} (member) may not audit the directory; administrators may")
    if person_address:
        await must_see_person(store, actor, person_address)
        person_address = names.address(person_address).key
    found = [finding for check in CHECKS.values() for finding in await check(store, actor)]
    found += await named_outside.settings(store, actor, settings)
    return [finding for finding in found if person_address in {"", finding.person}]


async def ownerless_mailboxes(store: Store, actor: Actor) -> list[Finding]:
    """Nobody answers for them. The first active administrator of the context is proposed."""
    query = (
        select(mailbox.c.address, mailbox.c.context_id, context.c.organisation_id, person.c.address.label("owner"))
        .join_from(mailbox, context, mailbox.c.context_id == context.c.id)
        .join(person, person.c.id == mailbox.c.owner_id, isouter=True)
        .where(
            mailbox.c.ended_at.is_(None),
            or_(mailbox.c.owner_id.is_(None), person.c.state == INACTIVE),
            administered_context(actor, context.c.id),
        )
        .order_by(mailbox.c.address)
    )
    rows = await store.read(query)
    places = {(row.context_id, row.organisation_id) for row in rows}
    heirs = {place: await first_administrator(store, *place) for place in places}
    found = []
    for row in rows:
        heir = heirs[row.context_id, row.organisation_id]
        proposed = "USER" if heir is None else heir.address
        text = f"its owner {row.owner} has left" if row.owner else "it has no owner"
        command = stellwerk("mailbox", "set", row.address, "--owner", proposed)
        found.append(Finding("mailbox", row.address, row.owner or "", text, command))
    return found


async def dead_addresses(store: Store, actor: Actor) -> list[Finding]:
    """Aliases and intake addresses that lead to the mailbox of somebody who has left."""
    query = (
        _of_inactive(address.c.key, address.c.kind, mailbox.c.address.label("mailbox"))
        .join_from(address, mailbox, address.c.mailbox_id == mailbox.c.id)
        .join(person, person.c.id == mailbox.c.owner_id)
        .where(address.c.kind != "main", mailbox.c.kind == "personal", administered_context(actor, person.c.context_id))
        .order_by(address.c.key)
    )
    found = []
    for row in await store.read(query):
        text = f"it leads to the mailbox {row.mailbox} of {row.person}, who has left"
        alias = row.kind == "alias"
        command = stellwerk("alias", "end", row.key) if alias else stellwerk("mailbox", "intake", row.mailbox, "off")
        found.append(Finding("alias" if alias else "intake", row.key, row.person, text, command))
    return found


async def dead_fallbacks(store: Store, actor: Actor) -> list[Finding]:
    """Fallback mailboxes that lead to nobody."""
    query = (
        select(
            context.c.name,
            organisation.c.name.label("organisation"),
            mailbox.c.address,
            mailbox.c.receives,
            person.c.address.label("person"),
            person.c.state,
        )
        .join_from(context, organisation, context.c.organisation_id == organisation.c.id)
        .join(mailbox, mailbox.c.id == context.c.fallback_mailbox_id)
        .join(person, person.c.id == mailbox.c.owner_id, isouter=True)
        .where(
            or_(mailbox.c.receives == 0, and_(mailbox.c.kind == "personal", person.c.state == INACTIVE)),
            administered_context(actor, context.c.id),
        )
    )
    found = []
    for row in await store.read(query):
        name = f"{row.organisation}/{row.name}"
        left = row.state == INACTIVE
        why = f"belongs to {row.person}, who has left" if left else "does not receive"
        command = stellwerk("context", "fallback", name, "ADDRESS")
        who = row.person if left else ""
        found.append(Finding("context", name, who, f"its fallback {row.address} {why}", command))
    return found


async def dead_deputies(store: Store, actor: Actor) -> list[Finding]:
    """People whose deputy has left."""
    deputy = person.alias("deputy")
    query = (
        select(person.c.address, deputy.c.address.label("person"))
        .join_from(person, deputy, person.c.deputy_id == deputy.c.id)
        .where(deputy.c.state == INACTIVE, administered_context(actor, person.c.context_id))
        .order_by(person.c.address)
    )
    return [
        Finding(
            "deputy",
            row.address,
            row.person,
            f"their deputy {row.person} has left",
            stellwerk("user", "change", row.address, "--deputy", "USER"),
        )
        for row in await store.read(query)
    ]


async def dead_memberships(store: Store, actor: Actor) -> list[Finding]:
    """Leaving ends them; one that is open all the same came from elsewhere."""
    query = (
        _of_inactive(mailbox.c.address)
        .join_from(membership, mailbox, membership.c.mailbox_id == mailbox.c.id)
        .join(person, person.c.id == membership.c.person_id)
        .where(membership.c.until.is_(None), administered_context(actor, person.c.context_id))
        .order_by(mailbox.c.address)
    )
    return [
        Finding(
            "member",
            row.address,
            row.person,
            f"{row.person} is a member and has left",
            stellwerk("member", "end", row.address, row.person),
        )
        for row in await store.read(query)
    ]


async def live_app_passwords(store: Store, actor: Actor) -> list[Finding]:
    """As with memberships."""
    query = (
        _of_inactive(app_password.c.id, app_password.c.label)
        .join_from(app_password, person, app_password.c.person_id == person.c.id)
        .where(app_password.c.ended_at.is_(None), administered_context(actor, person.c.context_id))
        .order_by(person.c.address)
    )
    return [
        Finding(
            "app password",
            row.label,
            row.person,
            f"{row.person} has left, and it has not ended",
            stellwerk("user", "app-password", "end", row.person, row.id),
        )
        for row in await store.read(query)
    ]


async def dead_contacts(store: Store, actor: Actor) -> list[Finding]:
    """Organisations whose authorised contact has left: nobody may ask for resets."""
    query = (
        _of_inactive(organisation.c.name)
        .join_from(organisation, person, person.c.address == organisation.c.contact_address)
        .where(visible_organisation(actor), organisation.c.ended_at.is_(None))
        .order_by(organisation.c.name)
    )
    return [
        Finding(
            "organisation",
            row.name,
            row.person,
            f"its contact {row.person} has left",
            stellwerk("organisation", "change", row.name, "--contact-name", "NAME", "--contact-address", "ADDRESS"),
        )
        for row in await store.read(query)
    ]


CHECKS: dict[str, Check] = {
    "mailbox": ownerless_mailboxes,
    "alias": dead_addresses,
    "fallback": dead_fallbacks,
    "deputy": dead_deputies,
    "member": dead_memberships,
    "app password": live_app_passwords,
    "contact": dead_contacts,
    "job": named_outside.jobs,
}
"""By noun, in the order in which they are listed."""


async def first_administrator(store: Store, context_id: str, organisation_id: str) -> Any | None:
    """The row of whoever answers for a context: its first active administrator, else the organisation's. Or None."""
    administers = or_(
        and_(person.c.context_id == context_id, person.c.role.in_(("context_admin", "organisation_admin"))),
        and_(context.c.organisation_id == organisation_id, person.c.role == "organisation_admin"),
    )
    query = (
        select(person.c.id, person.c.address, person.c.context_id)
        .join_from(person, context, person.c.context_id == context.c.id)
        .where(administers, person.c.state == ACTIVE)
        .order_by((person.c.context_id == context_id).desc(), person.c.created_at, person.c.address)
        .limit(1)
    )
    rows: Sequence[Any] = await store.read(query)
    return rows[0] if rows else None


def _of_inactive(*columns: Any) -> Any:
    return select(*columns, person.c.address.label("person")).where(person.c.state == INACTIVE)
