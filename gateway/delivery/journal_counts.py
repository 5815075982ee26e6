"""How much the journal still waits for, for metrics and health. It reads every open step: ask seldom."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, distinct, func, select

from gateway.delivery.journal_rules import State
from gateway.store.schema import journal_entry, journal_step
from gateway.store.store import Store

_OPEN = (
    select(
        func.count(distinct(journal_step.c.entry_id)).label("entries"),
        func.sum(case((journal_step.c.state == State.DEFERRED.value, 1), else_=0)).label("deferred"),
        func.sum(case((journal_step.c.state == State.UNKNOWN.value, 1), else_=0)).label("unknown"),
        func.min(journal_entry.c.created_at).label("oldest"),
    )
    .join(journal_entry, journal_entry.c.id == journal_step.c.entry_id)
    .where(journal_step.c.closed_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class OpenWork:
    """Entries that are not closed, their deferred and unknown steps, and the POSIX time of the oldest (None: none)."""

    entries: int
    deferred: int
    unknown: int
    oldest: float | None


async def open_work(store: Store) -> OpenWork:
    """Raises StoreUnavailable, or SQLAlchemy's error for a database without our tables."""
    (row,) = await store.read(_OPEN)
    return OpenWork(row.entries, row.deferred or 0, row.unknown or 0, row.oldest)
