"""The outbox's rows: adding, leasing and finishing jobs. At least once; nothing is run here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from gateway.routing.effects import Job
from gateway.store.engine import hold
from gateway.store.schema import job as job_table
from gateway.store.store import Write, insert

CORE = "core"
SEND_MAIL = "send_mail"
HELD = "held"
"""The state of mail that waits for a person's decision (held.py); the others are due, dead, done."""
HELD_KEY = "held:"
"""The keys of mail that is or was held begin so."""
RETRY_SECONDS = (60.0, 300.0, 900.0, 3600.0)
GIVE_UP_SECONDS = 5 * 86_400.0
PURGED_AT_ONCE = 1000
RESTORED = " (restored "
"""Stands behind the key of a job that came out of a backup, before the epoch: nobody knows whether it has run, so it
must not keep out the same job of mail that comes again. A retry gives it its own key back."""
_insert = insert(job_table, "ignore")


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that is ours until `leased_until`."""

    id: str
    job: Job
    attempts: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Lease:
    """Ask for up to `count` due jobs. Times in POSIX seconds."""

    instance: str
    now: float
    until: float
    count: int = 20


@dataclass(frozen=True, slots=True)
class Finish:
    """What became of a job: `due_at` set means another try then; `dead` keeps it as a dead letter.

    `payload`, where it is set, is what there is left to do, and takes the place of the job's own.
    """

    id: str
    now: float
    error: str = ""
    due_at: float | None = None
    dead: bool = False
    payload: Mapping[str, Any] | None = None


def add_write(job_id: str, job: Job, now: float) -> Write:
    """A job that may run at once. One with the same owner, kind and key is not added twice; without a key, any is."""
    row: dict[str, Any] = {
        "id": job_id,
        "owner": job.owner or CORE,
        "kind": job.kind,
        "key": job.key or None,
        "payload": json.dumps(dict(job.payload)),
        "content": job.content,
        "due_at": now,
        "created_at": now,
    }
    return Write(_insert, row)


def lease(connection: Connection, payloads: Sequence[Lease], /) -> Sequence[list[LeasedJob]]:
    """Due jobs that nobody holds, oldest first, now held by the asker. For the writer's thread."""
    return [_lease_one(connection, asked) for asked in payloads]


def _lease_one(connection: Connection, asked: Lease) -> list[LeasedJob]:
    free = or_(job_table.c.leased_until.is_(None), job_table.c.leased_until < asked.now)
    due = (
        select(job_table)
        .where(and_(job_table.c.state == "due", job_table.c.due_at <= asked.now, free))
        .order_by(job_table.c.due_at)
        .limit(asked.count)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if rows:
        connection.execute(
            update(job_table)
            .where(job_table.c.id.in_([row.id for row in rows]))
            .values(leased_by=asked.instance, leased_until=asked.until, attempts=job_table.c.attempts + 1)
        )
    return [
        LeasedJob(
            row.id,
            Job(row.kind, json.loads(row.payload), row.key or "", row.owner, row.content),
            row.attempts + 1,
            row.created_at,
        )
        for row in rows
    ]


_CHANGE = (
    update(job_table)
    .where(job_table.c.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"),
        due_at=bindparam("b_due_at"),
        last_error=bindparam("b_error"),
        payload=func.coalesce(bindparam("b_payload"), job_table.c.payload),
        leased_by=None,
        leased_until=None,
    )
)


def finish(connection: Connection, payloads: Sequence[Finish], /) -> Sequence[None]:
    """Done jobs go, except for their key, which keeps a late repetition out for as long as a sender may retry."""
    for each in payloads:
        if each.due_at is None and not each.dead:
            connection.execute(
                update(job_table)
                .where(job_table.c.id == each.id)
                .values(state="done", payload="{}", content=None, leased_by=None, leased_until=None, due_at=each.now)
            )
            continue
        row = {
            "b_id": each.id,
            "b_state": "dead" if each.dead else "due",
            "b_due_at": each.now if each.due_at is None else each.due_at,
            "b_error": each.error[:1000],
            "b_payload": None if each.payload is None else json.dumps(dict(each.payload)),
        }
        connection.execute(_CHANGE, row)
    return [None] * len(payloads)


def purge(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """Delete done jobs that finished before the given POSIX time, so many at once that mail need not wait; how many."""
    return [_purge_one(connection, before, was_held=False) for before in payloads]


def purge_held(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """The same for mail that was held: who decided what, and when. What still waits is not touched."""
    return [_purge_one(connection, before, was_held=True) for before in payloads]


def _purge_one(connection: Connection, before: float, *, was_held: bool) -> int:
    hold(connection, ["purge"])
    of_held = func.coalesce(job_table.c.key, "").startswith(HELD_KEY)
    kind = of_held if was_held else ~of_held
    done = select(job_table.c.id).where(job_table.c.state == "done", job_table.c.due_at < before, kind)
    done = done.limit(PURGED_AT_ONCE)
    return connection.execute(delete(job_table).where(job_table.c.id.in_(done))).rowcount


def next_try(attempts: int) -> float:
    """Seconds to wait after that many failed attempts."""
    return RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1]
