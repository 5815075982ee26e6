"""The journal's rows: every SQL statement about entries and steps, and reading and applying them in batches.

Nothing is decided here (that is `journal_rules`), and nothing here knows about tasks or time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from gateway.delivery.journal_rules import EntryView, State, StepView
from gateway.mail.reply import Reply
from gateway.routing.effects import OnConflict, Record
from gateway.routing.plan import DeliverStep, Step, step_from_json
from gateway.store.engine import hold, is_outage
from gateway.store.schema import job as job_table
from gateway.store.schema import journal_entry, journal_step
from gateway.store.store import insert, listing, prepared

Tables = Mapping[str, Any]
"""Tables that records may name, by name."""


_look_up = listing(
    lambda digests: (
        select(journal_entry.c.id.label("entry"), journal_entry.c.sender, journal_entry.c.digest,
               journal_entry.c.created_at, journal_step)
        .join(journal_step, journal_step.c.entry_id == journal_entry.c.id)
        .where(journal_entry.c.digest.in_(digests))
        .order_by(journal_entry.c.created_at.desc(), journal_step.c.recipient, journal_step.c.position)
    )
)  # fmt: skip
THIS_STEP = and_(
    journal_step.c.entry_id == bindparam("b_entry"),
    journal_step.c.recipient == bindparam("b_recipient"),
    journal_step.c.position == bindparam("b_position"),
)
LEASE = (
    update(journal_step)
    .where(THIS_STEP)
    .values(
        state=State.SENDING.value,
        # A lease that ran out in `sending` belonged to a process that vanished: perhaps it delivered.
        doubts=journal_step.c.doubts + case((journal_step.c.state == State.SENDING.value, 1), else_=0),
        transaction_id=bindparam("b_transaction"),
        leased_by=bindparam("b_instance"),
        leased_until=bindparam("b_until"),
        updated_at=bindparam("b_now"),
    )
)
# An attempt that was given up must not speak for the one that took the step over.
THIS_ATTEMPT = and_(THIS_STEP, journal_step.c.transaction_id == bindparam("b_transaction"))
FINISH = (
    update(journal_step)
    .where(THIS_ATTEMPT)
    .values(
        state=bindparam("b_state"),
        reply=bindparam("b_reply"),
        attempts=journal_step.c.attempts + bindparam("b_attempt"),
        doubts=journal_step.c.doubts + bindparam("b_doubt"),
        leased_by="",
        leased_until=0.0,
        # The writer may merge this with a CLOSE that was queued after it, and run that one first.
        closed_at=func.coalesce(bindparam("b_closed_at", type_=Float), journal_step.c.closed_at),
        updated_at=bindparam("b_now"),
    )
)
CORRECT = (
    update(journal_step)
    .where(THIS_ATTEMPT, journal_step.c.state == State.UNKNOWN.value)
    .values(state=bindparam("b_state"), reply=bindparam("b_reply"), updated_at=bindparam("b_now"))
)
CLOSE = (
    update(journal_step)
    .where(journal_step.c.entry_id == bindparam("b_entry"), journal_step.c.recipient == bindparam("b_recipient"))
    .values(closed_at=bindparam("b_now"))
)
DROP = delete(journal_step).where(
    journal_step.c.entry_id == bindparam("b_entry"), journal_step.c.recipient == bindparam("b_recipient")
)
# Nobody knows whether commit A stands, and nothing was handed on: its steps wait for the sender, not for their lease.
GIVE_BACK = (
    update(journal_step)
    .where(
        journal_step.c.entry_id.in_(
            select(journal_entry.c.id).where(
                journal_entry.c.digest == bindparam("b_digest"), journal_entry.c.sender == bindparam("b_sender")
            )
        ),
        journal_step.c.transaction_id == bindparam("b_transaction"),
        journal_step.c.state == State.SENDING.value,
    )
    .values(state=State.DEFERRED.value, leased_by="", leased_until=0.0, updated_at=bindparam("b_now"))
)
_insert_entries = insert(journal_entry)
_insert_steps = insert(journal_step)
_insert_jobs = insert(job_table, "ignore")
_insert_held = insert(job_table)
_lease = prepared(LEASE)
_drop = prepared(DROP)
_finish = prepared(FINISH)
# Not those that were tried already: a plugin may have asked for a pause.
JOBS_DUE = (
    update(job_table)
    .where(job_table.c.entry_id == bindparam("b_entry"), job_table.c.state == "due", job_table.c.attempts == 0)
    .values(due_at=bindparam("b_now"))
)


class EffectFailed(Exception):
    """A plugin's record or job cannot be written: nothing of its message is, and the text says why on one line."""


