"""The journal in the store: commit A, commit B, closing, recovery. The rules are `journal_rules`; docs/journal.md."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from gateway.delivery import journal_rows
from gateway.delivery.journal_rows import Changes, KnownEntry, Purge, Recovery, Tables
from gateway.delivery.journal_rules import Copy, Decision, EntryView, State, StepView, decide
from gateway.errors import CommitUnknown, StoreUnavailable
from gateway.jobs.held import HeldMail
from gateway.json_text import json_text
from gateway.mail.reply import ACCEPTED, Reply
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, RecipientPlan, Step
from gateway.routing.route import Discard, Hold, Refuse
from gateway.store.engine import hold
from gateway.store.schema import journal_step
from gateway.store.store import Store, Write, prepared

DELIVERED_ALREADY = ACCEPTED.says("this copy was delivered already")
DISCARDED = ACCEPTED.says("accepted and discarded")
HELD = ACCEPTED.says("accepted, and held for a decision")

_PLANNED = frozenset({Decision.NEW, Decision.JOIN, Decision.REPLAN})
_JOBS_WAIT_SECONDS = 8 * 86_400.0
_RECOVERED_SECONDS = 86_400.0

log = logging.getLogger("stellwerk.journal")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who holds leases. `node` outlives restarts, `boot` is new with each start of the supervisor.

    `instance` is `node-boot-number`, new with each worker process. `dead_instances` are known to be gone; with
    `first_start` every instance of this node from an earlier boot is.
    """

    node: str = "local"
    boot: str = "0"
    instance: str = "local-0-0"
    dead_instances: tuple[str, ...] = ()
    first_start: bool = False


@dataclass(slots=True)
class Begin:
    """What commit A is asked for. Without `plans` (a refusal stands otherwise) only stored plans are continued."""

    entry_id: str
    sender: str
    digest: str
    transaction_id: str
    recipients: tuple[str, ...]
    plans: Mapping[str, RecipientPlan]
    records: tuple[Record, ...]
    jobs: tuple[tuple[str, Job], ...]
    now: float
    leased_until: float
    held: Mapping[tuple[str, int], HeldMail] = field(default_factory=dict)
    """What is kept for a decision, by recipient and position in its plan: for every `Hold` of `plans`."""


@dataclass(slots=True)
class StoredStep:
    """One step as the journal knows it after commit A. In state `sending` it is ours to run, as `transaction_id`."""

    entry_id: str
    recipient: str
    position: int
    step: Step
    state: State
    reply: Reply | None = None
    transaction_id: str = ""


