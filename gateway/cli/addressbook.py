"""`stellwerk addressbook`: a context's address book as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.directory_options import Desk, Office, place_options, reading
from gateway.cli.output import print_json
from gateway.cli.to_file import Target, to_options

if TYPE_CHECKING:
    from gateway.directory.addressbook import Entry


@click.group()
def addressbook() -> None:
    """Address books: made from the directory whenever they are asked for, to be read only."""


@addressbook.command()
@reading
@place_options
@click.option("--format", "form", type=click.Choice(["vcf", "csv", "ldif"]), default="vcf", show_default=True)
@to_options
def export(desk: Desk, organisation: str, context: str, form: str, target: Path | None, force: bool) -> None:
    """Export what people of a context see: their own people and shared mailboxes, and those of contexts shown to it."""
    from gateway.directory.addressbook import entries
    from gateway.directory.addressbook_formats import FORMATS

    to = Target(target, force)
    to.must_be_free()

    async def work(office: Office) -> list[Entry]:
        return await entries(office.store, office.actor, await office.context(context, organisation))

    found = desk.run(work)
    if desk.as_json:
        print_json([entry.to_json() for entry in found])
        return
    to.write(FORMATS[form](found).encode(), f"{len(found)} entries")
