"""Everything that the directory stores about a person, for themselves. Nothing is changed here."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Select, Table, or_, select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.errors import NotAllowed, NotFound
from gateway.directory.listing import person_of
from gateway.directory.tables import (
    address,
    app_password,
    audit_entry,
    auto_answer,
    directory_import,
    mailbox,
    membership,
    organisation,
    out_of_office,
    person,
)
from gateway.directory.visibility import administered_person
from gateway.store.store import Store

_SECRET = frozenset({"password", "relay"})


async def personal_data(store: Store, actor: Actor, text: str) -> dict[str, Any]:
    """By table, every row that is about the person or names their address. Passwords: only whether there is one.

    For themselves and their administrators. Raises `NotFound`, `NotAllowed`.
    """
    key = names.address(text).key
    await person_of(store, actor, key)
    rows = await store.read(select(person).where(person.c.address == key))
    if not rows:
        raise NotFound("person", text)
    identity = rows[0].id
    if actor.person_id != identity:
        mine = select(person.c.id).where(person.c.id == identity, administered_person(actor))
        if not await store.read(mine):
            actor.must_not_do_for_more(rows[0].role, key, "export what is stored")
            raise NotAllowed(f"{actor.name} may not export what is stored about {key}; they and administrators may")
    owned = mailbox.c.owner_id == identity

    async def all_of(table: Table, query: Select[Any]) -> list[dict[str, Any]]:
        return [_shown(dict(row._mapping)) for row in await store.read(query.order_by(*table.primary_key))]

    entries = await all_of(audit_entry, select(audit_entry).where(_about(identity, key)))
    return {
        "person": _shown(dict(rows[0]._mapping)),
        "deputy_of": await all_of(person, select(person.c.id, person.c.address).where(person.c.deputy_id == identity)),
        "app_passwords": await all_of(app_password, select(app_password).where(app_password.c.person_id == identity)),
        "mailboxes": await all_of(mailbox, select(mailbox).where(owned)),
        "addresses": await all_of(
            address,
            select(address).join(mailbox, mailbox.c.id == address.c.mailbox_id).where(or_(owned, address.c.key == key)),
        ),
        "out_of_office": await all_of(
            out_of_office, select(out_of_office).join(mailbox, mailbox.c.id == out_of_office.c.mailbox_id).where(owned)
        ),
        "answered": await all_of(auto_answer, select(auto_answer).where(auto_answer.c.sender == key)),
        "memberships": await all_of(
            membership,
            select(membership, mailbox.c.address.label("mailbox"))
            .join(mailbox, mailbox.c.id == membership.c.mailbox_id)
            .where(membership.c.person_id == identity),
        ),
        "contact_of": await all_of(
            organisation, select(organisation.c.name).where(organisation.c.contact_address == key)
        ),
        "imports": await all_of(
            directory_import, select(directory_import).where(directory_import.c.actor.contains(key, autoescape=True))
        ),
        "audit": [
            {**entry, "before": json.loads(entry["before"]), "after": json.loads(entry["after"])} for entry in entries
        ],
    }


def _about(identity: str, key: str) -> Any:
    """Condition on `audit_entry`: about the person, by them, or naming their address."""
    texts = (audit_entry.c.actor, audit_entry.c.name, audit_entry.c.before, audit_entry.c.after)
    return or_(audit_entry.c.noun_id == identity, *(column.contains(key, autoescape=True) for column in texts))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bool(value) if name in _SECRET else value for name, value in row.items()}
