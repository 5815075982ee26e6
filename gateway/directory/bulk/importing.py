"""Writing an import that was checked: chunk by chunk, so that mail never waits, and yet all or nothing.

Every row's id is the import's id and a number. So an import that fails is taken back by its ids, and one that was
interrupted (a crash, a second Ctrl-C) is taken back by whoever imports next. See docs/decisions/023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Table, bindparam, delete, select, update

from gateway.directory.actor import Actor
from gateway.directory.change import Change, carry_out, one
from gateway.directory.errors import Conflict
from gateway.directory.people import INACTIVE
from gateway.directory.tables import (
    address,
    app_password,
    auto_answer,
    context,
    directory_import,
    mailbox,
    membership,
    out_of_office,
    person,
)
from gateway.errors import StoreUnavailable
from gateway.mail.ids import new_id
from gateway.store.rows import insert, prepared
from gateway.store.store import Store

CHUNK = 150
"""Rows of one transaction: under 50 ms with their addresses (docs/decisions/023)."""
SILENT_SECONDS = 60.0
"""An import that has written nothing for so long is dead."""

WRITING, DONE, UNDOING, UNDONE = "writing", "done", "undoing", "undone"
Progress = Callable[[str, int, int], None]
"""Told what is done at the moment, how many rows of it are done, and of how many."""
_set_deputies = prepared(update(person).where(person.c.id == bindparam("b_id")).values(deputy_id=bindparam("b_deputy")))


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one transaction writes: rows by table, in the order of their references.

    `names` are the addresses by organisation, for the audit; `needed` are people who must be active still.
    """

    size: int
    rows: Sequence[tuple[Table, Sequence[Mapping[str, Any]]]]
    names: Mapping[str, Sequence[str]]
    needed: frozenset[str] = frozenset()
    deputies: tuple[tuple[str, str], ...] = ()
    """Ids of people and of their deputies, all written by then."""


class Checked(Protocol):
    """A file that was found to be right. `chunk` makes rows, whose ids come from `import_id` and their number."""

    @property
    def noun(self) -> str: ...

    def __len__(self) -> int: ...

    def chunk(self, import_id: str, first: int, count: int, now: float) -> Chunk: ...


def row_id(import_id: str, number: int) -> str:
    return f"{import_id}-{number}"


async def carry_in(store: Store, actor: Actor, checked: Checked, clock: Callable[[], float], progress: Progress) -> str:
    """Write everything, or nothing. Returns the import's id.

    Raises `Conflict` when another import runs, or when the directory has changed since the file was checked.
    """
    await undo_interrupted(store, actor, clock, progress)
    import_id = new_id()
    await carry_out(store, actor, _Begin(import_id, checked.noun, len(checked)), clock)
    try:
        for first in range(0, len(checked), CHUNK):
            chunk = checked.chunk(import_id, first, CHUNK, clock())
            await carry_out(store, actor, _WriteChunk(import_id, checked.noun, chunk), clock)
            progress("writing", first + chunk.size, len(checked))
        await carry_out(store, actor, _End(import_id, WRITING, DONE), clock)
    except BaseException as error:
        try:
            await undo(store, actor, import_id, clock, progress)
        except StoreUnavailable:
            raise StoreUnavailable(
                f"{error}; what was written of import {import_id} is taken back by the next import, a minute from now"
            ) from error
        if isinstance(error, Conflict):
            raise Conflict(f"nothing was imported: {error}") from error
        raise
    return import_id


async def undo_interrupted(store: Store, actor: Actor, clock: Callable[[], float], progress: Progress) -> int:
    """Take back imports that died on the way; how many. Raises `Conflict` when one is at work."""
    rows = await store.read(select(directory_import).where(directory_import.c.state.in_((WRITING, UNDOING))))
    for row in rows:
        if clock() - row.touched_at < SILENT_SECONDS:
            raise Conflict(
                f"an import by {row.actor} is at work ({row.written} of {row.planned} rows); wait for its end, or, if "
                f"its process is dead, {SILENT_SECONDS:.0f} seconds"
            )
        await undo(store, actor, row.id, clock, progress)
    return len(rows)


async def undo(store: Store, actor: Actor, import_id: str, clock: Callable[[], float], progress: Progress) -> None:
    """Take back what an import has written, the last chunk first. One that has ended, or is not there, stays so."""
    noun, written = (await carry_out(store, actor, _Claim(import_id), clock)).result
    if not noun:
        return
    for first in reversed(range(0, written, CHUNK)):
        ids = tuple(row_id(import_id, number) for number in range(first, min(first + CHUNK, written)))
        await carry_out(store, actor, _UndoChunk(import_id, noun, ids), clock)
        progress("taking back", written - first, written)
    await carry_out(store, actor, _End(import_id, UNDOING, UNDONE), clock)


