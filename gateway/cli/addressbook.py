"""`stellwerk addressbook`: a context's address book as a file for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.directory_options import Desk, Office, place_options, reading
from gateway.cli.output import print_json

if TYPE_CHECKING:
    from gateway.directory.addressbook import Entry


@click.group()
def addressbook() -> None:
    """Address books: made from the directory whenever they are asked for, to be read only."""


@addressbook.command()
@reading
@place_options
@click.option("--format", "form", type=click.Choice(["vcf", "csv", "ldif"]), default="vcf", show_default=True)
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="Into this file; else standard output."
)
def export(desk: Desk, organisation: str, context: str, form: str, target: Path | None) -> None:
    """Export what people of a context see: their own people and shared mailboxes, and those of contexts shown to it."""
    from gateway.directory.addressbook import entries
    from gateway.directory.addressbook_formats import FORMATS

    async def work(office: Office) -> list[Entry]:
        return await entries(office.store, office.actor, await office.context(context, organisation))

    found = desk.run(work)
    if desk.as_json:
        print_json([entry.to_json() for entry in found])
        return
    text = FORMATS[form](found)
    if target is None:
        sys.stdout.write(text)
    else:
        target.write_bytes(text.encode())
        click.echo(f"wrote {len(found)} entries to {target}")
