"""`stellwerk domain`: the domains of organisations, how they are proven in DNS, and whether they receive and send."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.directory_options import Desk, Office, changing, organisation_option, reading
from gateway.cli.domain_publish import publish
from gateway.cli.options import read_config
from gateway.cli.output import print_json, print_table

if TYPE_CHECKING:
    from gateway.domains.checks.texts import Language
    from gateway.domains.claims import ClaimDomain
    from gateway.domains.records import WantedRecord

language_option = click.option(
    "--language", type=click.Choice(["en", "de"]), help="Of the sentences. Without: domains.language."
)
_FILE = click.Path(path_type=Path, dir_okay=False)
FORMATS = ("table", "zone", "panel", "nsupdate", "json")


@click.group()
def domain() -> None:
    """Domains: a new one neither receives nor sends until its owner proves it in DNS, or an operator trusts it."""


domain.add_command(publish)


@domain.command()
@changing
@click.argument("name")
@organisation_option
@click.option(
    "--contact", "contacts", multiple=True, metavar="ADDRESS",
    help="Who is told of trouble, outside of the domain; repeat it for more. Without: the organisation's contact.",
)  # fmt: skip
@click.option(
    "--scope", type=click.Choice(["exact", "tree"]), default="exact", show_default=True,
    help="This name alone, or all names below it too.",
)  # fmt: skip
def add(desk: Desk, name: str, organisation: str, contacts: tuple[str, ...], scope: str) -> None:
    """Claim a domain for an organisation: it gets a token to put into DNS."""
    from gateway.domains.claims import ClaimDomain
    from gateway.domains.notices import Notices

    async def make(office: Office) -> ClaimDomain:
        whose = (await office.organisation(organisation)).organisation
        held = Notices(office.config).held
        return ClaimDomain(name, whose, contacts, "tree" if scope == "tree" else "exact", office.config.own_names, held)

    desk.change(make)
    if not desk.as_json and not desk.dry_run:
        click.echo(f"what to enter in DNS: stellwerk domain records {name}")


@domain.command("list")
@reading
@organisation_option
def list_(desk: Desk, organisation: str) -> None:
    """List domains with their state and how many addresses they have."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.domains(office.store, office.actor, organisation))
    desk.show(rows, "name", "organisation", "state", "state_since", "addresses")


@domain.command()
@reading
@click.argument("name")
@organisation_option
def show(desk: Desk, name: str, organisation: str) -> None:
    """Show how a domain stands: what was seen of it in DNS, when it is looked at next, what senders are told."""
    from gateway.domains.showing import described, find_claim

    async def found(office: Office) -> dict[str, Any]:
        return described(await find_claim(office.store, office.actor, name, organisation), time.time())

    desk.show_one(desk.run(found))


