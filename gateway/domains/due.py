"""Which claims are looked at now: leased, so that one look at a time is made of each, by one process of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from gateway.directory.tables import domain, domain_token
from gateway.domains.checker import KINDS, Asked, IssuedToken, Kind
from gateway.domains.names import parents
from gateway.domains.rows import standing_of
from gateway.domains.schedule import next_looks, spread_of
from gateway.domains.states import HOLDING, State
from gateway.store.store import Store, Write

LEASE_SECONDS = 300.0
MOST_AT_ONCE = 100
SOON_SECONDS = 60.0
"""What is due so soon is looked at together with what is due now."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Ask for due claims; or for one, due or not, where `name` is given."""

    now: float
    count: int = MOST_AT_ONCE
    name: str = ""


def lease(connection: Connection, payloads: Sequence[Lease], /) -> Sequence[list[Row[Any]]]:
    """Due claims that nobody is looking at, the longest overdue first. For the writer's thread."""
    return [_lease(connection, asked) for asked in payloads]


def _lease(connection: Connection, asked: Lease) -> list[Row[Any]]:
    free = or_(domain.c.leased_until.is_(None), domain.c.leased_until < asked.now)
    wanted = domain.c.name == asked.name if asked.name else domain.c.next_look_at <= asked.now
    query = select(domain).where(and_(domain.c.next_look_at.is_not(None), wanted, free))
    rows = list(
        connection.execute(query.order_by(domain.c.next_look_at).limit(asked.count).with_for_update(skip_locked=True))
    )
    if rows:
        mine = domain.c.id.in_([row.id for row in rows])
        connection.execute(update(domain).where(mine).values(leased_until=asked.now + LEASE_SECONDS))
    return rows


def release(connection: Connection, payloads: Sequence[str], /) -> Sequence[None]:
    """Give leases back, by id: the look came to nothing, and need not wait for the lease's end to be made again."""
    connection.execute(update(domain).where(domain.c.id.in_(payloads)).values(leased_until=None))
    return [None] * len(payloads)


async def due(store: Store, now: float, count: int = MOST_AT_ONCE) -> list[Row[Any]]:
    """Raises `StoreUnavailable`. Reads before it writes: mostly nothing is due."""
    waiting = select(domain.c.id).where(domain.c.next_look_at <= now).limit(1)
    if not await store.read(waiting):
        return []
    (rows,) = await store.write([Write(lease, Lease(now, count))])
    return list(rows)


@dataclass(frozen=True, slots=True)
class Names:
    """What the installation is called in the records of owners."""

    label: str
    gateway: str
    mx_hosts: Sequence[str]


async def question(store: Store, row: Row[Any], names: Names, now: float) -> Asked:
    """What to ask about a claim now. Raises `StoreUnavailable`."""
    issued = await store.read(select(domain_token).where(domain_token.c.name == row.name))
    known = {
        each.token: IssuedToken(
            each.token, each.organisation_id, each.serial, each.issued_at, each.revoked_at is not None
        )
        for each in issued
    }
    mine = [each for each in known.values() if each.organisation_id == row.organisation_id and not each.revoked]
    above = and_(domain.c.name.in_(parents(row.name)), domain.c.scope == "tree", domain.c.state.in_(sorted(_PROVING)))
    proven = await store.read(select(domain.c.name, domain.c.organisation_id).where(above))
    return Asked(
        row.name,
        row.organisation_id,
        _kinds(row, now),
        names.label,
        "tree" if row.scope == "tree" else "exact",
        tuple(sorted(mine, key=lambda each: -each.serial)),
        names.gateway,
        names.mx_hosts,
        known,
        {each.name: each.organisation_id for each in proven},
    )


_PROVING = HOLDING - {State.SUSPENDED, State.GRACE, State.TRUSTED}
"""A name above vouches for those below while its own proof stands."""


def _kinds(row: Row[Any], now: float) -> frozenset[Kind]:
    """What is due: each fact has its own rhythm, and a claim that is asked for early is looked at whole."""
    standing = standing_of(row)
    seen = (standing.facts.ownership.looked_at, standing.facts.routing.looked_at)
    looks = next_looks(standing, max(at or 0.0 for at in seen), spread_of(row.id))
    if looks is None or None in seen:
        return KINDS
    times: dict[Kind, float] = {"ownership": looks.ownership, "mx": looks.routing}
    return frozenset(kind for kind, at in times.items() if at <= now + SOON_SECONDS) or KINDS
