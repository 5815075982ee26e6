"""A context's address book: who is in it. Made anew each time from what people of the context may see; never stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Select, and_, or_, select

from gateway.directory.actor import Actor
from gateway.directory.errors import NotFound
from gateway.directory.people import ACTIVE
from gateway.directory.places import Place
from gateway.directory.tables import context, context_visibility, mailbox, organisation, person
from gateway.directory.visibility import visible_context
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Entry:
    """A person, or a mailbox that several people share. `addresses`: the one to write to first."""

    id: str
    kind: Literal["person", "shared"]
    name: str
    addresses: tuple[str, ...]
    phone: str
    extension: str
    organisation: str
    context: str

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "addresses": list(self.addresses)}


async def entries(store: Store, actor: Actor, place: Place) -> list[Entry]:
    """What people of the context `place` see: their own, and those of contexts that are shown to it.

    For people of the context and whoever sees it. Raises `NotFound`.
    """
    seen = await store.read(
        select(context.c.id).where(context.c.id == place.context_id, visible_context(actor, context.c.id))
    )
    if not seen:
        raise NotFound("context", place.context)
    shown = select(context_visibility.c.sees_context_id).where(context_visibility.c.context_id == place.context_id)
    return sorted(
        [*await _people(store, place, shown), *await _shared(store, place, shown)],
        key=lambda entry: (entry.name.casefold(), entry.addresses),
    )


_PLACE = (
    organisation.c.name.label("organisation"), organisation.c.title.label("organisation_title"),
    context.c.name.label("context"), context.c.title.label("context_title"),
)  # fmt: skip


async def _people(store: Store, place: Place, shown: Select[Any]) -> list[Entry]:
    within = or_(person.c.context_id == place.context_id, person.c.context_id.in_(shown))
    query = (
        select(person.c.id, person.c.address, person.c.name, person.c.phone, person.c.extension, *_PLACE)
        .join_from(person, context, person.c.context_id == context.c.id)
        .join(organisation, organisation.c.id == context.c.organisation_id)
        .where(within, person.c.state == ACTIVE)
    )
    rows = await store.read(query)
    owned = (
        select(mailbox.c.owner_id, mailbox.c.address)
        .join_from(mailbox, person, mailbox.c.owner_id == person.c.id)
        .where(and_(within, mailbox.c.kind == "personal", mailbox.c.ended_at.is_(None), mailbox.c.receives == 1))
    )
    boxes: dict[str, list[str]] = {}
    for box in await store.read(owned.order_by(mailbox.c.created_at, mailbox.c.address)):
        boxes.setdefault(box.owner_id, []).append(box.address)
    return [
        Entry(
            row.id,
            "person",
            row.name or row.address,
            tuple(sorted(boxes.get(row.id, ()), key=lambda address, login=row.address: address != login)),
            row.phone,
            row.extension,
            row.organisation_title or row.organisation,
            row.context_title or row.context,
        )
        for row in rows
    ]


async def _shared(store: Store, place: Place, shown: Select[Any]) -> list[Entry]:
    within = or_(mailbox.c.context_id == place.context_id, mailbox.c.context_id.in_(shown))
    query = (
        select(mailbox.c.id, mailbox.c.address, mailbox.c.display_name, *_PLACE)
        .join_from(mailbox, context, mailbox.c.context_id == context.c.id)
        .join(organisation, organisation.c.id == context.c.organisation_id)
        .where(and_(within, mailbox.c.kind == "shared", mailbox.c.ended_at.is_(None), mailbox.c.receives == 1))
    )
    return [
        Entry(
            row.id,
            "shared",
            row.display_name or row.address.rpartition("@")[0],
            (row.address,),
            "",
            "",
            row.organisation_title or row.organisation,
            row.context_title or row.context,
        )
        for row in await store.read(query)
    ]
