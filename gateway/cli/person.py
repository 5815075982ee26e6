"""`stellwerk person`: what is stored about somebody, for themselves; and forgetting them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from gateway.cli.directory_options import Desk, Office, changing, reading
from gateway.cli.output import print_json
from gateway.cli.to_file import Target, to_options


@click.group()
def person() -> None:
    """What the directory stores about a person: hand it out, or erase it."""


@person.command()
@reading
@click.argument("address")
@to_options
def export(desk: Desk, address: str, target: Path | None, force: bool) -> None:
    """Export everything that the directory stores about a person, as JSON. For themselves and administrators."""
    from gateway.directory.personal_data import personal_data

    to = Target(target, force)
    to.must_be_free()
    data = desk.run(lambda office: personal_data(office.store, office.actor, address))
    to.write(json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n", f"what is stored about {address}")


@person.command()
@changing
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(desk: Desk, address: str, yes: bool) -> None:
    """Erase somebody who has left, for good: name, phone and address become a pseudonym, in the audit too.

    What they did stays on record under the pseudonym. Traces and logs of mail are not touched: they end by themselves.
    """
    from gateway.directory.erasing import Erased
    from gateway.directory.erasing import erase as erase_person

    if not yes and not desk.dry_run:
        click.confirm(f"erase {address} for good? nobody can undo it", abort=True)

    async def work(office: Office) -> Erased:
        return await erase_person(office.store, office.actor, address, time.time, dry_run=desk.dry_run)

    done = desk.run(work)
    if desk.as_json:
        print_json({"pseudonym": done.pseudonym, "entries": done.entries, "dry_run": desk.dry_run})
    elif desk.dry_run:
        click.echo(
            f"would become {done.pseudonym}, also in {done.entries} audit entries; nothing was changed (--dry-run)"
        )
    else:
        click.echo(f"erased: they are {done.pseudonym} now, also in {done.entries} audit entries")
