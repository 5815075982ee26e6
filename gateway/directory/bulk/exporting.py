"""People and mailboxes as rows with the columns that an import takes, so that one installation can fill another."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select

from gateway.directory import listing
from gateway.directory.actor import Actor
from gateway.directory.leaving import ERASED
from gateway.directory.listing import Listed
from gateway.directory.people import ACTIVE
from gateway.directory.places import Place
from gateway.directory.tables import address, mailbox, membership, person
from gateway.directory.visibility import visible_mailbox, visible_person
from gateway.store.store import Store


async def people_rows(store: Store, actor: Actor, place: Place | None) -> list[Listed]:
    """Everybody but those who were erased. Passwords are no part of it: nobody can read them."""
    rows = await listing.people(store, actor, place)
    return [{**row, "deputy": row["deputy"] or ""} for row in rows if not row["address"].endswith(ERASED)]


async def mailbox_rows(store: Store, actor: Actor, place: Place | None) -> list[Listed]:
    """Mailboxes that have not ended. An owner who has left is left out: an import gives it to an administrator."""
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
    for row in await store.read(_members(actor)):
        rights = [right for right in ("read", "send_as", "send_on_behalf", "manage") if row._mapping[f"can_{right}"]]
        members.setdefault(row.mailbox, []).append(f"{row.person}={'+'.join(rights)}")
    active = await store.read(select(person.c.address).where(visible_person(actor), person.c.state == ACTIVE))
    there = {row.address for row in active}
    return [
        {
            **row,
            "owner": row["owner"] if row["owner"] in there else "",
            "receives": "yes" if row["receives"] else "no",
            "vip": "yes" if row["vip"] else "no",
            "max_message_bytes": "" if row["max_message_bytes"] is None else row["max_message_bytes"],
            "aliases": " ".join(aliases.get(row["address"], ())),
            "members": " ".join(members.get(row["address"], ())),
        }
        for row in await listing.mailboxes(store, actor, place)
    ]


def _members(actor: Actor) -> Any:
    return (
        select(
            mailbox.c.address.label("mailbox"), person.c.address.label("person"), membership.c.can_read,
            membership.c.can_send_as, membership.c.can_send_on_behalf, membership.c.can_manage,
        )
        .join_from(membership, mailbox, membership.c.mailbox_id == mailbox.c.id)
        .join(person, person.c.id == membership.c.person_id)
        .where(and_(membership.c.until.is_(None), mailbox.c.ended_at.is_(None), visible_mailbox(actor)))
        .order_by(mailbox.c.address, membership.c.since, person.c.address)
    )  # fmt: skip
