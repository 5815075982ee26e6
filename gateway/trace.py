"""What happened to a message, under its transaction's id: one log line at once, the whole story in the store."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from gateway.errors import StoreUnavailable
from gateway.json_text import json_text
from gateway.logs import tell
from gateway.mail.envelope import Session
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction
from gateway.metrics.transactions import TransactionCounts
from gateway.store.engine import hold
from gateway.store.schema import trace as trace_table
from gateway.store.store import Store, Write, insert
from gateway.trace_line import transaction_fields

log = logging.getLogger("stellwerk.mail")

MAX_EVENTS = 500
GATHER_SECONDS = 0.5
PURGED_AT_ONCE = 1000


def _unknown(value: object) -> str:
    """What a plugin put into its reasons may be anything: its story is told all the same."""
    return f"({type(value).__name__})"


@dataclass(slots=True)
class Story:
    """One transaction as it is told afterwards. `plan` and `steps` are JSON values; `at` is POSIX seconds."""

    transaction: Transaction
    at: float
    size: int = 0
    digest: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    plan: dict[str, Any] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    reply: Reply | None = None
    replies: Sequence[Reply] = ()
    outcome: str = ""
    started: float = field(default_factory=time.perf_counter)
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds by phase, in the order in which they were gone through."""
    _last: float = 0.0
    _seconds: dict[str, float] = field(default_factory=dict)

    def phase(self, name: str) -> None:
        """The phase `name` ends now; it began where the one before ended."""
        now = time.perf_counter()
        self.phases[name] = now - (self._last or self.started)
        self._last = now

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        transaction = self.transaction
        parameters = transaction.parameters
        return {
            "id": transaction.id,
            "at": self.at,
            "session": session_json(transaction.session),
            "sender": "" if transaction.sender is None else str(transaction.sender),
            "recipients": [str(recipient.address) for recipient in transaction.recipients],
            "parameters": {
                "size": parameters.size,
                "body": parameters.body,
                "smtputf8": parameters.smtputf8,
                "ret": parameters.ret,
                "envid": parameters.envid,
            },
            "tags": dict(transaction.tags),
            "size": self.size,
            "digest": self.digest,
            "events": _cut([*transaction.events, *self.events]),
            "plan": self.plan,
            "steps": self.steps,
            "reply": None if self.reply is None else self.reply.to_json(),
            "replies": [reply.to_json() for reply in self.replies],
            "outcome": self.outcome or outcome_of(self),
            "milliseconds": round((time.perf_counter() - self.started) * 1000, 1),
            "seconds": self.seconds(),
        }

    def seconds(self) -> dict[str, float]:
        """The phases, rounded. `total` is from the end of data to when it was first asked for."""
        if not self._seconds:
            self._seconds = {name: round(seconds, 4) for name, seconds in self.phases.items()}
            self._seconds["total"] = round(time.perf_counter() - self.started, 4)
        return self._seconds


