"""`stellwerk organisation`: the customers of this installation, and what their plans allow."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.directory_options import LIMIT, Desk, Office, changing, given, limit_value, reading

_LIMITS = ("own_mailboxes", "shared_mailboxes", "members", "aliases", "message_bytes")


@click.group()
def organisation() -> None:
    """Organisations: they own domains, and everything else of the directory belongs to one."""


def _contact_options(command: Any) -> Any:
    for option in (
        click.option("--contact-phone", metavar="TEXT", help="Where to call that person back."),
        click.option("--contact-address", metavar="ADDRESS", help="Their address, best outside of the own domains."),
        click.option("--contact-name", metavar="TEXT", help="Who may ask for resets."),
        click.option("--title", metavar="TEXT", help="As people call it."),
    ):
        command = option(command)
    return command


@organisation.command()
@changing
@click.argument("name")
@_contact_options
def add(desk: Desk, name: str, **values: str | None) -> None:
    """Add an organisation. NAME is its handle on the command line: a-z, 0-9 and -."""
    from gateway.directory.organisations import AddOrganisation

    desk.carry_out(AddOrganisation(name, **given(**values)))


@organisation.command("list")
@reading
def list_(desk: Desk) -> None:
    """List organisations."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.organisations(office.store, office.actor))
    desk.show(rows, "name", "title", "contact_name", "contact_address", "contact_phone")


@organisation.command()
@reading
@click.argument("name")
def show(desk: Desk, name: str) -> None:
    """Show an organisation with its plan."""
    desk.show_one(desk.run(lambda office: _one(office, name)))


async def _one(office: Office, name: str) -> dict[str, Any]:
    from gateway.directory import listing

    place = await office.organisation(name)
    rows = await listing.organisations(office.store, office.actor)
    return next(row for row in rows if row["name"] == place.organisation)


@organisation.command()
@changing
@click.argument("name")
@_contact_options
def change(desk: Desk, name: str, **values: str | None) -> None:
    """Change title or contact."""
    from gateway.directory.organisations import ChangeOrganisation

    desk.carry_out(ChangeOrganisation(name, given(**values)))


@organisation.command()
@changing
@click.argument("name")
@click.option("--own-mailboxes", type=LIMIT, help="Personal mailboxes of one person.")
@click.option("--shared-mailboxes", type=LIMIT, help="Mailboxes that others share with one person.")
@click.option("--members", type=LIMIT, help="Members of one mailbox.")
@click.option("--aliases", type=LIMIT, help="Aliases of one mailbox.")
@click.option("--message-bytes", type=LIMIT, help="Largest message.")
def plan(desk: Desk, name: str, **limits: Any) -> None:
    """Show or change what an organisation may have: numbers, or "unlimited". Lowering refuses only what is new."""
    from gateway.directory.organisations import ChangeOrganisation

    values = {f"plan_{limit}": limit_value(value) for limit, value in given(**limits).items()}
    if values:
        desk.carry_out(ChangeOrganisation(name, values))
        return
    row = desk.run(lambda office: _one(office, name))
    desk.show_one({f"plan_{limit}": row[f"plan_{limit}"] for limit in _LIMITS})
