"""`stellwerk domain publish`: the records of a domain, entered in its owner's own name server by dynamic update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.directory_options import Desk, Office, changing, organisation_option
from gateway.cli.output import print_json, printable

if TYPE_CHECKING:
    from gateway.dns.transport import Nameserver
    from gateway.domains.publishing import Key, Step, There, Update
    from gateway.domains.update_server import UpdateServer


@dataclass(frozen=True, slots=True)
class Planned:
    """What is there, and what is to be done about it."""

    zone: str
    steps: tuple[Step, ...]
    there: Mapping[Key, There]

    @property
    def updates(self) -> tuple[Update, ...]:
        from gateway.domains.publishing import updates_for

        return updates_for(self.steps, self.there)

    @property
    def blocked(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.kind == "blocked")

    def to_json(self) -> dict[str, Any]:
        from gateway.domains.publishing import as_json

        return {"zone": self.zone, "records": [as_json(step) for step in self.steps]}


@click.command()
@changing
@click.argument("name")
@organisation_option
@click.option("--server", required=True, metavar="ADDRESS[:PORT]", help="The primary name server of the zone.")
@click.option(
    "--key", "key_file", required=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="The TSIG key that may update the zone, as BIND or knot writes it.",
)  # fmt: skip
@click.option("--required", "only_required", is_flag=True, help="Only what is required: the key and the MX records.")
@click.option("--only-our-mx", is_flag=True, help="Take the MX records of others away: all mail comes here.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def publish(
    desk: Desk, name: str, organisation: str, server: str, key_file: Path, only_required: bool, only_our_mx: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Enter the domain's records in its owner's name server (RFC 2136, TSIG), after showing the difference.

    Single records are added. None is taken away but the SPF record that a merged one takes the place of, and, with
    --only-our-mx, the MX records of others.
    """
    from gateway.domains.update_key import read_key
    from gateway.domains.update_server import UpdateServer

    if desk.as_json and not (yes or desk.dry_run):
        raise click.UsageError("--json asks nothing: say --yes to publish, or --dry-run to see the difference")
    there = UpdateServer(_address(server), read_key(key_file))
    asked = _Asked(name, organisation, there, only_required, only_our_mx)
    planned = desk.run(asked.plan)
    if not desk.as_json:
        _show(planned, there)
    _stop_if_blocked(planned)
    sent = bool(planned.updates) and not desk.dry_run
    if sent:
        if not yes:
            click.confirm("publish this?", abort=True)
        desk.run(lambda office: asked.publish(office, planned))
    if desk.as_json:
        print_json({**planned.to_json(), "server": str(there.server), "key": there.key.name, "published": sent})
    elif desk.dry_run:
        click.echo("nothing was changed (--dry-run)")
    elif sent:
        click.echo(f"published; have it looked at: stellwerk domain look {name}")
    else:
        click.echo("nothing to publish")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line says."""

    name: str
    organisation: str
    server: UpdateServer
    only_required: bool
    only_our_mx: bool

    async def plan(self, office: Office) -> Planned:
        """Only reads. What the actor may not do is refused before a packet is sent."""
        from gateway.cli.domain_records import wanted_here
        from gateway.domains.publishing import spf_to_merge, steps_for

        await self._note(replace(office, dry_run=True), ())
        domain = (await wanted_here(office, self.name, self.organisation, zone="", spf="", resolve=False)).zone
        zone = await self.server.zone_of(domain)
        spf = "" if self.only_required else spf_to_merge(await self.server.look(domain, "TXT", zone))
        found = await wanted_here(office, self.name, self.organisation, zone=zone, spf=spf, resolve=False)
        wanted = [record for record in found.records if record.required or not self.only_required]
        keys = dict.fromkeys((record.name, record.type) for record in wanted)
        there: dict[Key, There] = {key: await self.server.look(*key, zone) for key in keys}
        return Planned(zone, steps_for(wanted, there, only_our_mx=self.only_our_mx), there)

    async def publish(self, office: Office, planned: Planned) -> None:
        """One set of records after the other. What was done stands in the audit, also when the next is refused."""
        from gateway.domains.update_server import PublishingError

        done: list[str] = []
        try:
            for update in planned.updates:
                what = f"{update.there.name} {update.there.type}"
                try:
                    await self.server.send(update, planned.zone)
                except PublishingError as error:
                    if done:
                        click.echo(f"published before that: {', '.join(done)}", err=True)
                    if not error.code:
                        done.append(f"{what} (not known whether)")
                    raise
                done.append(what)
        finally:
            if done:
                await self._note(office, tuple(done))

    async def _note(self, office: Office, records: tuple[str, ...]) -> None:
        from gateway.domains.claims import NotePublished

        where = (str(self.server.server), self.server.key.name)
        await office.carry_out(NotePublished(self.name, self.organisation, *where, records))


def _address(text: str) -> Nameserver:
    from gateway.dns.transport import Nameserver

    try:
        return Nameserver.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--server") from None


def _show(planned: Planned, server: UpdateServer) -> None:
    from gateway.domains.publishing import as_lines

    click.echo(f"zone {planned.zone} at {server.server}, with the key {server.key.name}:")
    for step in planned.steps:
        for line in as_lines(step):
            click.echo(printable(line))


def _stop_if_blocked(planned: Planned) -> None:
    from gateway.domains.update_server import PublishingError

    if planned.blocked:
        reasons = "; ".join(f"{step.record.name} {step.record.type}: {step.why}" for step in planned.blocked)
        raise PublishingError(f"nothing was published, because a required record cannot be: {reasons}")
