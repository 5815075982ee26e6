"""What plugins declare about themselves at `register`: tags, jobs, tables, migrations, checks, notes, addresses."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from gateway.mail.address import Address

if TYPE_CHECKING:
    from sqlalchemy import Table

Check = Callable[[], Awaitable[str | None]]
Declared = TypeVar("Declared")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Accept:
    """A recipient is claimed: the gateway takes mail for it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address that a plugin's settings name: where in `[plugin.NAME]` (keys and indices), and what it is there."""

    address: Address
    path: tuple[str | int, ...]
    what: str


@dataclass(slots=True)
class Declarations:
    """What one plugin declared."""

    tags: dict[str, str] = field(default_factory=dict)
    job_kinds: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    migrations: str = ""
    checks: dict[str, Check] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    addresses: list[NamedAddress] = field(default_factory=list)


class Registry:
    """Handed to a plugin's `register`. A name that is malformed or declared twice raises ValueError."""

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.declared = Declarations()

    def tag(self, name: str, description: str) -> None:
        """Declare a tag; it is stored as `<plugin>.<name>`."""
        self._add(self.declared.tags, name, description)

    def job(self, kind: str, description: str) -> None:
        """Declare a kind of job that this plugin's `run_job` does."""
        self._add(self.declared.job_kinds, kind, description)

    def table(self, table: Table) -> None:
        """Declare a table that this plugin's records may be written to. Its name begins with `<plugin>_`."""
        if not table.name.startswith(f"{self.plugin}_"):
            raise ValueError(f"table {table.name!r}: the tables of {self.plugin} begin with {self.plugin}_")
        self._add(self.declared.tables, table.name, table)

    def migrations(self, package: str) -> None:
        """Name the Alembic script package that creates this plugin's tables."""
        self.declared.migrations = package

    def check(self, name: str, function: Check) -> None:
        """Declare a check for `stellwerk doctor`: async, returns None or what is wrong and what to do."""
        self._add(self.declared.checks, name, function)

    def note(self, text: str) -> None:
        """Say what an administrator should know of these settings, right as they are; `config check` prints it."""
        self.declared.notes.append(text)

    def address(self, address: Address, path: tuple[str | int, ...], what: str) -> None:
        """Say that these settings name a person's or mailbox's address, so that it is found when they have left.

        `path` leads to it from `[plugin.NAME]` on: `("rule", 0, "then", "targets", 1)`. `what` is what it is there, as
        the address is put behind it: `rule "sales" sends mail to`. `stellwerk directory audit` asks for all of them.
        """
        self.declared.addresses.append(NamedAddress(address, path, what))

    def _add(self, names: dict[str, Declared], name: str, value: Declared) -> None:
        if not _NAME.match(name):
            raise ValueError(f"{name!r}: a name is lower-case letters, digits and underscores")
        if name in names:
            raise ValueError(f"{name!r} is declared twice")
        names[name] = value
