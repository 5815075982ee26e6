"""Addresses of an organisation that has lost the domain: put aside, so that whoever has it now begins with none.

They are the old organisation's again if it gets the domain back within 90 days; then they are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, insert, select

from gateway.directory.change import Change
from gateway.directory.tables import address, context, domain, mailbox, sealed_address
from gateway.domains.states import FORGET_EXPIRED_SECONDS, SEALED_SECONDS, State

_WHOSE = (
    select(address, context.c.organisation_id)
    .join_from(address, mailbox, mailbox.c.id == address.c.mailbox_id)
    .join(context, context.c.id == mailbox.c.context_id)
)


def seal_others(change: Change, name: str, organisation_id: str) -> int:
    """Addresses in the domain `name` that are not of the organisation which has gained it. How many there were."""
    theirs = and_(address.c.domain == name, context.c.organisation_id != organisation_id)
    rows = change.rows(_WHOSE.where(theirs))
    for row in rows:
        values = {**row._mapping, "sealed_at": change.now}
        same = and_(sealed_address.c.key == row.key, sealed_address.c.organisation_id == row.organisation_id)
        change.connection.execute(delete(sealed_address).where(same))
        change.connection.execute(insert(sealed_address).values(**values))
        whole = change.rows(select(address).where(address.c.key == row.key))[0]
        change.remove(address, whole, action="address.seal", name=row.key, organisation_id=row.organisation_id)
    return len(rows)


def unseal(change: Change, name: str, organisation_id: str) -> int:
    """What was sealed of this organisation is its own again, where its mailbox still is. How many there were."""
    mine = and_(sealed_address.c.domain == name, sealed_address.c.organisation_id == organisation_id)
    query = select(sealed_address).join(mailbox, mailbox.c.id == sealed_address.c.mailbox_id)
    there = select(address.c.key).where(address.c.key == sealed_address.c.key).exists()
    rows = change.rows(query.where(and_(mine, mailbox.c.ended_at.is_(None), ~there)))
    for row in rows:
        kept = {column: row._mapping[column] for column in ("key", "domain", "mailbox_id", "kind", "created_at")}
        change.add(address, kept, name=row.key, organisation_id=organisation_id)
    change.connection.execute(delete(sealed_address).where(mine))
    return len(rows)


def purge(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """Forget what was sealed 90 days before each time, and claims that expired 30 days before it. How many rows."""
    return [_purge_one(connection, now) for now in payloads]


def _purge_one(connection: Connection, now: float) -> int:
    old = delete(sealed_address).where(sealed_address.c.sealed_at < now - SEALED_SECONDS)
    used = select(address.c.key).where(address.c.domain == domain.c.name).exists()
    expired = delete(domain).where(
        and_(
            domain.c.state == State.EXPIRED,
            domain.c.state_since < now - FORGET_EXPIRED_SECONDS,
            ~used,
        )
    )
    released = delete(domain).where(
        and_(
            domain.c.state == State.RELEASED,
            domain.c.state_since < now - SEALED_SECONDS,
            ~used,
        )
    )
    return sum(connection.execute(statement).rowcount for statement in (old, expired, released))
