"""`stellwerk member`: who may use a mailbox that is not their own, now and at any time before."""

from __future__ import annotations

import click

from gateway.cli.directory_options import Desk, Office, changing, reading


@click.group()
def member() -> None:
    """Members of mailboxes. A membership is ended, never deleted: who had access when stays answerable."""


@member.command()
@changing
@click.argument("mailbox")
@click.argument("person")
@click.option("--read/--no-read", default=True, show_default=True, help="Read the mailbox.")
@click.option("--send-as", is_flag=True, help="Send as the mailbox.")
@click.option("--send-on-behalf", is_flag=True, help="Send for the mailbox, with the own name in Sender.")
@click.option("--manage", is_flag=True, help="Change its settings and members.")
def add(
    desk: Desk, mailbox: str, person: str, read: bool, send_as: bool, send_on_behalf: bool, manage: bool
) -> None:  # fmt: skip
    """Let PERSON use MAILBOX. Somebody who is a member gets these rights in place of the ones they had."""
    from gateway.directory.members import AddMember, Rights

    desk.carry_out(AddMember(mailbox, person, Rights(read, send_as, send_on_behalf, manage)))


@member.command()
@changing
@click.argument("mailbox")
@click.argument("person")
def end(desk: Desk, mailbox: str, person: str) -> None:
    """End a membership now."""
    from gateway.directory.members import EndMember

    desk.carry_out(EndMember(mailbox, person))


@member.command("list")
@reading
@click.argument("mailbox", default="")
@click.option("--person", default="", metavar="ADDRESS", help="Only of this person.")
@click.option("--at", default="", metavar="DATE", help="Who had access then: 2026-12-24 or 2026-12-24T18:00.")
@click.option("--all", "every", is_flag=True, help="Every membership there ever was.")
def list_(desk: Desk, mailbox: str, person: str, at: str, every: bool) -> None:
    """List members of MAILBOX, or all that may be seen; with --at people are listed who have been removed since."""
    from gateway.directory import dates, listing

    if at and every:
        raise click.UsageError("--at and --all contradict each other")
    moment = dates.moment(at) if at else None

    async def work(office: Office) -> list[listing.Listed]:
        return await listing.members(
            office.store, office.actor, mailbox_address=mailbox, person_address=person, at=moment, every=every
        )

    desk.show(desk.run(work), "mailbox", "person", "name", "rights", "since", "until", "state")
