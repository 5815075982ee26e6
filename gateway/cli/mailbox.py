"""`stellwerk mailbox`: mailboxes and their settings."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.cli import bulk
from gateway.cli.directory_options import (
    LIMIT,
    Desk,
    Office,
    changing,
    given,
    limit_value,
    place_options,
    reading,
)
from gateway.cli.mailbox_relay import relay

_SWITCH = click.Choice(["on", "off"])


@click.group()
def mailbox() -> None:
    """Mailboxes: personal ones and shared ones, with their settings."""


mailbox.add_command(relay)


@mailbox.command()
@changing
@click.argument("address")
@place_options
@click.option("--kind", type=click.Choice(["personal", "shared"]), default="personal", show_default=True)
@click.option("--owner", default="", metavar="USER", help="Whose it is. Without it a personal one is USER = ADDRESS.")
@click.option("--display-name", default="", metavar="TEXT", help="Stands in From of what is sent from it.")
def add(desk: Desk, address: str, organisation: str, context: str, kind: Any, owner: str, display_name: str) -> None:
    """Add a mailbox."""
    from gateway.directory.mailboxes import AddMailbox

    async def make(office: Office) -> AddMailbox:
        place = await office.context(context, organisation, address)
        whose = owner or (address if kind == "personal" else "")
        return AddMailbox(address, place.organisation, place.context, kind, whose, display_name)

    desk.change(make)


@mailbox.command("list")
@reading
@place_options
@click.option("--owner", default="", metavar="USER", help="Only of this person.")
@click.option("--ended", is_flag=True, help="Ended ones too.")
def list_(desk: Desk, organisation: str, context: str, owner: str, ended: bool) -> None:
    """List mailboxes."""
    from gateway.directory import listing

    async def work(office: Office) -> list[listing.Listed]:
        place = await office.place(organisation, context)
        return await listing.mailboxes(office.store, office.actor, place, ended=ended, owner=owner)

    desk.show(desk.run(work), "address", "kind", "owner", "organisation", "context", "receives", "vip", "ended_at")


@mailbox.command()
@reading
@click.argument("address")
def show(desk: Desk, address: str) -> None:
    """Show a mailbox with its addresses, members and out-of-office text."""
    from gateway.directory import listing

    desk.show_one(desk.run(lambda office: listing.mailbox_of(office.store, office.actor, address)))


@mailbox.command("set")
@changing
@click.argument("address")
@click.option("--display-name", metavar="TEXT", help='Stands in From of what is sent from it; "" for none.')
@click.option("--receives", type=_SWITCH, help="off: mail for it is refused; sending still works.")
@click.option("--vip", type=_SWITCH, help="Its mail is marked as important for those who read it.")
@click.option("--limit", type=LIMIT, metavar="BYTES", help='Largest message, or "unlimited".')
@click.option("--next-hop", metavar="NAME", help='Where its mail goes, of [next_hop.NAME]; "default": routing.hosted.')
@click.option("--owner", metavar="USER", help='Whose it is; "none" for nobody.')
def set_(
    desk: Desk, address: str, display_name: str | None, receives: str | None, vip: str | None, limit: Any,
    next_hop: str | None, owner: str | None,
) -> None:  # fmt: skip
    """Change settings of a mailbox, all those named or none."""
    from gateway.directory.change import Command, Together
    from gateway.directory.mailboxes import ChangeMailbox, GiveMailbox

    values = given(display_name=display_name, next_hop="" if next_hop == "default" else next_hop)
    values |= {name: int(value == "on") for name, value in given(receives=receives, vip=vip).items()}
    if limit is not None:
        values["max_message_bytes"] = limit_value(limit)
    commands: list[Command[Any]] = []
    if values:
        commands.append(ChangeMailbox(address, values))
    if owner is not None:
        commands.append(GiveMailbox(address, "" if owner == "none" else owner))
    if not commands:
        raise click.UsageError("name a setting to change; stellwerk mailbox show ADDRESS shows them")

    async def make(office: Office) -> Together:
        if (hop := values.get("next_hop")) and hop not in office.config.next_hops:
            known = ", ".join(office.config.next_hops)
            raise click.BadParameter(f"there is no [next_hop.{hop}]; the configuration has: {known}")
        return Together(tuple(commands))

    desk.change(make)


@mailbox.command()
@changing
@click.argument("address")
def end(desk: Desk, address: str) -> None:
    """End a mailbox: it takes no mail any more, its addresses are free, memberships end. What it was stays."""
    from gateway.directory.mailboxes import EndMailbox

    desk.carry_out(EndMailbox(address))


@mailbox.group("out-of-office")
def out_of_office() -> None:
    """The text that senders get while nobody reads the mailbox."""


@out_of_office.command("set")
@changing
@click.argument("address")
@click.option("--text", default=None, help="What people read; without it the text is read from standard input.")
@click.option("--subject", default="", help='Without it the answer is headed by the subject of the mail ("Re: ...").')
@click.option("--from", "begins", default="", metavar="DATE", help="2026-12-24 or 2026-12-24T18:00; else from now on.")
@click.option("--to", "ends", default="", metavar="DATE", help="The last day, or a time; else until it is ended.")
def set_out_of_office(desk: Desk, address: str, text: str | None, subject: str, begins: str, ends: str) -> None:
    """Answer senders with a text, each of them once in 7 days."""
    from gateway.directory.dates import moment
    from gateway.directory.out_of_office import SetOutOfOffice

    words = sys.stdin.read() if text is None else text
    first = moment(begins) if begins else None
    last = moment(ends, end=True) if ends else None
    desk.carry_out(SetOutOfOffice(address, words, subject, first, last))


@out_of_office.command("off")
@changing
@click.argument("address")
def end_out_of_office(desk: Desk, address: str) -> None:
    """Answer nobody any more."""
    from gateway.directory.out_of_office import EndOutOfOffice

    desk.carry_out(EndOutOfOffice(address))


@mailbox.command()
@changing
@click.argument("address")
@click.argument("state", type=_SWITCH)
@click.option("--domain", default="", metavar="NAME", help="Of server.hostname and server.mx_hosts; else the first.")
def intake(desk: Desk, address: str, state: str, domain: str) -> None:
    """Open or close an address on the gateway's own domain that an old provider can forward the mailbox's mail to."""
    from gateway.directory.intake import AddIntake, EndIntake

    if state == "off":
        desk.carry_out(EndIntake(address))
        return

    async def make(office: Office) -> AddIntake:
        server = office.config.server
        return AddIntake(address, domain or server.hostname, (server.hostname, *server.mx_hosts))

    key = desk.change(make)
    if not desk.as_json and not desk.dry_run:
        click.echo(f"let the old provider forward to {key}")


mailbox.add_command(bulk.import_mailboxes)
mailbox.add_command(bulk.export_mailboxes)
