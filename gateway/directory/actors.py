"""From a person in the directory to an `Actor`: what they may do follows from their row and nothing else."""

from __future__ import annotations

from sqlalchemy import select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.errors import NotAllowed, NotFound
from gateway.directory.people import ACTIVE
from gateway.directory.tables import context, person
from gateway.store.store import Store


async def actor_of(store: Store, address: str, *, through: str = "") -> Actor:
    """The person who logs in with `address`, with their role, organisation and context. `through`: see `Actor`.

    Raises `NotFound`, and `NotAllowed` for somebody who has left.
    """
    key = names.address(address).key
    query = (
        select(person.c.id, person.c.role, person.c.state, person.c.context_id, context.c.organisation_id)
        .join_from(person, context, person.c.context_id == context.c.id)
        .where(person.c.address == key)
    )
    rows = await store.read(query)
    if not rows:
        raise NotFound("person", address, hint="stellwerk user list shows all")
    [row] = rows
    if row.state != ACTIVE:
        raise NotAllowed(f"{key} has left and may not do anything; name somebody who is active")
    return Actor(key, row.role, row.id, row.organisation_id, row.context_id, through)
