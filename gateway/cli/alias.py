"""`stellwerk alias`: further addresses of mailboxes."""

from __future__ import annotations

import click

from gateway.cli.directory_options import Desk, Office, changing, place_options, reading


@click.group()
def alias() -> None:
    """Aliases: further addresses of a mailbox."""


@alias.command()
@changing
@click.argument("address")
@click.argument("mailbox")
def add(desk: Desk, address: str, mailbox: str) -> None:
    """Let ADDRESS lead to MAILBOX too."""
    from gateway.directory.mailboxes import AddAlias

    desk.carry_out(AddAlias(address, mailbox))


@alias.command("list")
@reading
@place_options
@click.option("--mailbox", default="", metavar="ADDRESS", help="Only of this mailbox.")
def list_(desk: Desk, organisation: str, context: str, mailbox: str) -> None:
    """List aliases and intake addresses."""
    from gateway.directory import listing

    async def work(office: Office) -> list[listing.Listed]:
        place = await office.place(organisation, context)
        return await listing.aliases(office.store, office.actor, place, mailbox)

    desk.show(desk.run(work), "address", "kind", "mailbox", "organisation", "context")


@alias.command()
@changing
@click.argument("address")
def end(desk: Desk, address: str) -> None:
    """End an alias; the address is free again."""
    from gateway.directory.mailboxes import EndAlias

    desk.carry_out(EndAlias(address))
