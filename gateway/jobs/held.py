"""Mail that a rule holds for a person's decision: a `send_mail` job in a state of its own until it is released.

Commit A writes it with the message's bytes, before the 250. It never expires, and is released or discarded once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, func, select, update

from gateway.directory.actor import Actor
from gateway.directory.change import Change
from gateway.directory.errors import NotFound
from gateway.directory.tables import domain
from gateway.jobs.outbox import CORE, HELD, HELD_KEY, SEND_MAIL
from gateway.mail.ids import new_id
from gateway.store.schema import job as job_table
from gateway.store.store import Store

_HINT = "see what is held: stellwerk held list"


@dataclass(frozen=True, slots=True)
class HeldMail:
    """One message for one address, as a rule stopped it. `content` is what would have been handed on."""

    transaction_id: str
    sender: str
    recipient: str
    reason: str
    rule: str
    plugin: str
    smtputf8: bool
    content: bytes

    def row(self, entry_id: str, place: str, now: float) -> dict[str, Any]:
        """Its row of the outbox. `place` tells the steps of one journal entry apart."""
        told = {
            "transaction": self.transaction_id,
            "reason": self.reason,
            "rule": self.rule,
            "plugin": self.plugin,
        }
        payload = {"sender": self.sender, "recipients": [self.recipient], "smtputf8": self.smtputf8, "held": told}
        return {
            "id": new_id(),
            "entry_id": entry_id,
            "owner": CORE,
            "kind": SEND_MAIL,
            "key": f"{HELD_KEY}{entry_id}:{place}",
            "payload": json.dumps(payload),
            "content": self.content,
            "state": HELD,
            "due_at": now,
            "created_at": now,
        }


async def listing(store: Store, actor: Actor) -> list[dict[str, Any]]:
    """What waits for a decision and the actor may decide, the oldest first. Times in POSIX seconds, sizes in octets."""
    columns = (
        job_table.c.id,
        job_table.c.created_at,
        job_table.c.payload,
        func.length(job_table.c.content).label("size"),
    )
    rows = await store.read(select(*columns).where(*_WAITING).order_by(job_table.c.created_at, job_table.c.id))
    administered = None if actor.is_operator else await _domains(store, actor)
    told = [_told(row) for row in rows]
    return [each for each in told if administered is None or each["recipient"].rpartition("@")[2] in administered]


async def content(store: Store, actor: Actor, job_id: str) -> tuple[dict[str, Any], bytes]:
    """One of `listing`, with its bytes. Raises `NotFound`."""
    found = next((each for each in await listing(store, actor) if each["id"] == job_id), None)
    rows = await store.read(select(job_table.c.content).where(job_table.c.id == job_id, *_WAITING))
    if found is None or not rows:
        raise NotFound("held message", job_id, hint=_HINT)
    return found, rows[0].content


@dataclass(frozen=True, slots=True)
class Release:
    """Send it on now: an ordinary job of the outbox from here on. Returns the recipient."""

    id: str

    def run(self, change: Change, /) -> str:
        now = change.now
        # Tries are counted from the creation, which may be long ago.
        return _decide(change, self.id, "release", state="due", due_at=now, created_at=now)


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop it: nobody gets it, and its bytes are gone at once. Returns the recipient."""

    id: str

    def run(self, change: Change, /) -> str:
        told = f"discarded by {change.actor.signature}"
        return _decide(change, self.id, "discard", state="done", due_at=change.now, content=None, last_error=told)


_WAITING = (job_table.c.state == HELD,)


def _decide(change: Change, job_id: str, what: str, **values: Any) -> str:
    row = change.first(select(job_table).where(job_table.c.id == job_id, *_WAITING))
    if row is None:
        raise NotFound("held message", job_id, hint=_HINT)
    told = _told(row)
    name = told["recipient"].rpartition("@")[2]
    owner = change.first(_owner_of(name))
    organisation_id = "" if owner is None else str(owner.organisation_id)
    if not change.actor.is_operator:
        change.actor.must_see(organisation_id, "held message", job_id)
        change.actor.must_administer(organisation_id, None, f"{what} held mail")
    payload = json.loads(row.payload)
    payload["held"] |= {"decision": what, "by": change.actor.signature, "at": change.now}
    waiting = update(job_table).where(job_table.c.id == job_id, *_WAITING)
    if change.connection.execute(waiting.values(payload=json.dumps(payload), **values)).rowcount != 1:
        raise NotFound("held message", job_id, hint=_HINT)
    about = {key: told[key] for key in ("sender", "transaction", "reason")}
    change.note(f"mail.{what}", "held message", job_id, told["recipient"], organisation_id, **about)
    return str(told["recipient"])


def _owner_of(name: str) -> Select[Any]:
    return select(domain.c.organisation_id).where(domain.c.name == name)


async def _domains(store: Store, actor: Actor) -> set[str]:
    """Whose mail the actor may decide on."""
    if actor.role != "organisation_admin":
        return set()
    rows = await store.read(select(domain.c.name).where(domain.c.organisation_id == actor.organisation_id))
    return {row.name for row in rows}


def _told(row: Row[Any]) -> dict[str, Any]:
    payload: Mapping[str, Any] = json.loads(row.payload)
    held = payload["held"]
    return {
        "id": row.id,
        "since": row.created_at,
        "sender": payload["sender"],
        "recipient": payload["recipients"][0],
        "reason": held["reason"],
        "rule": held["rule"],
        "plugin": held["plugin"],
        "transaction": held["transaction"],
        **({"size": row.size} if "size" in row._mapping else {}),
    }