def _cut(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first and the last events where there are too many: the end tells why."""
    left_out = len(events) - MAX_EVENTS
    if left_out <= 0:
        return events
    half = MAX_EVENTS // 2
    return [*events[:half], {"event": "cut", "events_left_out": left_out}, *events[-half:]]


def session_json(session: Session) -> dict[str, Any]:
    """The session's facts, empty ones left out."""
    client = session.client
    facts = {
        "id": session.id,
        "listener": session.listener,
        "protocol": session.protocol,
        "role": session.role,
        "direction": session.direction,
        "peer": session.peer.address,
        "client": client.address,
        "client_port": client.port,
        "client_name": client.name,
        "client_protocol": client.protocol,
        "helo": client.helo or session.helo,
        "ident": client.ident,
        "source": client.source,
        "forwarded": client.forwarded,
        "client_login": client.login,
        "login": "" if session.identity is None else str(session.identity.address),
        "tls": session.tls,
        "cipher": session.cipher,
        "proxy": session.proxy,
        "destination": session.destination,
    }
    return {key: value for key, value in facts.items() if value}


def refused_at_rcpt(story: Story) -> list[dict[str, Any]]:
    """The events of recipients that were refused."""
    return [
        event
        for event in story.transaction.events
        if event.get("event") == "rcpt" and not str(event.get("reply", "2")).startswith("2")
    ]


def outcome_of(story: Story) -> str:
    """How it ended, in one line: the reply, or the kinds of replies where they differ, and who was refused at RCPT."""
    refused = refused_at_rcpt(story)
    codes = Counter(reply.code for reply in story.replies) if len(story.replies) > 1 else {}
    if story.reply is None:
        told = "no data came"
    elif len(codes) > 1:
        worst = max(story.replies, key=lambda reply: (reply.is_temporary, reply.code))
        told = f"{', '.join(f'{count}x {code}' for code, count in sorted(codes.items()))}; {worst}"
    else:
        told = str(story.reply)
    if refused:
        first = refused[0]
        told += f"; refused {len(refused)}: <{first['recipient']}> {first['reply']}"
    return told


class Tracer:
    """Keeps stories and counts them. The log line is written at once; rows are gathered and inserted together."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._insert = insert(trace_table, "replace")
        self._waiting: list[dict[str, Any]] = []
        self.counts = TransactionCounts()

    def keep(self, story: Story) -> None:
        """Log the transaction and take its story for the writer. For the event loop's thread."""
        transaction = story.transaction
        session = transaction.session
        sender = "" if transaction.sender is None else str(transaction.sender)
        story.outcome = outcome = outcome_of(story)
        refused = refused_at_rcpt(story)
        self.counts.count(session.listener, story.reply, story.replies, refused, story.size, story.started)
        if log.isEnabledFor(logging.INFO):
            tell(log, "message", transaction_fields(story, sender, refused))
        if self._store is None or self._store.read_only:
            return
        told = story.to_json()
        if not self._waiting:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)
        self._waiting.append(
            {
                "transaction_id": transaction.id,
                "at": story.at,
                "listener": session.listener,
                "sender": sender,
                "recipients": json_text(told["recipients"] + [event["recipient"] for event in refused]),
                "outcome": outcome,
                "story": json_text(told, _unknown),
            }
        )

    def flush(self) -> None:
        """Hand what was gathered to the writer."""
        rows, self._waiting = self._waiting, []
        if rows and self._store is not None:
            writes = [Write(self._insert, row) for row in rows]
            try:
                self._store.write_soon(writes, on_error=partial(self._lost, len(rows)))
            except StoreUnavailable as error:  # closed: the process ends
                self._lost(len(rows), error)

    def _lost(self, count: int, error: BaseException) -> None:
        self.counts.lost_stories += count
        log.warning("%d traces not kept, the log has their replies; the store was down: %s", count, error)


async def find(store: Store, transaction_id: str) -> dict[str, Any] | None:
    """The story of one transaction, or None."""
    rows = await _read(store, select(trace_table.c.story).where(trace_table.c.transaction_id == transaction_id))
    return json.loads(rows[0].story) if rows else None


@dataclass(frozen=True, slots=True)
class Search:
    """Which stories are wanted: parts of addresses in any case, a queue id of the server in front, a POSIX time."""

    to: str = ""
    sender: str = ""
    queue_id: str = ""
    since: float = 0.0


async def latest(store: Store, count: int, search: Search | None = None) -> list[dict[str, Any]]:
    """The newest stories that fit, newest first. Recipients that were refused are found too."""
    wanted = search or Search()
    columns = trace_table.c
    query = select(columns.story).where(columns.at >= wanted.since).order_by(columns.at.desc()).limit(count)
    if wanted.to:
        query = query.where(func.lower(columns.recipients).contains(wanted.to.lower(), autoescape=True))
    if wanted.sender:
        query = query.where(func.lower(columns.sender).contains(wanted.sender.lower(), autoescape=True))
    if wanted.queue_id:
        query = query.where(columns.story.contains(f'"ident":{json_text(wanted.queue_id)}', autoescape=True))
    return [json.loads(row.story) for row in await _read(store, query)]


async def _read(store: Store, query: Select[tuple[str]]) -> list[Row[Any]]:
    try:
        return await store.read(query)
    except DBAPIError as error:
        cause = str(error.orig).strip().partition("\n")[0]
        raise StoreUnavailable(f"the store has no traces to read: {cause}; run `stellwerk db upgrade`") from error


def purge(connection: Connection, payloads: Sequence[float], /) -> Sequence[int]:
    """Delete stories older than the given POSIX time, so many at once that mail need not wait; how many."""
    return [_purge_one(connection, before) for before in payloads]


def _purge_one(connection: Connection, before: float) -> int:
    key = trace_table.c.transaction_id
    hold(connection, ["purge"])
    older = select(key).where(trace_table.c.at < before).limit(PURGED_AT_ONCE)
    return connection.execute(delete(trace_table).where(key.in_(older))).rowcount
