"""`import` and `export` of `stellwerk user` and `stellwerk mailbox`: CSV files, and how far an import has come."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.directory_options import Desk, Office, changing, place_options, reading
from gateway.cli.output import print_json
from gateway.cli.to_file import Target, to_options

if TYPE_CHECKING:
    from gateway.directory.bulk.exporting import Exported
    from gateway.directory.bulk.importing import Checked, Progress

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command("import")
@changing
@_FILE
@place_options
def import_people(desk: Desk, file: Path, organisation: str, context: str) -> None:
    """Import people from a CSV file, all of them or none.

    The first line names the columns, of which only address must be there: organisation, context, address, name, role,
    language, phone, extension, deputy, state. --organisation and --context are for rows that name none.
    """

    async def check(office: Office, default: tuple[str, str], progress: Progress) -> Checked:
        from gateway.directory.bulk.files import Problems, read_lines
        from gateway.directory.bulk.people_file import COLUMNS, REQUIRED, check_people

        problems = Problems()
        lines = read_lines(file, COLUMNS, REQUIRED, problems)
        return await check_people(office.store, office.actor, str(file), lines, problems, progress, default)

    _import(desk, check, organisation, context, "people")


@click.command("import")
@changing
@_FILE
@place_options
def import_mailboxes(desk: Desk, file: Path, organisation: str, context: str) -> None:
    """Import mailboxes with their aliases and members from a CSV file, all of them or none.

    The first line names the columns, of which only address must be there: organisation, context, address, kind, owner,
    display_name, receives, vip, max_message_bytes, next_hop, aliases ("a@x b@x"), members ("a@x=read+send_as b@x").
    What has no owner goes to the context's first active administrator.
    """

    async def check(office: Office, default: tuple[str, str], progress: Progress) -> Checked:
        from gateway.directory.bulk.files import Problems, read_lines
        from gateway.directory.bulk.mailboxes_file import COLUMNS, REQUIRED, check_mailboxes

        problems = Problems()
        lines = read_lines(file, COLUMNS, REQUIRED, problems)
        return await check_mailboxes(
            office.store, office.actor, str(file), lines, problems, progress, default, office.config.next_hops
        )

    _import(desk, check, organisation, context, "mailboxes")


def _import(desk: Desk, check: Any, organisation: str, context: str, what: str) -> None:
    async def work(office: Office) -> tuple[int, str]:
        from gateway.directory.bulk.importing import carry_in

        default = await _default(office, organisation, context)
        with _progress() as progress:
            checked = await check(office, default, progress)
            if desk.dry_run or not len(checked):
                return len(checked), ""
            return len(checked), await carry_in(office.store, office.actor, checked, time.time, progress)

    count, import_id = desk.run(work)
    if desk.as_json:
        print_json({"imported": 0 if desk.dry_run else count, "would_import": count, "id": import_id})
    elif desk.dry_run:
        click.echo(f"would import {count} {what}; nothing was changed (--dry-run)")
    else:
        click.echo(f"imported {count} {what}")


async def _default(office: Office, organisation: str, context: str) -> tuple[str, str]:
    """What rows get that name no place. A context of several organisations would be none."""
    if not context:
        return (await office.organisation(organisation)).organisation if organisation else "", ""
    place = await office.context(context, organisation)
    return place.organisation, place.context


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, on standard error; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda phase, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def told(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=done)

        yield told


@click.command("export")
@reading
@place_options
@to_options
def export_people(desk: Desk, organisation: str, context: str, target: Path | None, force: bool) -> None:
    """Export people as CSV, with the columns that import takes. Passwords are no part of it."""
    from gateway.directory.bulk.exporting import people_rows
    from gateway.directory.bulk.people_file import COLUMNS

    _export(desk, people_rows, COLUMNS, organisation, context, Target(target, force))


@click.command("export")
@reading
@place_options
@to_options
def export_mailboxes(desk: Desk, organisation: str, context: str, target: Path | None, force: bool) -> None:
    """Export mailboxes with aliases and members as CSV, with the columns that import takes.

    Mailboxes that belong to people whom you do not see, or that have such members, are left out; it is told how many.
    """
    from gateway.directory.bulk.exporting import mailbox_rows
    from gateway.directory.bulk.mailboxes_file import COLUMNS

    _export(desk, mailbox_rows, COLUMNS, organisation, context, Target(target, force))


def _export(
    desk: Desk, make: Any, columns: Sequence[str], organisation: str, context: str, to: Target
) -> None:  # fmt: skip
    from gateway.directory.bulk.files import write_rows

    to.must_be_free()

    async def work(office: Office) -> Exported:
        place = await office.place(organisation, context)
        exported: Exported = await make(office.store, office.actor, place)
        return exported

    exported = desk.run(work)
    for line in exported.left_out:
        click.echo(line, err=True)
    if desk.as_json:
        print_json([{column: row[column] for column in columns} for row in exported.rows])
        return
    text = io.StringIO(newline="")
    write_rows(text, columns, exported.rows)
    to.write(text.getvalue().encode(), f"{len(exported.rows)} rows")