@domain.command()
@reading
@click.argument("name")
@organisation_option
@click.option("--format", "as_format", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--zone", default="", metavar="ZONE", help="The zone it is entered in, where that is a name above.")
@click.option("--spf", default="", metavar="TEXT", help="The SPF record that the domain has, to be kept and added to.")
@click.option("--resolve", is_flag=True, help="Ask DNS for that SPF record, and whether every host named resolves.")
def records(
    desk: Desk, name: str, organisation: str, as_format: str, zone: str, spf: str, resolve: bool
) -> None:  # fmt: skip
    """Print what the domain's owner has to enter in DNS, each with the reason."""
    from gateway.cli.domain_records import Wanted, wanted_here

    async def found(office: Office) -> Wanted:
        return await wanted_here(office, name, organisation, zone=zone, spf=spf, resolve=resolve)

    _print_records(desk.run(found), "json" if desk.as_json else as_format)


@domain.command()
@reading
@click.argument("name")
@organisation_option
@click.option("--watch", is_flag=True, help="Go on until the domain is in service, and show what changes.")
@language_option
def check(desk: Desk, name: str, organisation: str, watch: bool, language: str | None) -> None:
    """Check a domain's DNS now, as its own servers and the resolver show it: what was seen, and what to do.

    Exit status 0 when the required checks pass, with --watch when the domain is in service. The states of a domain are
    changed by the running gateway only; --watch asks it to look when there is news.
    """
    from gateway.cli import domain_check

    spoken = _language(desk, language)
    if not watch:
        seen = desk.run(lambda office: domain_check.check_once(office, name, organisation))
        domain_check.print_inspection(seen, spoken, as_json=desk.as_json)
        sys.exit(0 if seen.passes else 1)
    try:
        done = desk.run(lambda office: domain_check.watch(office, name, organisation, spoken, as_json=desk.as_json))
    except KeyboardInterrupt:
        domain_check.stopped(spoken)
        done = False
    sys.exit(0 if done else 1)


@domain.command()
@reading
@click.argument("name")
@organisation_option
@language_option
@click.option("--zone", default="", metavar="ZONE", help="The zone it is entered in. Without: as DNS tells.")
@click.option("--html", type=_FILE, help="Write a page that needs nothing else, to be printed or sent along.")
@click.option("--text", type=_FILE, help="Write the text of a mail; its first line is the subject.")
def invite(
    desk: Desk, name: str, organisation: str, language: str | None, zone: str, html: Path | None, text: Path | None
) -> None:  # fmt: skip
    """Write a hand-out for whoever runs the domain's DNS: what to enter, what is missing, how to see it oneself.

    Without --html and --text the text is printed.
    """
    from gateway.cli.domain_invite import handout_of, write_handout

    spoken = _language(desk, language)
    made = desk.run(lambda office: handout_of(office, name, organisation, zone, spoken))
    write_handout(made, html, text, as_json=desk.as_json)


def _language(desk: Desk, named: str | None) -> Language:
    """What was said, else that of the notices."""
    if named is None:
        return read_config(desk.config_path).domains.language
    return "de" if named == "de" else "en"


def _print_records(found: Any, as_format: str) -> None:
    from gateway.domains.records import as_nsupdate, as_zone

    if as_format == "json":
        print_json(found.to_json())
    elif as_format == "zone":
        click.echo(as_zone(found.records), nl=False)
    elif as_format == "nsupdate":
        click.echo(as_nsupdate(found.records, found.zone), nl=False)
    elif as_format == "panel":
        _print_panel(found.records, found.zone)
    else:
        rows = [
            (_weight(r), r.name, r.type, r.value, r.ttl, r.why + (f" (in place of {r.replaces})" if r.replaces else ""))
            for r in found.records
        ]
        print_table(("", "name", "type", "value", "TTL", "why"), rows)


def _print_panel(records: tuple[WantedRecord, ...], zone: str) -> None:
    from gateway.domains.records import as_panel

    rows = as_panel(records, zone)
    print_table(
        ("name", "type", "priority", "value", "TTL", "", "why"),
        [(r.name, r.type, r.priority, r.value, r.ttl, _weight(r), r.why) for r in rows],
    )


def _weight(record: Any) -> str:
    return "required" if record.required else "advised"


@domain.command()
@changing
@click.argument("name")
@organisation_option
@click.option("--new", is_flag=True, help="Issue another one; unused ones are revoked for ever.")
def token(desk: Desk, name: str, organisation: str, new: bool) -> None:
    """Show the token of a domain, or issue a new one: a fresh one ends a suspension, a freeze or a dispute."""
    from gateway.domains.claims import NewToken
    from gateway.domains.showing import find_claim

    if new:
        desk.carry_out(NewToken(name, organisation))
        return

    async def found(office: Office) -> dict[str, Any]:
        row = (await find_claim(office.store, office.actor, name, organisation)).row
        return {"name": row.name, "serial": row.serial, "token": row.token, "token_issued_at": row.token_issued_at}

    desk.show_one(desk.run(found))


@domain.command()
@changing
@click.argument("name")
@organisation_option
def look(desk: Desk, name: str, organisation: str) -> None:
    """Have the running gateway look at the domain's DNS now, instead of when it would by itself."""
    from gateway.domains.claims import LookNow

    desk.carry_out(LookNow(name, organisation))


@domain.command()
@changing
@click.argument("name")
@organisation_option
def trust(desk: Desk, name: str, organisation: str) -> None:
    """Vouch for a domain without a proof: from now on it receives and sends. For operators.

    With --organisation it becomes that organisation's.
    """
    from gateway.directory.domains import TrustDomain

    desk.carry_out(TrustDomain(name, organisation=organisation))


@domain.command()
@changing
@click.argument("name")
def distrust(desk: Desk, name: str) -> None:
    """Take that back: the domain neither receives nor sends."""
    from gateway.directory.domains import TrustDomain

    desk.carry_out(TrustDomain(name, trusted=False))


@domain.command()
@changing
@click.argument("name")
@organisation_option
def approve(desk: Desk, name: str, organisation: str) -> None:
    """Let a claim go on that waits for an operator, because of its name or a name above it. For operators."""
    from gateway.domains.claims import ApproveDomain

    desk.carry_out(ApproveDomain(name, organisation))


@domain.command()
@changing
@click.argument("name")
def suspend(desk: Desk, name: str) -> None:
    """Take a proven domain out of service; a fresh token in DNS brings it back. For operators."""
    from gateway.domains.claims import SuspendDomain

    desk.carry_out(SuspendDomain(name))


@domain.command("give-up")
@changing
@click.argument("name")
@organisation_option
def give_up(desk: Desk, name: str, organisation: str) -> None:
    """The organisation does not want the domain any more: its tokens are revoked, and the name is free."""
    from gateway.domains.claims import GiveUpDomain

    desk.carry_out(GiveUpDomain(name, organisation))
