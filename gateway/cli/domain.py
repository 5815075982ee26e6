"""`stellwerk domain`: the domains of organisations, and whether they may receive and send."""

from __future__ import annotations

import click

from gateway.cli.directory_options import Desk, Office, changing, organisation_option, reading


@click.group()
def domain() -> None:
    """Domains: a new one neither receives nor sends until an operator trusts it."""


@domain.command()
@changing
@click.argument("name")
@organisation_option
def add(desk: Desk, name: str, organisation: str) -> None:
    """Add a domain to an organisation."""
    from gateway.directory.domains import AddDomain

    async def make(office: Office) -> AddDomain:
        return AddDomain(name, (await office.organisation(organisation)).organisation)

    desk.change(make)


@domain.command("list")
@reading
@organisation_option
def list_(desk: Desk, organisation: str) -> None:
    """List domains with their state and how many addresses they have."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.domains(office.store, office.actor, organisation))
    desk.show(rows, "name", "organisation", "state", "state_since", "addresses")


@domain.command()
@changing
@click.argument("name")
def trust(desk: Desk, name: str) -> None:
    """Vouch for a domain without a proof: from now on it receives and sends. For operators."""
    from gateway.directory.domains import TrustDomain

    desk.carry_out(TrustDomain(name))


@domain.command()
@changing
@click.argument("name")
def distrust(desk: Desk, name: str) -> None:
    """Take that back: the domain neither receives nor sends."""
    from gateway.directory.domains import TrustDomain

    desk.carry_out(TrustDomain(name, trusted=False))
