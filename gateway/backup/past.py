"""What a database that was put back must not believe: its journal and its jobs describe a past that went on without it.

Statements only, in the SQL that SQLite and PostgreSQL share; every value in them is a number or made here. Nothing is
opened and nothing runs. docs/decisions/021 has the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from gateway.jobs.outbox import RESTORED

EPOCH = "epoch"
RESTORED_AT = "restored_at"

CARRIED = ("journal_entry", "journal_step", "job")
"""Tables of which the present database knows better than any backup: what was handed on, and what is still to do."""

MAY_HAVE_RUN = "restored from a backup: may have run already; stellwerk jobs retry or drop"

Present = Callable[[str], str]
"""The name under which the present database's table of that name can be read."""


def forget(epoch: int, now: float) -> list[str]:
    """A new epoch: the journal counts for nothing, and a job that was waiting is put to a person.

    Forgotten and not only closed: a closed entry still lets recipients join for an hour, and then a copy counts as
    delivered that the backup's past delivered.
    """
    return [
        "DELETE FROM journal_step",
        "DELETE FROM journal_entry",
        _doubt(epoch),
        _fact(EPOCH, f"{epoch:d}"),
        _fact(RESTORED_AT, f"{now:.3f}"),
    ]


def carry_over(columns: Mapping[str, Sequence[str]], present: Present, epoch: int, now: float) -> Iterator[str]:
    """As `forget`, but the present database's rows of `CARRIED` take the place of the backup's.

    `columns`: those that both databases have, by table.
    """
    job = present("job")
    yield (
        f"DELETE FROM job WHERE id IN (SELECT id FROM {job}) OR EXISTS (SELECT 1 FROM {job} AS p"  # noqa: S608
        " WHERE p.owner = job.owner AND p.kind = job.kind AND p.key = job.key)"
    )
    yield from forget(epoch, now)
    for table in CARRIED:
        names = ", ".join(f'"{name}"' for name in columns[table])
        yield f"INSERT INTO {table} ({names}) SELECT {names} FROM {present(table)}"  # noqa: S608


def _doubt(epoch: int) -> str:
    return (
        f"UPDATE job SET state = 'dead', last_error = '{MAY_HAVE_RUN}', key = key || '{RESTORED}{epoch:d})',"  # noqa: S608
        " leased_by = NULL, leased_until = NULL WHERE state = 'due'"
    )


def _fact(key: str, value: str) -> str:
    return (
        f"INSERT INTO meta (key, value) VALUES ('{key}', '{value}')"  # noqa: S608
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
