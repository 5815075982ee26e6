"""Which organisation and context a command means: as named, else the only ones that come into question."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, true

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.domains import HOLDERS
from gateway.directory.errors import BadValue, NotFound
from gateway.directory.tables import context, domain, organisation
from gateway.directory.visibility import visible_context, visible_organisation
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """An organisation, and one of its contexts or "" for all of it."""

    organisation: str
    organisation_id: str
    context: str = ""
    context_id: str = ""


async def organisation_meant(store: Store, actor: Actor, named: str = "", address: str = "") -> Place:
    """The organisation `named`; else the one whose domain `address` is in; else the only one that the actor sees.

    One that has ended is meant only when it is named.

    Raises `NotFound`, `BadValue` when it is not clear.
    """
    columns = select(organisation.c.id, organisation.c.name).where(visible_organisation(actor))
    if not named and address:
        key = names.address(address)
        query = columns.join(domain, domain.c.organisation_id == organisation.c.id).where(domain.c.name == key.domain)
        rows = await store.read(query.order_by(domain.c.state.in_(HOLDERS).desc()))
        if not rows:
            raise NotFound("domain", key.domain, hint="add it first: stellwerk domain add NAME --contact ADDRESS")
        return Place(rows[0].name, rows[0].id)
    columns = columns.where(organisation.c.ended_at.is_(None) if not named else true())
    rows = await store.read(columns.order_by(organisation.c.name))
    known = {row.name: row.id for row in rows}
    if named:
        if named not in known:
            raise NotFound("organisation", named, known, "stellwerk organisation list shows all")
        return Place(named, known[named])
    if len(known) == 1:
        [(name, identity)] = known.items()
        return Place(name, identity)
    if not known:
        raise NotFound("organisation", "any", hint="add one first: stellwerk organisation add NAME")
    raise BadValue(f"there are several organisations; say which with --organisation: {', '.join(list(known)[:20])}")


async def context_meant(
    store: Store, actor: Actor, named: str = "", *, organisation_named: str = "", address: str = ""
) -> Place:
    """The context `named` ("sales" or "acme/sales"); else the only one of the organisation. Otherwise as above."""
    first, slash, rest = named.partition("/")
    if slash:
        if organisation_named not in {"", first}:
            raise NotFound("context", named, hint=f"expected one of {organisation_named}")
        organisation_named, named = first, rest
    whose = await organisation_meant(store, actor, organisation_named, "" if slash else address)
    query = select(context.c.id, context.c.name).where(
        context.c.organisation_id == whose.organisation_id,
        visible_context(actor, context.c.id),
        context.c.ended_at.is_(None) if not named else true(),
    )
    known = {row.name: row.id for row in await store.read(query.order_by(context.c.name))}
    if not named and len(known) == 1:
        [named] = known
    if not named:
        there = f"; say which with --context: {', '.join(known)}" if known else ": stellwerk context add NAME"
        raise BadValue(f"{whose.organisation} has {'several contexts' if known else 'no context yet'}{there}")
    if named not in known:
        raise NotFound("context", named, known, f"{whose.organisation} has: {', '.join(known) or 'none'}")
    return Place(whose.organisation, whose.organisation_id, named, known[named])