@dataclass(slots=True)
class Changes:
    """Rows that one batch of commit A writes, by statement."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    leases: list[dict[str, Any]] = field(default_factory=list)
    finished: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class KnownEntry:
    """An entry as it was found, with what a retry needs of its steps."""

    view: EntryView
    rows: dict[tuple[str, int], tuple[Step, Reply | None]] = field(default_factory=dict)

    @property
    def has_effects(self) -> bool:
        """Whether records and jobs stand: they go with the first step that is handed on or is final at once."""
        handed_on = any(isinstance(step, DeliverStep) for step, _ in self.rows.values())
        return handed_on or any(step.state.is_final for step in self.view.steps)

    def forget(self, recipient: str) -> None:
        self.view.steps = [step for step in self.view.steps if step.recipient != recipient]


def entries(connection: Connection, digests: set[str]) -> dict[tuple[str, str], list[KnownEntry]]:
    found: dict[tuple[str, str], dict[str, KnownEntry]] = {}
    for row in _look_up(connection, sorted(digests)):
        entries = found.setdefault((row.sender, row.digest), {})
        entry = entries.setdefault(row.entry, KnownEntry(EntryView(row.entry, row.created_at)))
        entry.view.steps.append(
            StepView(
                row.recipient,
                row.position,
                (row.final, row.via),
                State(row.state),
                row.leased_until,
                row.attempts,
                row.closed_at is not None,
            )
        )
        reply = Reply.from_json(json.loads(row.reply)) if row.reply else None
        entry.rows[row.recipient, row.position] = step_from_json(json.loads(row.step)), reply
    return {key: list(entries.values()) for key, entries in found.items()}


def apply(connection: Connection, changes: Changes, tables: Tables) -> None:
    """Write what one batch of commit A came to, each kind of row in one go."""
    if changes.dropped:
        _drop(connection, changes.dropped)
    if changes.entries:
        _insert_entries(connection, changes.entries)
    if changes.steps:
        _insert_steps(connection, changes.steps)
    if changes.leases:
        _lease(connection, changes.leases)
    if changes.finished:
        _finish(connection, changes.finished)
    if changes.held:
        _insert_held(connection, changes.held)
    if changes.jobs:
        with _blamed("a job"):
            _insert_jobs(connection, changes.jobs)
    _write_records(connection, changes.records, tables)


def _write_records(connection: Connection, records: Sequence[Record], tables: Tables) -> None:
    by_table: dict[tuple[str, OnConflict], list[Mapping[str, Any]]] = {}
    for record in records:
        if record.function:
            with _blamed(f"record {record.function}"):
                resolve_name(record.function)(connection, dict(record.row))
        else:
            by_table.setdefault((record.table, record.on_conflict), []).append(record.row)
    for (table, on_conflict), rows in by_table.items():
        with _blamed(f"record of {table}"):
            if table not in tables:
                raise LookupError("no plugin registered this table")
            insert(tables[table], on_conflict)(connection, rows)


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is a plugin's fault (`EffectFailed`), but for an outage of the store."""
    try:
        yield
    except BaseException as error:
        if is_outage(error):
            raise
        cause = getattr(error, "orig", None) or error
        # The first line only: what PostgreSQL says behind it quotes the row.
        text = (str(cause).strip().splitlines() or [""])[0][:300]
        raise EffectFailed(f"{what}: {type(cause).__name__}: {text}") from error


@dataclass(frozen=True, slots=True)
class Recovery:
    """Leases to free: those for which `dead` holds, on entries made since `since` (POSIX seconds)."""

    dead: ColumnElement[bool]
    since: float
    now: float


def recover(connection: Connection, payloads: Sequence[Recovery], /) -> Sequence[None]:
    """Steps whose lease is dead: `sending` becomes `unknown`, and each lease is free.

    Only recent entries are looked at, which keeps this short and the leases without an index. A lease on an older one
    (the process died during a late retry) ends by its time.
    """
    was_sending = journal_step.c.state == State.SENDING.value
    for asked in payloads:
        recent = select(journal_entry.c.id).where(journal_entry.c.created_at >= asked.since)
        connection.execute(
            update(journal_step)
            .where(journal_step.c.entry_id.in_(recent), asked.dead)
            .values(
                state=case((was_sending, State.UNKNOWN.value), else_=journal_step.c.state),
                doubts=journal_step.c.doubts + case((was_sending, 1), else_=0),
                attempts=journal_step.c.attempts + case((was_sending, 1), else_=0),
                leased_by="",
                leased_until=0.0,
                updated_at=asked.now,
            )
        )
    return [None] * len(payloads)


@dataclass(frozen=True, slots=True)
class Purge:
    """How old entries may become. Times in POSIX seconds, ages in seconds."""

    now: float
    join_seconds: float
    unfinished_seconds: float
    unconfirmed_seconds: float


def purge(connection: Connection, payloads: Sequence[Purge], /) -> Sequence[int]:
    """Delete entries that no retry can need any more; the number of entries deleted."""
    return [_purge_one(connection, payload) for payload in payloads]


def _purge_one(connection: Connection, limits: Purge) -> int:
    def no_step(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        return ~exists().where(journal_step.c.entry_id == journal_entry.c.id, *conditions)

    open_step = journal_step.c.closed_at.is_(None)
    unfinished = journal_step.c.state.not_in([State.DONE.value, State.REFUSED.value])
    fresh = journal_step.c.updated_at > limits.now - limits.unconfirmed_seconds
    over = or_(
        and_(journal_entry.c.created_at < limits.now - limits.join_seconds, no_step(open_step)),
        no_step(or_(unfinished, fresh)),
        journal_entry.c.created_at < limits.now - limits.unfinished_seconds,
    )
    hold(connection, ["purge"])  # every node's desk purges; two at a time would lock the same rows in different orders
    doomed = select(journal_entry.c.id).where(over, no_step(journal_step.c.leased_until > limits.now)).limit(1000)
    ids = list(connection.execute(doomed).scalars())
    if ids:
        connection.execute(delete(journal_step).where(journal_step.c.entry_id.in_(ids)))
        connection.execute(delete(journal_entry).where(journal_entry.c.id.in_(ids)))
    return len(ids)


def count_open(sender: str, digest: str) -> Any:
    """A query: how many steps of this message wait for their sender's confirmation or retry."""
    return (
        select(func.count())
        .select_from(journal_entry.join(journal_step))
        .where(
            journal_entry.c.digest == digest,
            journal_entry.c.sender == sender,
            journal_step.c.closed_at.is_(None),
        )
    )
