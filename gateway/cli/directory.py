"""`stellwerk directory`: what still names people who have left, and who changed what."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.cli.directory_options import Desk, Office, organisation_option, reading


@click.group()
def directory() -> None:
    """The directory as a whole."""


@directory.command()
@reading
@click.option("--person", default="", metavar="ADDRESS", help="Only what names this person.")
def audit(desk: Desk, person: str) -> None:
    """List mailboxes without an owner and all that names people who have left, each with the command that mends it.

    Also looked through: addresses in the configuration, rules of plugins included, and jobs that are open or dead. Exit
    status 1 when there is something.
    """
    from gateway.checking import check_plugins, without_secret
    from gateway.directory import dangling
    from gateway.directory.findings import Finding
    from gateway.hooks.named import addresses_in

    async def work(office: Office) -> list[Finding]:
        settings = addresses_in(office.config, await check_plugins(without_secret(office.config)))
        return await dangling.audit(office.store, office.actor, person, settings)

    found = desk.run(work)
    desk.show([finding.to_json() for finding in found], "noun", "name", "text", "command")
    sys.exit(1 if found else 0)


@directory.command()
@reading
@organisation_option
@click.option("--actor", default="", metavar="TEXT", help="Only changes by somebody whose name contains this.")
@click.option("--action", default="", help="Only this action, or all of a noun: person.password, mailbox.")
@click.option("--name", default="", metavar="TEXT", help="Only what has this in its name.")
@click.option("--since", default="", metavar="DATE", help="2026-12-24 or 2026-12-24T18:00.")
@click.option("--until", default="", metavar="DATE", help="The last day, or a time.")
@click.option(
    "--last", "count", type=click.IntRange(1, 100_000), default=100, show_default=True, help="At most so many."
)
def log(
    desk: Desk, organisation: str, actor: str, action: str, name: str, since: str, until: str, count: int
) -> None:  # fmt: skip
    """Show changes of the directory: who, when, what, before and after. Newest first."""
    from gateway.directory import audit_log
    from gateway.directory.dates import moment

    first = moment(since) if since else None
    last = moment(until, end=True) if until else None

    async def work(office: Office) -> list[dict[str, Any]]:
        whose = (await office.organisation(organisation)).organisation_id if organisation else ""
        search = audit_log.Search(actor, action, name, whose, first, last, count)
        return await audit_log.entries(office.store, office.actor, search)

    rows = desk.run(work)
    desk.show(rows if desk.as_json else [audit_log.told(row) for row in rows],
              "at", "actor", "action", "name", "before", "after")  # fmt: skip
