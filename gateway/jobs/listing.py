"""The outbox as an admin sees it: what waits, failed, is dead; one tried again or dropped. Nothing runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, case, delete, func, select, update
from sqlalchemy.engine import Row

from gateway.jobs.outbox import HELD, RESTORED
from gateway.store.schema import job as job_table
from gateway.store.store import Store, Write

JobState = Literal["due", "failed", "dead", "held"]
"""due: not tried yet; failed: tried, and to be tried again; dead: given up, kept for a person; held: see held.py."""

_COLUMNS = [column for column in job_table.c if column.name not in {"payload", "content"}]
_STATE = case(
    (job_table.c.state.in_(("dead", HELD)), job_table.c.state),
    (job_table.c.last_error.is_not(None), "failed"),
    else_="due",
).label("shown")


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job without its payload, which may be a message. Times in POSIX seconds."""

    id: str
    owner: str
    kind: str
    key: str
    state: JobState
    due_at: float
    created_at: float
    attempts: int
    last_error: str
    leased: bool

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


async def jobs(store: Store, states: Sequence[str] = (), *, now: float, count: int = 100) -> list[ListedJob]:
    """Jobs that are not done, dead ones first, then by the time at which they are due."""
    query = select(*_COLUMNS, _STATE).where(job_table.c.state != "done")
    if states:
        query = query.where(_STATE.in_(states))
    order = query.order_by(job_table.c.state != "dead", job_table.c.due_at, job_table.c.id).limit(count)
    return [_listed(row, now) for row in await store.read(order)]


async def find_job(store: Store, job_id: str, now: float) -> ListedJob | None:
    rows = await store.read(select(*_COLUMNS, _STATE).where(job_table.c.id == job_id, job_table.c.state != "done"))
    return _listed(rows[0], now) if rows else None


def _listed(row: Row[Any], now: float) -> ListedJob:
    leased = row.leased_until is not None and row.leased_until > now
    return ListedJob(
        row.id, row.owner, row.kind, row.key or "", row.shown, row.due_at, row.created_at, row.attempts,
        row.last_error or "", leased,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs are to be done, dead letters, held mail; when the oldest job became due, the oldest mail held."""

    due: int
    dead: int
    held: int
    oldest_due: float | None
    oldest_held: float | None


async def counts(store: Store) -> Counts:
    """What waits in the outbox."""
    due, held = job_table.c.state == "due", job_table.c.state == HELD
    query = select(
        func.sum(case((due, 1), else_=0)).label("due"),
        func.sum(case((job_table.c.state == "dead", 1), else_=0)).label("dead"),
        func.sum(case((held, 1), else_=0)).label("held"),
        func.min(case((due, job_table.c.due_at))).label("oldest_due"),
        func.min(case((held, job_table.c.created_at))).label("oldest_held"),
    ).where(job_table.c.state.in_(("due", "dead", HELD)))
    (row,) = await store.read(query)
    return Counts(row.due or 0, row.dead or 0, row.held or 0, row.oldest_due, row.oldest_held)


@dataclass(frozen=True, slots=True)
class Again:
    """Let a job run now, dead or not, with all its tries before it."""

    id: str
    now: float


async def try_again(store: Store, job_id: str, now: float) -> bool:
    """False when there is no such job, or it runs at this moment. Raises StoreUnavailable."""
    (changed,) = await store.write([Write(_try_again, Again(job_id, now))])
    return bool(changed)


async def drop(store: Store, job_id: str, now: float) -> bool:
    """Delete a job for good; the same returns as `try_again`."""
    (changed,) = await store.write([Write(_drop, Again(job_id, now))])
    return bool(changed)


def _try_again(connection: Connection, payloads: Sequence[Again], /) -> Sequence[int]:
    # Tries are counted from the creation, so an old job would be given up again at its first failure.
    return [
        connection.execute(
            update(job_table)
            .where(*_free(asked))
            .values(state="due", due_at=asked.now, created_at=asked.now, attempts=0, key=_own_key(connection, asked.id))
        ).rowcount
        for asked in payloads
    ]


def _own_key(connection: Connection, job_id: str) -> str | None:
    """The job's key without what a restore put behind it, unless the same job came again meanwhile."""
    found = connection.execute(
        select(job_table.c.owner, job_table.c.kind, job_table.c.key).where(job_table.c.id == job_id)
    ).one_or_none()
    if found is None or found.key is None or RESTORED not in found.key:
        return None if found is None else found.key
    own: str = found.key.rpartition(RESTORED)[0]
    taken = select(job_table.c.id).where(
        job_table.c.owner == found.owner, job_table.c.kind == found.kind, job_table.c.key == own
    )
    return str(found.key) if connection.execute(taken).first() else own


def _drop(connection: Connection, payloads: Sequence[Again], /) -> Sequence[int]:
    return [connection.execute(delete(job_table).where(*_free(asked))).rowcount for asked in payloads]


def _free(asked: Again) -> tuple[Any, ...]:
    unleased = job_table.c.leased_until.is_(None) | (job_table.c.leased_until <= asked.now)
    return job_table.c.id == asked.id, job_table.c.state.not_in(("done", HELD)), unleased
