"""What is in the directory, as rows for people and for JSON: only what the actor may see. Nothing is changed here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select, true

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.ending import GIVEN_UP
from gateway.directory.errors import NotFound
from gateway.directory.places import Place, organisation_meant
from gateway.directory.tables import (
    address,
    app_password,
    context,
    context_plugin,
    context_visibility,
    domain,
    mailbox,
    membership,
    organisation,
    out_of_office,
    person,
)
from gateway.directory.visibility import (
    administered_person,
    visible_context,
    visible_mailbox,
    visible_organisation,
    visible_person,
)
from gateway.store.store import Store

Listed = dict[str, Any]
_PLACE = (organisation.c.name.label("organisation"), context.c.name.label("context"))


async def organisations(store: Store, actor: Actor, *, ended: bool = False, name: str = "") -> list[Listed]:
    """With the plan: None is unlimited. `ended`: ended ones too. `name`: only this one."""
    there = true() if ended else organisation.c.ended_at.is_(None)
    query = select(organisation).where(visible_organisation(actor), there, _named(organisation.c.name, name))
    return [_without(row._mapping, "id") for row in await store.read(query.order_by(organisation.c.name))]


async def organisation_of(store: Store, actor: Actor, name: str) -> Listed:
    """One organisation, ended or not, with its contexts and domains, and people and mailboxes counted. `NotFound`."""
    place = await organisation_meant(store, actor, name)
    [row] = await organisations(store, actor, ended=True, name=name)
    there = await contexts(store, actor, name)
    theirs = domain.c.organisation_id == place.organisation_id, domain.c.state.not_in(GIVEN_UP)
    owned = select(domain.c.name).where(*theirs).order_by(domain.c.name)
    row["contexts"] = [each["name"] for each in there]
    row["domains"] = [each.name for each in await store.read(owned)]
    row["people"] = sum(each["people"] for each in there)
    row["mailboxes"] = sum(each["mailboxes"] for each in there)
    return row


async def context_of(store: Store, actor: Actor, place: Place) -> Listed:
    """One context, ended or not, as `contexts` lists it, with `seen_by`: contexts whose people see its people."""
    everything = await contexts(store, actor, place.organisation, ended=True)
    row = next(each for each in everything if each["name"] == place.context)
    row["seen_by"] = [each["name"] for each in everything if place.context in each["sees"]]
    return row


async def contexts(store: Store, actor: Actor, organisation_name: str = "", *, ended: bool = False) -> list[Listed]:
    """With `people` and `mailboxes` counted, `sees` (contexts whose people are seen) and `plugins` (switched).

    `ended`: ended ones too. Raises `NotFound` for an organisation that is not there.
    """
    await _must_be_there(store, actor, organisation_name)
    fallback = mailbox.alias("fallback")
    active = and_(person.c.context_id == context.c.id, person.c.state == "active")
    open_ones = and_(mailbox.c.context_id == context.c.id, mailbox.c.ended_at.is_(None))
    query = (
        select(
            context.c.id,
            organisation.c.name.label("organisation"),
            context.c.name,
            context.c.title,
            select(func.count()).where(active).select_from(person).scalar_subquery().label("people"),
            select(func.count()).where(open_ones).select_from(mailbox).scalar_subquery().label("mailboxes"),
            fallback.c.address.label("fallback"),
            context.c.created_at,
            context.c.ended_at,
        )
        .join_from(context, organisation, context.c.organisation_id == organisation.c.id)
        .join(fallback, fallback.c.id == context.c.fallback_mailbox_id, isouter=True)
        .where(
            visible_context(actor, context.c.id),
            _named(organisation.c.name, organisation_name),
            true() if ended else context.c.ended_at.is_(None),
        )
        .order_by(organisation.c.name, context.c.name)
    )
    rows = await store.read(query)
    shown = select(context_visibility.c.context_id, context.c.name).join(
        context, context.c.id == context_visibility.c.sees_context_id
    )
    sees: dict[str, list[str]] = {}
    for row in await store.read(shown.order_by(context.c.name)):
        sees.setdefault(row.context_id, []).append(row.name)
    plugins: dict[str, dict[str, bool]] = {}
    for row in await store.read(select(context_plugin).order_by(context_plugin.c.plugin)):
        plugins.setdefault(row.context_id, {})[row.plugin] = bool(row.enabled)
    return [
        {**_without(row._mapping, "id"), "sees": sees.get(row.id, []), "plugins": plugins.get(row.id, {})}
        for row in rows
    ]


async def domains(store: Store, actor: Actor, organisation_name: str = "") -> list[Listed]:
    """Raises `NotFound` for an organisation that is not there."""
    await _must_be_there(store, actor, organisation_name)
    theirs = and_(address.c.domain == domain.c.name, context.c.organisation_id == domain.c.organisation_id)
    counted = select(func.count()).select_from(address).join(mailbox, mailbox.c.id == address.c.mailbox_id)
    addresses = counted.join(context, context.c.id == mailbox.c.context_id).where(theirs).scalar_subquery()
    query = (
        select(
            domain.c.name,
            organisation.c.name.label("organisation"),
            domain.c.state,
            domain.c.state_since,
            domain.c.hold,
            domain.c.frozen_at,
            domain.c.disputed_at,
            addresses.label("addresses"),
        )
        .join_from(domain, organisation, domain.c.organisation_id == organisation.c.id)
        .where(visible_organisation(actor), _named(organisation.c.name, organisation_name))
        .order_by(domain.c.name, organisation.c.name)
    )
    return [dict(row._mapping) for row in await store.read(query)]


async def people(
    store: Store, actor: Actor, place: Place | None = None, state: str = "", key: str = ""
) -> list[Listed]:
    """`state`: only active or inactive ones. `key`: only the one who logs in with this address."""
    deputy = person.alias("deputy")
    query = (
        select(
            person.c.address,
            person.c.name,
            *_PLACE,
            person.c.role,
            person.c.state,
            person.c.extension,
            person.c.phone,
            person.c.language,
            (person.c.password != "").label("has_password"),
            _shown(deputy.c.address, visible_context(actor, deputy.c.context_id)).label("deputy"),
            person.c.created_at,
            person.c.deactivated_at,
        )
        .join_from(person, context, person.c.context_id == context.c.id)
        .join(organisation, organisation.c.id == context.c.organisation_id)
        .join(deputy, deputy.c.id == person.c.deputy_id, isouter=True)
        .where(visible_person(actor), _in(place), _named(person.c.state, state), _named(person.c.address, key))
        .order_by(person.c.address)
    )
    return [{**row._mapping, "has_password": bool(row.has_password)} for row in await store.read(query)]


async def person_of(store: Store, actor: Actor, text: str) -> Listed:
    """One person, with the mailboxes they own, the memberships they have, and their app passwords. `NotFound`."""
    key = names.address(text).key
    identity = await must_see_person(store, actor, text)
    [row] = await people(store, actor, key=key)
    owned = select(mailbox.c.address).where(mailbox.c.owner_id == identity, mailbox.c.ended_at.is_(None))
    row["mailboxes"] = [each.address for each in await store.read(owned.order_by(mailbox.c.address))]
    row["memberships"] = await members(store, actor, person_address=key)
    row["app_passwords"] = await app_passwords(store, actor, key)
    return row


async def app_passwords(store: Store, actor: Actor, text: str) -> list[Listed]:
    """Of a person: for themselves and whoever administers them; others get none. Raises `NotFound`."""
    await must_see_person(store, actor, text)
    query = (
        select(app_password.c.id, app_password.c.label, app_password.c.created_at, app_password.c.ended_at)
        .join_from(app_password, person, app_password.c.person_id == person.c.id)
        .where(person.c.address == names.address(text).key, _administered(actor))
        .order_by(app_password.c.created_at)
    )
    return [dict(row._mapping) for row in await store.read(query)]


async def mailboxes(
    store: Store, actor: Actor, place: Place | None = None, *, ended: bool = False, owner: str = "", key: str = ""
) -> list[Listed]:
    """`owner`: only of the person who logs in with it. `key`: only the one with this main address.

    Raises `NotFound` for an owner of whom the actor sees neither themselves nor a mailbox.
    """
    owner_key = names.address(owner).key if owner else ""
    owner_is_seen = or_(visible_person(actor), shares(actor))
    query = (
        select(
            mailbox.c.address,
            mailbox.c.kind,
            _shown(person.c.address, owner_is_seen).label("owner"),
            *_PLACE,
            mailbox.c.display_name,
            mailbox.c.receives,
            mailbox.c.vip,
            mailbox.c.max_message_bytes,
            mailbox.c.next_hop,
            mailbox.c.created_at,
            mailbox.c.ended_at,
        )
        .join_from(mailbox, context, mailbox.c.context_id == context.c.id)
        .join(organisation, organisation.c.id == context.c.organisation_id)
        .join(person, person.c.id == mailbox.c.owner_id, isouter=True)
        .where(
            visible_mailbox(actor),
            _in(place),
            true() if ended else mailbox.c.ended_at.is_(None),
            and_(person.c.address == owner_key, owner_is_seen) if owner else true(),
            _named(mailbox.c.address, key),
        )
        .order_by(mailbox.c.address)
    )
    rows = await store.read(query)
    if owner and not rows:
        await must_see_person(store, actor, owner)
    return [{**row._mapping, "receives": bool(row.receives), "vip": bool(row.vip)} for row in rows]


async def mailbox_of(store: Store, actor: Actor, text: str) -> Listed:
    """The mailbox of any address, with its addresses, members and out-of-office text. Raises `NotFound`."""
    key = names.address(text).key
    query = (
        select(mailbox.c.id, mailbox.c.address)
        .join(address, address.c.mailbox_id == mailbox.c.id)
        .where(address.c.key == key, visible_mailbox(actor))
    )
    rows = await store.read(query)
    if not rows:
        raise _no_mailbox(text)
    [box] = await mailboxes(store, actor, key=rows[0].address)
    box["addresses"] = await aliases(store, actor, mailbox_address=rows[0].address, every=True)
    box["members"] = await members(store, actor, mailbox_address=rows[0].address)
    answers = await store.read(select(out_of_office).where(out_of_office.c.mailbox_id == rows[0].id))
    box["out_of_office"] = _without(answers[0]._mapping, "mailbox_id") if answers else None
    return box


async def aliases(
    store: Store, actor: Actor, place: Place | None = None, mailbox_address: str = "", *, every: bool = False
) -> list[Listed]:
    """Aliases and intake addresses; with `every` main addresses too. Raises `NotFound` for an unknown mailbox."""
    query = (
        select(address.c.key.label("address"), address.c.kind, mailbox.c.address.label("mailbox"), *_PLACE)
        .join_from(address, mailbox, address.c.mailbox_id == mailbox.c.id)
        .join(context, context.c.id == mailbox.c.context_id)
        .join(organisation, organisation.c.id == context.c.organisation_id)
        .where(
            visible_mailbox(actor),
            _in(place),
            _led_to(mailbox_address),
            true() if every else address.c.kind != "main",
        )
        .order_by(address.c.key)
    )
    rows = await store.read(query)
    if mailbox_address and not rows:
        await _must_see_mailbox(store, actor, mailbox_address)
    return [dict(row._mapping) for row in rows]


async def members(
    store: Store,
    actor: Actor,
    *,
    mailbox_address: str = "",
    person_address: str = "",
    at: float | None = None,
    every: bool = False,
) -> list[Listed]:
    """Who has access now; with `at` who had it then, people who have been removed or have left since included.

    `every`: all memberships there ever were. Ended mailboxes are looked at for `at` and `every` only.
    Raises `NotFound` for a mailbox or a person that is not there, or that the actor does not see.
    """
    person_key = names.address(person_address).key if person_address else ""
    then: ColumnElement[bool] = membership.c.until.is_(None)
    if at is not None:
        then = and_(membership.c.since <= at, or_(membership.c.until.is_(None), membership.c.until > at))
    query = (
        select(
            mailbox.c.address.label("mailbox"),
            person.c.address.label("person"),
            person.c.name,
            person.c.state,
            membership.c.can_read,
            membership.c.can_send_as,
            membership.c.can_send_on_behalf,
            membership.c.can_manage,
            membership.c.since,
            membership.c.until,
        )
        .join_from(membership, mailbox, membership.c.mailbox_id == mailbox.c.id)
        .join(person, person.c.id == membership.c.person_id)
        .where(
            visible_mailbox(actor),
            or_(visible_person(actor), shares(actor)),
            true() if every else then,
            _led_to(mailbox_address),
            _named(person.c.address, person_key),
        )
        .order_by(mailbox.c.address, membership.c.since, person.c.address)
    )
    rows = await store.read(query)
    if mailbox_address and not rows:
        await _must_see_mailbox(store, actor, mailbox_address)
    if person_address and not rows:
        if every:
            await must_see_person(store, actor, person_address)
        else:  # whoever works in a mailbox sees who else does, and did: somebody may be known that way only
            await members(store, actor, person_address=person_address, every=True)
    return [_member(row._mapping) for row in rows]


def _member(row: Any) -> Listed:
    rights = [right for right in ("read", "send_as", "send_on_behalf", "manage") if row[f"can_{right}"]]
    kept = {name: row[name] for name in ("mailbox", "person", "name", "state", "since", "until")}
    return {**kept, "rights": rights}


NOT_SEEN = "(not visible)"
"""In place of somebody in a context that is not shown to whoever asks."""


def _shown(address_of: ColumnElement[Any], is_seen: ColumnElement[bool]) -> ColumnElement[Any]:
    return case((is_seen, address_of), (address_of.is_not(None), NOT_SEEN))


def shares(actor: Actor) -> ColumnElement[bool]:
    """Condition on `mailbox`: whoever works in it sees who else does."""
    if not actor.person_id:
        return false()
    other = membership.alias("other_membership")
    mine = select(other.c.mailbox_id).where(and_(other.c.person_id == actor.person_id, other.c.until.is_(None)))
    return or_(mailbox.c.owner_id == actor.person_id, mailbox.c.id.in_(mine))


def _administered(actor: Actor) -> ColumnElement[bool]:
    """Condition on `person`: the actor themselves, and whomever they administer."""
    return or_(person.c.id == actor.person_id, administered_person(actor))


async def _must_be_there(store: Store, actor: Actor, organisation_name: str) -> None:
    """Raises `NotFound`, when an organisation is named."""
    if organisation_name:
        await organisation_meant(store, actor, organisation_name)


async def must_see_person(store: Store, actor: Actor, text: str) -> str:
    """The id of a person whom the actor sees, also of one who has left. Raises `NotFound`."""
    rows = await store.read(
        select(person.c.id).where(person.c.address == names.address(text).key, visible_person(actor))
    )
    if not rows:
        raise NotFound("person", text, hint="stellwerk user list shows all")
    return str(rows[0].id)


async def _must_see_mailbox(store: Store, actor: Actor, text: str) -> None:
    """Raises `NotFound`; a mailbox that has ended is there still."""
    if not await store.read(select(mailbox.c.id).where(_led_to(text), visible_mailbox(actor)).limit(1)):
        raise _no_mailbox(text)


def _no_mailbox(text: str) -> NotFound:
    return NotFound("mailbox", text, hint="stellwerk mailbox list shows all")


def _in(place: Place | None) -> ColumnElement[bool]:
    if place is None:
        return true()
    return context.c.id == place.context_id if place.context_id else organisation.c.id == place.organisation_id


def _named(column: Any, value: str) -> ColumnElement[bool]:
    return column == value if value else true()


def _led_to(text: str) -> ColumnElement[bool]:
    """Condition on `mailbox`: it has this address now, or had it as its main one when it ended."""
    if not text:
        return true()
    key = names.address(text).key
    other = address.alias("other_address")
    return or_(mailbox.c.address == key, mailbox.c.id.in_(select(other.c.mailbox_id).where(other.c.key == key)))


def _without(row: Any, *names_: str) -> Listed:
    return {name: value for name, value in row.items() if name not in names_}
