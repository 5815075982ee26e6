"""People and mailboxes as rows with the columns that an import takes, so that one installation can fill another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, not_, or_, select

from gateway.directory import listing
from gateway.directory.actor import Actor
from gateway.directory.leaving import ERASED
from gateway.directory.listing import Listed
from gateway.directory.people import ACTIVE
from gateway.directory.places import Place
from gateway.directory.tables import address, mailbox, membership, person
from gateway.directory.visibility import visible_mailbox, visible_person
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Exported:
    """The rows, and for people what was left out of them since whoever asks may not see it."""

    rows: list[Listed]
    left_out: tuple[str, ...] = ()


async def people_rows(store: Store, actor: Actor, place: Place | None) -> Exported:
    """Everybody but those who were erased. Passwords are no part of it: nobody can read them.

    A deputy whom the actor does not see is no part of it either.
    """
    rows = [row for row in await listing.people(store, actor, place) if not row["address"].endswith(ERASED)]
    seen = {row.address for row in await store.read(select(person.c.address).where(visible_person(actor)))}
    hidden = sum(1 for row in rows if row["deputy"] and row["deputy"] not in seen)
    shown = [{**row, "deputy": row["deputy"] if row["deputy"] in seen else ""} for row in rows]
    if not hidden:
        return Exported(shown)
    return Exported(shown, (f"{_counted(hidden, 'deputy', 'deputies')} left out: of a context that you do not see",))


async def mailbox_rows(store: Store, actor: Actor, place: Place | None) -> Exported:
    """Mailboxes that have not ended. An owner who has left is left out: an import gives it to an administrator.

    A mailbox whose owner, or a member of which, is somebody whom the actor does not see is left out as a whole: without
    them the row would say that there is nobody, and an import of it would make it so.
    """
    aliases: dict[str, list[str]] = {}
    query = (
        select(address.c.key, mailbox.c.address)
        .join_from(address, mailbox, address.c.mailbox_id == mailbox.c.id)
        .where(address.c.kind == "alias", visible_mailbox(actor))
        .order_by(address.c.key)
    )
    for row in await store.read(query):
        aliases.setdefault(row.address, []).append(row.key)
    members: dict[str, list[str]] = {}
    hidden = {row.address for row in await store.read(_owned_by_active(actor).where(not_(_is_seen(actor))))}
    for row in await store.read(_members(actor)):
        if not row.is_seen:
            hidden.add(row.mailbox)
            continue
        rights = [right for right in ("read", "send_as", "send_on_behalf", "manage") if row._mapping[f"can_{right}"]]
        members.setdefault(row.mailbox, []).append(f"{row.person}={'+'.join(rights)}")
    owned = {row.address for row in await store.read(_owned_by_active(actor))}
    listed = await listing.mailboxes(store, actor, place)
    rows = [
        {
            **row,
            "owner": row["owner"] if row["address"] in owned else "",
            "receives": "yes" if row["receives"] else "no",
            "vip": "yes" if row["vip"] else "no",
            "max_message_bytes": "" if row["max_message_bytes"] is None else row["max_message_bytes"],
            "aliases": " ".join(aliases.get(row["address"], ())),
            "members": " ".join(members.get(row["address"], ())),
        }
        for row in listed
        if row["address"] not in hidden
    ]
    if not (number := len(listed) - len(rows)):
        return Exported(rows)
    why = "an owner or member is of a context that you do not see; an administrator of the organisation exports all"
    return Exported(rows, (f"{_counted(number, 'mailbox', 'mailboxes')} left out: {why}",))


def _counted(number: int, one: str, many: str) -> str:
    return f"1 {one} was" if number == 1 else f"{number} {many} were"


def _is_seen(actor: Actor) -> ColumnElement[bool]:
    """Condition on `person` and `mailbox`: whom the actor sees, as owner or member of the mailbox."""
    return or_(visible_person(actor), listing.shares(actor))


def _owned_by_active(actor: Actor) -> Select[Any]:
    return (
        select(mailbox.c.address)
        .join_from(mailbox, person, person.c.id == mailbox.c.owner_id)
        .where(mailbox.c.ended_at.is_(None), person.c.state == ACTIVE, visible_mailbox(actor))
    )


def _members(actor: Actor) -> Any:
    return (
        select(
            mailbox.c.address.label("mailbox"), person.c.address.label("person"), membership.c.can_read,
            membership.c.can_send_as, membership.c.can_send_on_behalf, membership.c.can_manage,
            _is_seen(actor).label("is_seen"),
        )
        .join_from(membership, mailbox, membership.c.mailbox_id == mailbox.c.id)
        .join(person, person.c.id == membership.c.person_id)
        .where(and_(membership.c.until.is_(None), mailbox.c.ended_at.is_(None), visible_mailbox(actor)))
        .order_by(mailbox.c.address, membership.c.since, person.c.address)
    )  # fmt: skip