@dataclass(frozen=True, slots=True)
class _Begin:
    import_id: str
    noun: str
    planned: int

    def run(self, change: Change, /) -> None:
        if (other := one(change, directory_import, state=WRITING)) is not None:
            raise Conflict(f"an import by {other.actor} has just begun; wait for its end")
        row = {
            "id": self.import_id,
            "noun": self.noun,
            "actor": change.actor.signature,
            "state": WRITING,
            "planned": self.planned,
            "written": 0,
            "started_at": change.now,
            "touched_at": change.now,
        }
        insert(directory_import)(change.connection, [row])


@dataclass(frozen=True, slots=True)
class _WriteChunk:
    import_id: str
    noun: str
    chunk: Chunk

    def run(self, change: Change, /) -> None:
        chunk = self.chunk
        _touch(change, self.import_id, chunk.size)
        if chunk.needed:
            gone = select(person.c.address).where(person.c.id.in_(chunk.needed), person.c.state == INACTIVE)
            if (row := change.first(gone)) is not None:
                raise Conflict(f"{row.address} has left since the file was checked")
        places = {row["context_id"] for _, rows in chunk.rows for row in rows if "context_id" in row}
        ended = select(context.c.name).where(context.c.id.in_(places), context.c.ended_at.is_not(None))
        if (row := change.first(ended)) is not None:
            raise Conflict(f"the context {row.name} has ended since the file was checked")
        for table, rows in chunk.rows:
            insert(table)(change.connection, rows)
        if chunk.deputies:
            _set_deputies(change.connection, [{"b_id": who, "b_deputy": deputy} for who, deputy in chunk.deputies])
        for organisation_id, names in chunk.names.items():
            change.note(f"{self.noun}.import", "import", self.import_id, f"{len(names)} imported", organisation_id,
                        addresses=list(names))  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Claim:
    """From now on nothing more is written of an import. Returns its noun and how many rows there are, or ""."""

    import_id: str

    def run(self, change: Change, /) -> tuple[str, int]:
        row = one(change, directory_import, id=self.import_id)
        if row is None or row.state not in {WRITING, UNDOING}:
            return "", 0
        _touch(change, self.import_id, 0, row.state, UNDOING)
        return row.noun, row.written


@dataclass(frozen=True, slots=True)
class _UndoChunk:
    import_id: str
    noun: str
    ids: tuple[str, ...]

    def run(self, change: Change, /) -> None:
        _touch(change, self.import_id, -len(self.ids), UNDOING)
        connection, ids = change.connection, self.ids
        if self.noun == "mailbox":
            for table in (address, membership, out_of_office, auto_answer):
                connection.execute(delete(table).where(table.c.mailbox_id.in_(ids)))
            emptied = update(context).where(context.c.fallback_mailbox_id.in_(ids))
            connection.execute(emptied.values(fallback_mailbox_id=None))
            connection.execute(delete(mailbox).where(mailbox.c.id.in_(ids)))
        else:
            for table in (app_password, membership):
                connection.execute(delete(table).where(table.c.person_id.in_(ids)))
            connection.execute(update(mailbox).where(mailbox.c.owner_id.in_(ids)).values(owner_id=None))
            connection.execute(update(person).where(person.c.deputy_id.in_(ids)).values(deputy_id=None))
            connection.execute(delete(person).where(person.c.id.in_(ids)))


@dataclass(frozen=True, slots=True)
class _End:
    import_id: str
    before: str
    after: str

    def run(self, change: Change, /) -> None:
        row = _touch(change, self.import_id, 0, self.before, self.after)
        if self.after == UNDONE:
            change.note(f"{row.noun}.import_undone", "import", self.import_id, "taken back", "")


def _touch(change: Change, import_id: str, rows: int, before: str = WRITING, after: str = "") -> Any:
    """Count rows of an import in state `before`. Raises `Conflict` when somebody has taken it for dead."""
    row = one(change, directory_import, id=import_id)
    if row is None or row.state != before:
        raise Conflict("the import was taken for dead and taken back; import again")
    values = {"written": row.written + rows, "touched_at": change.now, "state": after or before}
    change.connection.execute(update(directory_import).where(directory_import.c.id == import_id).values(**values))
    return row
