"""`stellwerk organisation`: the customers of this installation, and what their plans allow."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.directory_options import LIMIT, Desk, changing, given, limit_value, reading

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
@click.option("--ended", is_flag=True, help="Ended ones too.")
def list_(desk: Desk, ended: bool) -> None:
    """List organisations."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.organisations(office.store, office.actor, ended=ended))
    desk.show(rows, "name", "title", "contact_name", "contact_address", "contact_phone")


@organisation.command()
@reading
@click.argument("name")
def show(desk: Desk, name: str) -> None:
    """Show an organisation with its plan, contexts and domains, also one that has ended."""
    from gateway.directory import listing

    desk.show_one(desk.run(lambda office: listing.organisation_of(office.store, office.actor, name)))


@organisation.command()
@changing
@click.argument("name")
@_contact_options
def change(desk: Desk, name: str, **values: str | None) -> None:
    """Change title or contact. The name is what commands and files call it, and stays."""
    from gateway.directory.organisations import ChangeOrganisation

    asked = given(**values)
    if not asked:
        raise click.UsageError("name something to change; stellwerk organisation show NAME shows what there is")
    desk.carry_out(ChangeOrganisation(name, asked))


@organisation.command()
@changing
@click.argument("name")
def end(desk: Desk, name: str) -> None:
    """End an organisation that nothing is in any more. What was stays: list --ended, show, and the log. For operators.

    Refused, with a list, while it has contexts, domains or active people. Its name stays taken.
    """
    from gateway.directory.ending import EndOrganisation

    desk.carry_out(EndOrganisation(name))


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
    from gateway.directory import listing
    from gateway.directory.organisations import ChangeOrganisation

    values = {f"plan_{limit}": limit_value(value) for limit, value in given(**limits).items()}
    if values:
        desk.carry_out(ChangeOrganisation(name, values))
        return
    row = desk.run(lambda office: listing.organisation_of(office.store, office.actor, name))
    desk.show_one({f"plan_{limit}": row[f"plan_{limit}"] for limit in _LIMITS})
