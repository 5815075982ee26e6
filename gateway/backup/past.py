"""What a database that was put back must not believe: its journal and its jobs describe a past that went on without it.

Statements only, in the SQL that SQLite and PostgreSQL share; every value in them is quoted or a number. Nothing is
opened and nothing runs. docs/decisions/021 has the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.jobs.outbox import HELD, RESTORED
from gateway.mail.ids import new_id

EPOCH = "epoch"
RESTORED_AT = "restored_at"

CARRIED = ("journal_entry", "journal_step", "job")
"""Tables of which the present database knows better than any backup: what was handed on, and what is still to do."""
DIRECTORY = ("audit_entry", "auto_answer", "directory_version")
"""The directory's, of which something is kept: who changed what, who was answered, the counter of the caches."""

MAY_BE_DECIDED = "restored from a backup: it may have been released or discarded already"
MAY_HAVE_RUN = "restored from a backup: may have run already; stellwerk jobs retry or drop"

# More than anybody changes between a backup and its restore; an epoch has numbers of its own.
_CHANGES = 10_000
_PASSWORDS = 1_000

Present = Callable[[str], str]
"""The name under which the present database's table of that name can be read."""
Columns = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """An epoch that begins at `at` (POSIX seconds). `what` was put back by `actor`, in words for the audit."""

    number: int
    at: float
    actor: str
    what: str
    id: str = field(default_factory=new_id)

    def forget(self) -> list[str]:
        """The journal counts for nothing, and a job that was waiting is put to a person.

        Forgotten and not only closed: a closed entry still lets recipients join for an hour, and then a copy counts as
        delivered that the backup's past delivered.
        """
        return [
            "DELETE FROM journal_step",
            "DELETE FROM journal_entry",
            _doubt(self.number),
            f"UPDATE job SET last_error = {_quoted(MAY_BE_DECIDED)} WHERE state = '{HELD}'",  # noqa: S608
            _fact(EPOCH, f"{self.number:d}"),
            _fact(RESTORED_AT, f"{self.at:.3f}"),
        ]

    def directory(self) -> list[str]:
        """No process trusts what it remembers of another past, no login of it goes on, and the audit says so."""
        after = json.dumps({"epoch": self.number})
        entry = (self.id, self.actor, "database.restore", "database", "database", self.what, "{}", after)
        return [
            f"UPDATE directory_version SET number = number + {self.number * _CHANGES:d}",  # noqa: S608
            f"UPDATE person SET credential_version = credential_version + {self.number * _PASSWORDS:d}",  # noqa: S608
            _audited(entry, self.at),
        ]

    def carry_over(self, columns: Columns, present: Present) -> Iterator[str]:
        """As `forget`, but the present database's rows of `CARRIED` take the place of the backup's.

        `columns`: those that both databases have, by table.
        """
        job = present("job")
        yield (
            f"DELETE FROM job WHERE id IN (SELECT id FROM {job}) OR EXISTS (SELECT 1 FROM {job} AS p"  # noqa: S608
            " WHERE p.owner = job.owner AND p.kind = job.kind AND p.key = job.key)"
        )
        yield from self.forget()
        for table in CARRIED:
            yield _insert(table, columns, present)

    def carry_over_directory(self, columns: Columns, present: Present) -> Iterator[str]:
        """As `directory`, with the present database's audit and answers."""
        yield _insert("audit_entry", columns, present, "id NOT IN (SELECT id FROM audit_entry)")
        yield "DELETE FROM auto_answer"
        yield _insert("auto_answer", columns, present, "mailbox_id IN (SELECT id FROM mailbox)")
        yield from self.directory()
        newest = f"(SELECT max(number) FROM {present('directory_version')})"  # noqa: S608
        yield f"UPDATE directory_version SET number = {newest} + 1 WHERE number <= {newest}"  # noqa: S608


def _insert(table: str, columns: Columns, present: Present, where: str = "") -> str:
    names = ", ".join(f'"{name}"' for name in columns[table])
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {present(table)}" + (  # noqa: S608
        f" WHERE {where}" if where else ""
    )


def _doubt(epoch: int) -> str:
    return (
        f"UPDATE job SET state = 'dead', last_error = {_quoted(MAY_HAVE_RUN)},"  # noqa: S608
        f" key = key || '{RESTORED}{epoch:d})', leased_by = NULL, leased_until = NULL WHERE state = 'due'"
    )


def _audited(entry: Sequence[str], at: float) -> str:
    return (
        "INSERT INTO audit_entry (id, actor, action, noun, noun_id, name, before, after, at)"  # noqa: S608
        f" VALUES ({', '.join(map(_quoted, entry))}, {at:.3f})"
    )


def _fact(key: str, value: str) -> str:
    return (
        f"INSERT INTO meta (key, value) VALUES ({_quoted(key)}, {_quoted(value)})"  # noqa: S608
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )


def _quoted(text: str) -> str:
    """A text as a literal, in both dialects (PostgreSQL: standard_conforming_strings, as it is by default)."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