@dataclass(slots=True)
class Begun:
    """What commit A decided: per recipient the decision and, unless it is busy, its steps."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    steps: dict[str, list[StoredStep]] = field(default_factory=dict)
    has_jobs: bool = False

    @property
    def entry_ids(self) -> list[str]:
        return sorted({step.entry_id for steps in self.steps.values() for step in steps})


class Journal:
    """Commit A and B for one process. Its batch functions are made once, so that the writer can merge messages."""

    def __init__(self, store: Store, identity: Identity, join_seconds: float, tables: Tables) -> None:
        self._store = store
        self._identity = identity
        self._join_seconds = join_seconds
        self._begin = self._begin_batch
        self._tables = tables
        self._finish = prepared(journal_rows.FINISH)
        self._correct = prepared(journal_rows.CORRECT)
        self._close = prepared(journal_rows.CLOSE)
        self._jobs_due = prepared(journal_rows.JOBS_DUE)
        self._give_back = prepared(journal_rows.GIVE_BACK)

    async def begin(self, request: Begin, deadline: float | None = None) -> Begun:
        """Commit A: decide, lease, write records and jobs. Raises `StoreUnavailable` or `EffectFailed`."""
        try:
            (begun,) = await self._store.write([Write(self._begin, request)], deadline=deadline)
        except CommitUnknown:
            self._give_back_soon(request)
            raise
        return begun  # type: ignore[no-any-return]

    def _give_back_soon(self, request: Begin) -> None:
        """Should commit A stand, its sender need not wait for the end of leases that nobody uses."""
        values = {"b_digest": request.digest, "b_sender": request.sender, "b_transaction": request.transaction_id}
        try:
            self._store.write_soon([Write(self._give_back, {**values, "b_now": request.now})], on_error=_log_lost_write)
        except StoreUnavailable as error:
            _log_lost_write(error)

    def finish_write(
        self, step: StoredStep, state: State, reply: Reply, *, attempted: bool, now: float, closed: bool = False
    ) -> Write:
        """Commit B of one step. `closed`: the client confirmed meanwhile. Nothing happens if a retry took it over."""
        return Write(self._finish, _finished(step, state, reply, now, attempted=attempted, closed=closed))

    def correct_write(self, step: StoredStep, state: State, reply: Reply, now: float) -> Write:
        """The late truth about a step that commit B wrote as `unknown`; nothing happens if a retry was faster."""
        values = {"b_state": state.value, "b_reply": json_text(reply.to_json()), "b_now": now}
        return Write(self._correct, {**_place(step), **values})

    def jobs_due_write(self, entry_id: str, now: float) -> Write:
        """The message is dealt with: its jobs may run."""
        return Write(self._jobs_due, {"b_entry": entry_id, "b_now": now})

    def close_writes(self, recipients: Sequence[tuple[str, str]], now: float) -> list[Write]:
        """The client saw our reply for these (entry, recipient) pairs."""
        return [Write(self._close, {"b_entry": e, "b_recipient": r, "b_now": now}) for e, r in recipients]

    async def has_open(self, sender: str, digest: str) -> bool:
        """Whether any recipient of this message waits for a retry: a refusal must not override its stored plan."""
        return bool((await self._store.read(journal_rows.count_open(sender, digest)))[0][0])

    async def recover(self, now: float) -> None:
        """Free what dead workers of this node left: what they were sending is `unknown` now."""
        me = self._identity
        owner = journal_step.c.leased_by
        dead: list[ColumnElement[bool]] = [owner.in_(me.dead_instances)] if me.dead_instances else []
        if me.first_start:
            dead.append(and_(owner.like(f"{me.node}-%"), owner.notlike(f"{me.node}-{me.boot}-%")))
        if dead:
            recovery = Recovery(or_(*dead), now - _RECOVERED_SECONDS, now)
            await self._store.write([Write(journal_rows.recover, recovery)])

    async def purge(self, limits: Purge) -> int:
        """Delete what no retry can need any more ("How long" in docs/journal.md); the number of entries deleted.

        In short transactions of a thousand entries each, so that mail does not wait behind them.
        """
        total = 0
        while True:
            deleted: int
            (deleted,) = await self._store.write([Write(journal_rows.purge, limits)])
            total += deleted
            if not deleted:
                return total

    def _begin_batch(self, connection: Connection, requests: Sequence[Begin], /) -> Sequence[Begun]:
        digests = {request.digest for request in requests}
        hold(connection, digests)  # or two nodes would hand the same message on
        known = journal_rows.entries(connection, digests)
        changes = Changes()
        results = [
            self._decide(request, known.setdefault((request.sender, request.digest), []), changes)
            for request in requests
        ]
        journal_rows.apply(connection, changes, self._tables)
        return results

    def _decide(self, request: Begin, known: list[KnownEntry], changes: Changes) -> Begun:
        wanted = {
            recipient: [step.copy_key for step in request.plans[recipient].deliveries]
            if recipient in request.plans
            else []
            for recipient in request.recipients
        }
        decided = decide([entry.view for entry in known], wanted, request.now, self._join_seconds)
        with_effects = {entry.view.id for entry in known if entry.has_effects}
        begun = Begun()
        fresh: KnownEntry | None = None
        for recipient, (decision, view) in decided.items():
            plan = request.plans.get(recipient)
            if plan is None and decision in _PLANNED:
                continue  # refused, and nothing stored to continue
            begun.decisions[recipient] = decision
            if decision is Decision.BUSY:
                continue
            entry = next((entry for entry in known if entry.view is view), None)
            if decision is Decision.NEW and plan is not None:
                entry = fresh = fresh or _new_entry(request, known, changes)
            if entry is None:
                raise AssertionError(f"{decision} without an entry")
            if decision is Decision.REPLAN:
                changes.dropped.append({"b_entry": entry.view.id, "b_recipient": recipient})
                entry.forget(recipient)
            if plan is not None and decision in _PLANNED:
                begun.steps[recipient] = self._plan_steps(request, entry, recipient, plan, changes)
            else:
                begun.steps[recipient] = self._continue(request, entry, recipient, changes)
        first = next(_first_attempts(begun, with_effects), None)
        if first is not None:
            begun.has_jobs = bool(request.jobs)
            _add_effects(request, first.entry_id, changes)
        return begun

    def _plan_steps(
        self, request: Begin, entry: KnownEntry, recipient: str, plan: RecipientPlan, changes: Changes
    ) -> list[StoredStep]:
        stored = []
        for position, planned in enumerate(plan.steps):
            copy = planned.step.copy_key if isinstance(planned.step, DeliverStep) else ("", "")
            state, reply = _first_state(planned.step, copy, entry.view)
            mine = state is State.SENDING
            if isinstance(planned.step, Hold):
                kept = request.held[recipient, position]
                changes.held.append(kept.row(entry.view.id, f"{recipient}:{position}", request.now))
            changes.steps.append(
                {
                    "entry_id": entry.view.id,
                    "recipient": recipient,
                    "position": position,
                    "final": copy[0],
                    "via": copy[1],
                    "step": json_text(planned.to_json()),
                    "state": state.value,
                    "reply": json_text(reply.to_json()) if reply else "",
                    "transaction_id": request.transaction_id,
                    "leased_by": self._identity.instance if mine else "",
                    "leased_until": request.leased_until if mine else 0.0,
                    "updated_at": request.now,
                }
            )
            entry.rows[recipient, position] = planned.step, reply
            entry.view.steps.append(StepView(recipient, position, copy, state, request.leased_until if mine else 0.0))
            stored.append(
                StoredStep(entry.view.id, recipient, position, planned.step, state, reply, request.transaction_id)
            )
        return stored

    def _continue(self, request: Begin, entry: KnownEntry, recipient: str, changes: Changes) -> list[StoredStep]:
        stored = []
        for view in entry.view.of(recipient):
            planned, reply = entry.rows[recipient, view.position]
            step = StoredStep(
                entry.view.id, recipient, view.position, planned, view.state, reply, request.transaction_id
            )
            stored.append(step)
            if not view.state.is_final:
                step.state = view.state = State.SENDING
                view.leased_until = request.leased_until
                changes.leases.append(
                    {
                        "b_entry": entry.view.id,
                        "b_recipient": recipient,
                        "b_position": view.position,
                        "b_transaction": request.transaction_id,
                        "b_instance": self._identity.instance,
                        "b_until": request.leased_until,
                        "b_now": request.now,
                    }
                )
                if isinstance(planned, DeliverStep) and entry.view.has_copy(view.copy):
                    # It failed here, and since then a recipient that joined got the same copy through.
                    step.state = view.state = State.DONE
                    step.reply = DELIVERED_ALREADY
                    changes.finished.append(_finished(step, State.DONE, DELIVERED_ALREADY, request.now))
        return stored


def _new_entry(request: Begin, known: list[KnownEntry], changes: Changes) -> KnownEntry:
    entry = KnownEntry(EntryView(request.entry_id, request.now))
    known.insert(0, entry)
    changes.entries.append(
        {
            "id": request.entry_id,
            "sender": request.sender,
            "digest": request.digest,
            "created_at": request.now,
        }
    )
    return entry


def settle(step: Hold | Discard | Refuse) -> tuple[State, Reply]:
    """The state of a step that hands nothing on."""
    match step:
        case Discard():
            return State.DONE, DISCARDED
        case Refuse():
            return (State.REFUSED if step.reply.is_permanent else State.DEFERRED), step.reply
        case Hold():  # commit A keeps the message in the outbox, or fails
            return State.DONE, HELD


def _first_state(step: Step, copy: Copy, entry: EntryView) -> tuple[State, Reply | None]:
    """A step begins as `sending`, unless its copy is there already or nothing is handed on at all."""
    if not isinstance(step, DeliverStep):
        return settle(step)
    if entry.has_copy(copy):
        return State.DONE, DELIVERED_ALREADY
    return State.SENDING, None


def _first_attempts(begun: Begun, with_effects: Collection[str]) -> Iterator[StoredStep]:
    """Planned steps that bring records and jobs: not what only waits, nor a new plan for what had them before."""
    for recipient, decision in sorted(begun.decisions.items()):
        if decision not in _PLANNED:
            continue
        for step in begun.steps[recipient]:
            again = decision is Decision.REPLAN and step.entry_id in with_effects
            if step.state is not State.DEFERRED and not again:
                yield step


def _add_effects(request: Begin, entry_id: str, changes: Changes) -> None:
    """Records and jobs go with the first attempt only: a retry leaves no second activity."""
    changes.records += request.records
    changes.jobs += [
        {
            "id": job_id,
            "entry_id": entry_id,
            "owner": job.owner,
            "kind": job.kind,
            "key": job.key or None,
            "payload": json.dumps(dict(job.payload)),
            "content": job.content,
            # Due at once when the message is dealt with; should the sender never come back, then in the end anyway.
            "due_at": request.now + _JOBS_WAIT_SECONDS,
            "created_at": request.now,
        }
        for job_id, job in request.jobs
    ]


def _place(step: StoredStep) -> dict[str, Any]:
    return {
        "b_entry": step.entry_id,
        "b_recipient": step.recipient,
        "b_position": step.position,
        "b_transaction": step.transaction_id,
    }


def _finished(
    step: StoredStep, state: State, reply: Reply, now: float, *, attempted: bool = False, closed: bool = False
) -> dict[str, Any]:
    return {
        **_place(step),
        "b_state": state.value,
        "b_reply": json_text(reply.to_json()),
        "b_attempt": int(attempted),
        "b_doubt": int(state is State.UNKNOWN),
        "b_closed_at": now if closed else None,
        "b_now": now,
    }


def _log_lost_write(error: BaseException) -> None:
    log.warning("steps that nobody works on stay leased for a while: %s", error)


async def steps_of(store: Store, entry_ids: Sequence[str]) -> list[dict[str, Any]]:
    """What the journal holds of the steps of these entries."""
    rows = await store.read(select(journal_step).where(journal_step.c.entry_id.in_(entry_ids)))
    return [
        {
            "entry": row.entry_id,
            "recipient": row.recipient,
            "final": row.final,
            "via": row.via,
            "state": row.state,
            "attempts": row.attempts,
            "doubts": row.doubts,
            "closed": row.closed_at is not None,
        }
        for row in rows
    ]
