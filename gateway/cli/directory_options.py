"""What the commands for the directory's nouns share: who asks, on which store, and how changes are told.

A command gets a `Desk` in place of the options that all of them have, and says only what is its own.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table, printable
from gateway.cli.with_store import owned_by_workers, with_store

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.directory.actor import Actor
    from gateway.directory.change import Command, Done
    from gateway.directory.places import Place
    from gateway.store.store import Store

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_NOT_SHOWN = frozenset(
    {"id", "created_at", "since", "until", "state_since", "ended_at", "deactivated_at", "organisation"}
)
"""Columns that say nothing to a person who has just made the change."""


@dataclass(frozen=True, slots=True)
class Office:
    """The directory during one command: its store, and who asks."""

    config: Config
    store: Store
    actor: Actor
    dry_run: bool = False

    async def carry_out(self, command: Command[T]) -> Done[T]:
        from gateway.directory.change import carry_out

        return await carry_out(self.store, self.actor, command, time.time, dry_run=self.dry_run)

    async def organisation(self, named: str, address: str = "") -> Place:
        from gateway.directory.places import organisation_meant

        return await organisation_meant(self.store, self.actor, named, address)

    async def context(self, named: str, organisation: str = "", address: str = "") -> Place:
        from gateway.directory.places import context_meant

        return await context_meant(self.store, self.actor, named, organisation_named=organisation, address=address)

    async def place(self, organisation: str, context: str) -> Place | None:
        """For listings: what was named, and None when nothing was."""
        if context:
            return await self.context(context, organisation)
        return await self.organisation(organisation) if organisation else None


@dataclass(frozen=True, slots=True)
class Desk:
    """The options that all of these commands have."""

    config_path: Path
    as_user: str
    as_json: bool
    dry_run: bool = False

    def run(self, work: Callable[[Office], Awaitable[T]]) -> T:
        """What `work` returns, given the directory and whoever asks."""
        config = read_config(self.config_path)

        async def opened(store: Store) -> T:
            return await work(Office(config, store, await self._actor(store), self.dry_run))

        with owned_by_workers(config):
            return asyncio.run(with_store(config, opened, "directory"))

    async def _actor(self, store: Store) -> Actor:
        from gateway.directory.actor import command_line
        from gateway.directory.actors import actor_of

        here = command_line(_login_name())
        return await actor_of(store, self.as_user, through=here.name) if self.as_user else here

    def change(
        self, make: Callable[[Office], Awaitable[Command[T]]], also: Callable[[T], Mapping[str, Any]] | None = None
    ) -> T:
        """Carry out the command that `make` returns, or only try it, and say what has changed. What it returned.

        `also` makes of that what `--json` says besides the changes.
        """

        async def work(office: Office) -> Done[T]:
            return await office.carry_out(await make(office))

        done = self.run(work)
        self.tell(done, None if also is None else also(done.result))
        return done.result

    def carry_out(self, command: Command[T], also: Callable[[T], Mapping[str, Any]] | None = None) -> T:
        """`change` for a command that needs nothing looked up."""

        async def make(office: Office) -> Command[T]:
            return command

        return self.change(make, also)

    def tell(self, done: Done[Any], also: Mapping[str, Any] | None = None) -> None:
        """What has changed, or would change, a line for every row."""
        from gateway.directory.audit_log import entry_of

        entries = [entry_of(entry, done.names) for entry in done.audit]
        if self.as_json:
            print_json(entries if also is None else {"changes": entries, **also})
            return
        for entry in entries:
            click.echo(("would: " if self.dry_run else "") + _line(entry))
        if not done.audit:
            click.echo("nothing to change")
        if self.dry_run:
            click.echo("nothing was changed (--dry-run)")

    def show(self, rows: Sequence[Mapping[str, Any]], *columns: str) -> None:
        """A listing: these columns for people, everything with `--json`."""
        if self.as_json:
            print_json([dict(row) for row in rows])
        else:
            print_table(
                [column.replace("_", " ") for column in columns], [[cell(row[c]) for c in columns] for row in rows]
            )

    def show_one(self, row: Mapping[str, Any]) -> None:
        """One noun with all that is known of it, a line each."""
        if self.as_json:
            print_json(dict(row))
        else:
            print_table(
                ("", ""),
                [(name.replace("_", " "), each) for name, value in row.items() for each in _lines(value, name, row)],
            )


def _lines(value: Any, name: str, row: Mapping[str, Any]) -> list[str]:
    """A value of `row`: what is a list of nouns gets a line for each, without what `row` says itself."""
    if not isinstance(value, list) or not value:
        return [cell(value, name)]
    return [_noun(each, row) if isinstance(each, Mapping) else cell(each) for each in value]


def _noun(noun: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """`bo@acme.test, name Bo Dahl, rights read+manage`: the first value names it."""
    said = {name: row.get(name) for name in ("organisation", "context", "name", "state")}
    said |= dict.fromkeys(("mailbox", "person"), row.get("address"))
    first, *rest = (
        (key, "+".join(value) if isinstance(value, list) else cell(value))
        for key, value in noun.items()
        if value not in (None, "", []) and value != said.get(key)
    )
    return ", ".join([first[1], *(f"{key} {text}" for key, text in rest)])


def _line(entry: Mapping[str, Any]) -> str:
    from gateway.directory.audit_log import told as readable

    read = readable(entry)
    before, after = read["before"], read["after"]
    named = {name for name in entry["names"].values() if name in entry["name"].split()}
    told = []
    for name in dict.fromkeys([*before, *after]):
        if name in _NOT_SHOWN or (name in entry["name"].split()):
            continue
        if before and after:
            told.append(f"{name} {cell(before.get(name)) or '-'} -> {cell(after.get(name)) or '-'}")
        elif (value := after.get(name, before.get(name))) not in (None, "", entry["name"], *named):
            told.append(f"{name} {cell(value)}")
    return printable(f"{entry['action']} {entry['name']}" + (f": {', '.join(told)}" if told else ""))


def cell(value: Any, name: str = "") -> str:
    """A value for people: flags as words, lists with spaces, times in UTC, nothing for what is not there."""
    from gateway.directory.dates import shown

    if value is None:
        return "unlimited" if name.startswith("plan_") else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return shown(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(each, str(key))}" for key, each in value.items() if each not in (None, "", []))
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(each, Mapping) for each in value) else ", ").join(cell(each) for each in value)
    return str(value)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name
        return "somebody"


def _as_option(command: F) -> F:
    return click.option(
        "--as", "as_user", default="", metavar="USER", help="With this person's rights, as if they had asked."
    )(command)


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a listing: --config, --as, --json. The command's first argument is its `Desk`."""

    @functools.wraps(command)
    def run(config_path: Path, as_user: str, as_json: bool, **rest: Any) -> Any:
        return command(Desk(config_path, as_user, as_json), **rest)

    return config_option(_as_option(json_option(run)))


def changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a change: as those of a listing, and --dry-run."""

    @functools.wraps(command)
    def run(config_path: Path, as_user: str, as_json: bool, dry_run: bool, **rest: Any) -> Any:
        return command(Desk(config_path, as_user, as_json, dry_run), **rest)

    dry = click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
    return config_option(_as_option(json_option(dry(run))))


def organisation_option(command: F) -> F:
    """`--organisation O`; the command gets it as `organisation: str`, empty when it was not said."""
    return click.option("--organisation", default="", metavar="NAME", help="Which one, where it is not clear.")(command)


def context_option(command: F) -> F:
    """`--context C`, also as O/C; the command gets it as `context: str`, empty when it was not said."""
    return click.option("--context", default="", metavar="NAME", help="Which one: sales, or acme/sales.")(command)


def place_options(command: F) -> F:
    return organisation_option(context_option(command))


def given(**values: Any) -> dict[str, Any]:
    """The options that were said."""
    return {name: value for name, value in values.items() if value is not None}


class _Limit(click.ParamType[Any]):
    """A number from 0 on or `unlimited`, which becomes "unlimited": None means that it was not said."""

    name = "number|unlimited"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "unlimited" or isinstance(value, int):
            return value
        if str(value).replace("_", "").isdecimal():
            return int(value)
        return self.fail(f'"{value}" is no limit; expected a whole number or "unlimited"', param, ctx)


LIMIT = _Limit()


def limit_value(value: Any) -> int | None:
    """What a limit is in the directory: None for unlimited."""
    return None if value == "unlimited" else int(value)
