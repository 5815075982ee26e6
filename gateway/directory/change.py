"""The one way to change the directory: a command runs in the writer's transaction, and every change leaves its trace.

What the commands are stands beside the nouns (organisations.py, people.py, ...). Here is what all of them share: one
transaction each, an audit entry for every row that changes, counters for the caches, and trying without doing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Row, Select, Table, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.directory import references
from gateway.directory.actor import Actor
from gateway.directory.errors import Conflict
from gateway.directory.tables import audit_entry, directory_version
from gateway.errors import StellwerkError
from gateway.mail.ids import new_id
from gateway.store.store import Store, Write

ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT = TypeVar("ResultT")

CHANGES = "changes"
"""Counts every change of the directory. Each command begins by adding one: on PostgreSQL that makes them wait for each
other, so that what one has looked at (a plan's limit, a free address) still holds when it writes."""

_SECRET = frozenset({"password", "relay"})
"""Columns whose values no audit shows."""


class Command(Protocol[ResultT_co]):
    """A change somebody asks for: frozen data with the one method that carries it out.

    `run` reads and writes through `change` only, raises `DirectoryError` to refuse, and may be run twice.
    """

    def run(self, change: Change, /) -> ResultT_co: ...


@dataclass(slots=True)
class Change:
    """What a command works with: the connection inside its transaction, who asks, and when (POSIX seconds)."""

    connection: Connection
    actor: Actor
    now: float
    audit: list[dict[str, Any]] = field(default_factory=list)

    def rows(self, query: Select[Any]) -> list[Row[Any]]:
        return list(self.connection.execute(query))

    def first(self, query: Select[Any]) -> Row[Any] | None:
        return self.connection.execute(query).first()

    def count(self, query: Select[Any]) -> int:
        number: int = self.connection.execute(query).scalar_one()
        return number

    def add(self, table: Table, row: Mapping[str, Any], *, name: str, organisation_id: str) -> None:
        """A new row and its audit entry. `name` is what a person calls it."""
        self.connection.execute(insert(table).values(**row))
        self._note(f"{table.name}.add", table, row.get("id", name), name, organisation_id, {}, row)

    def change(
        self, table: Table, row: Row[Any], values: Mapping[str, Any], *, action: str, name: str, organisation_id: str
    ) -> bool:
        """Give `row` other values, with an audit entry of what differs. False: nothing differs, nothing was written."""
        before = dict(row._mapping)
        changed = {column: value for column, value in values.items() if before[column] != value}
        if not changed:
            return False
        key = [column == before[column.name] for column in table.primary_key]
        self.connection.execute(update(table).where(and_(*key)).values(**changed))
        old = {column: before[column] for column in changed}
        identity = before.get("id", name)
        self._note(action, table, identity, name, organisation_id, old, changed)
        return True

    def remove(self, table: Table, row: Row[Any], *, action: str, name: str, organisation_id: str) -> None:
        """Delete a row that is only a link or a setting; its audit entry keeps it."""
        before = dict(row._mapping)
        self.connection.execute(table.delete().where(and_(*(c == before[c.name] for c in table.primary_key))))
        identity = before.get("id", name)
        self._note(action, table, identity, name, organisation_id, before, {})

    def note(self, action: str, noun: str, noun_id: str, name: str, organisation_id: str, **after: Any) -> None:
        """An audit entry of something that changes no row of its own (credentials were sent, an export was made)."""
        self._entry(action, noun, noun_id, name, organisation_id, {}, after)

    def _note(
        self, action: str, table: Table, identity: Any, name: str, organisation: str, old: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._entry(action, table.name, str(identity), name, organisation, _shown(old), _shown(new))

    def _entry(
        self, action: str, noun: str, identity: str, name: str, organisation: str, before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.audit.append(
            {
                "id": new_id(),
                "at": self.now,
                "actor": self.actor.signature,
                "action": action,
                "organisation_id": organisation,
                "noun": noun,
                "noun_id": identity,
                "name": name,
                "before": json.dumps(dict(before), ensure_ascii=False),
                "after": json.dumps(dict(after), ensure_ascii=False),
            }
        )

    def open(self) -> None:
        """Wait for whoever changes the directory at this moment, and tell the caches."""
        grown = update(directory_version).where(directory_version.c.kind == CHANGES)
        self.connection.execute(grown.values(number=directory_version.c.number + 1))

    def close(self) -> None:
        """Write what was noted. Once, at the end of the command."""
        if self.audit:
            self.connection.execute(insert(audit_entry), self.audit)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "(secret)" if name in _SECRET and value else value for name, value in row.items()}


class _Tried(StellwerkError):
    """Ends the transaction of a trial: it is rolled back, and what would have come of it is carried out in here."""

    def __init__(self, done: Done[Any]) -> None:
        super().__init__("only tried")
        self.done = done


@dataclass(frozen=True, slots=True)
class Done(Generic[ResultT]):
    """What a command returned, and the audit entries it made (or would make).

    `names` by id, of whatever the entries refer to, as they were inside the transaction: a trial's are gone afterwards.
    """

    result: ResultT
    audit: tuple[Mapping[str, Any], ...]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    command: Command[Any]
    actor: Actor
    now: float
    dry_run: bool


def _run_all(connection: Connection, asked: Sequence[_Asked], /) -> Sequence[Done[Any]]:
    return [_run(connection, each) for each in asked]


def _run(connection: Connection, asked: _Asked) -> Done[Any]:
    change = Change(connection, asked.actor, asked.now)
    try:
        change.open()
        result = asked.command.run(change)
        change.close()
        names = _names(change)
    except IntegrityError as error:
        # Two people at the same time, on PostgreSQL: the other one was first, after our own look.
        raise Conflict(f"somebody else has just changed the same: {_first_line(error)}; look again") from error
    done = Done(result, tuple(change.audit), names)
    if asked.dry_run:
        raise _Tried(done)
    return done


def _names(change: Change) -> dict[str, str]:
    values = [json.loads(entry[part]) for entry in change.audit for part in ("before", "after")]
    return {row.id: row.name for query in references.queries(values) for row in change.rows(query)}


def _first_line(error: IntegrityError) -> str:
    return str(error.orig).strip().partition("\n")[0]


async def carry_out(
    store: Store, actor: Actor, command: Command[ResultT], clock: Callable[[], float], *, dry_run: bool = False
) -> Done[ResultT]:
    """Run `command` in a transaction of its own. With `dry_run` everything is done, and undone.

    Raises `DirectoryError` when the directory refuses, `StoreUnavailable` when the store is at fault.
    """
    try:
        (done,) = await store.write([Write(_run_all, _Asked(command, actor, clock(), dry_run))])
    except _Tried as tried:
        return tried.done
    return done  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Together:
    """Several commands as one: all of them or none. Returns what each returned."""

    commands: tuple[Command[Any], ...]

    def run(self, change: Change, /) -> tuple[Any, ...]:
        return tuple(command.run(change) for command in self.commands)


def one(change: Change, table: Table, **where: Any) -> Row[Any] | None:
    """The row with these values, if there is one."""
    return change.first(select(table).where(and_(*(table.c[name] == value for name, value in where.items()))))
