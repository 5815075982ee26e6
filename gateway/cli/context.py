"""`stellwerk context`: departments or sites of an organisation, who sees whom, and what is switched on for them."""

from __future__ import annotations

import click

from gateway.cli.directory_options import Desk, Office, changing, organisation_option, reading


@click.group()
def context() -> None:
    """Contexts: departments or sites of an organisation. People see those of their own context."""


@context.command()
@changing
@click.argument("name")
@organisation_option
@click.option("--title", default="", metavar="TEXT", help="As people call it.")
def add(desk: Desk, name: str, organisation: str, title: str) -> None:
    """Add a context. NAME is its handle within the organisation: a-z, 0-9 and -."""
    from gateway.directory.organisations import AddContext

    async def make(office: Office) -> AddContext:
        return AddContext((await office.organisation(organisation)).organisation, name, title)

    desk.change(make)


@context.command("list")
@reading
@organisation_option
@click.option("--ended", is_flag=True, help="Ended ones too.")
def list_(desk: Desk, organisation: str, ended: bool) -> None:
    """List contexts: how many people and mailboxes they have, whom they see, what is switched on or off."""
    from gateway.directory import listing

    rows = desk.run(lambda office: listing.contexts(office.store, office.actor, organisation, ended=ended))
    desk.show(rows, "organisation", "name", "title", "people", "mailboxes", "sees", "fallback", "plugins")


@context.command()
@reading
@click.argument("name")
@organisation_option
def show(desk: Desk, name: str, organisation: str) -> None:
    """Show a context, also one that has ended."""
    from gateway.directory import listing

    async def work(office: Office) -> listing.Listed:
        return await listing.context_of(office.store, office.actor, await office.context(name, organisation))

    desk.show_one(desk.run(work))


@context.command()
@changing
@click.argument("name")
@click.option("--title", required=True, metavar="TEXT", help="As people call it.")
@organisation_option
def change(desk: Desk, name: str, title: str, organisation: str) -> None:
    """Change the title. The name is what commands and files call it, and stays."""
    from gateway.directory.organisations import ChangeContext

    async def make(office: Office) -> ChangeContext:
        place = await office.context(name, organisation)
        return ChangeContext(place.organisation, place.context, title)

    desk.change(make)


@context.command()
@changing
@click.argument("name")
@organisation_option
def end(desk: Desk, name: str, organisation: str) -> None:
    """End a context that nobody is in any more. What was stays: list --ended, show, and the log; its name stays taken.

    Refused, with a list, while it has active people or mailboxes, or another context falls back on one of them.
    """
    from gateway.directory.ending import EndContext

    async def make(office: Office) -> EndContext:
        place = await office.context(name, organisation)
        return EndContext(place.organisation, place.context)

    desk.change(make)


def _switch_sight(desk: Desk, name: str, viewer: str, organisation: str, *, shown: bool) -> None:
    from gateway.directory.organisations import ShowPeopleTo

    async def make(office: Office) -> ShowPeopleTo:
        place = await office.context(name, organisation)
        other = await office.context(viewer, place.organisation)
        return ShowPeopleTo(place.organisation, other.context, place.context, shown)

    desk.change(make)


@context.command("show-to")
@changing
@click.argument("name")
@click.argument("viewer")
@organisation_option
def show_to(desk: Desk, name: str, viewer: str, organisation: str) -> None:
    """Let people of the context VIEWER see the people of NAME; the other way round is a switch of its own."""
    _switch_sight(desk, name, viewer, organisation, shown=True)


@context.command("hide-from")
@changing
@click.argument("name")
@click.argument("viewer")
@organisation_option
def hide_from(desk: Desk, name: str, viewer: str, organisation: str) -> None:
    """Hide the people of NAME from those of the context VIEWER again."""
    _switch_sight(desk, name, viewer, organisation, shown=False)


@context.command()
@changing
@click.argument("name")
@click.argument("plugin")
@click.argument("state", type=click.Choice(["on", "off", "default"]))
@organisation_option
def plugin(desk: Desk, name: str, plugin: str, state: str, organisation: str) -> None:
    """Switch a plugin on or off for a context; "default" leaves it to the plugin again."""
    from gateway.directory.organisations import SwitchPlugin
    from gateway.hooks.finding import there

    enabled = {"on": True, "off": False, "default": None}[state]

    async def make(office: Office) -> SwitchPlugin:
        place = await office.context(name, organisation)
        known = {*office.config.plugins, *there(office.config.plugin_dir)}
        return SwitchPlugin(place.organisation, place.context, plugin, enabled, known)

    desk.change(make)


@context.command()
@changing
@click.argument("name")
@click.argument("address")
@organisation_option
def fallback(desk: Desk, name: str, address: str, organisation: str) -> None:
    """Name the mailbox that takes mail for people who have left without a deputy; "none" for none."""
    from gateway.directory.organisations import SetFallback

    async def make(office: Office) -> SetFallback:
        place = await office.context(name, organisation)
        return SetFallback(place.organisation, place.context, "" if address == "none" else address)

    desk.change(make)
