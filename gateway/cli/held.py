"""`stellwerk held`: mail that a rule holds for a person's decision; release it or discard it."""

from __future__ import annotations

import sys

import click

from gateway.cli.directory_options import Desk, Office, changing, reading


@click.group()
def held() -> None:
    """Mail that waits for a decision. It was acknowledged, and stays until somebody releases or discards it."""


@held.command("list")
@reading
def list_(desk: Desk) -> None:
    """List what is held, the oldest first."""
    from gateway.jobs import held as mail

    rows = desk.run(lambda office: mail.listing(office.store, office.actor))
    desk.show(rows, "id", "since", "sender", "recipient", "size", "plugin", "rule", "reason")


@held.command()
@reading
@click.option("--raw", is_flag=True, help="Write the message itself to standard output, byte for byte.")
@click.argument("id")
def show(desk: Desk, raw: bool, id: str) -> None:
    """Show who sent it, to whom, why it is held, and its header."""
    from gateway.jobs import held as mail

    async def find(office: Office) -> tuple[dict[str, object], bytes]:
        return await mail.content(office.store, office.actor, id)

    about, content = desk.run(find)
    if raw:
        sys.stdout.buffer.write(content)
        return
    header = content.partition(b"\r\n\r\n")[0].decode("utf-8", "backslashreplace")
    if desk.as_json:
        desk.show_one({**about, "header": header})
        return
    desk.show_one(about)
    from gateway.cli.output import printable

    click.echo()
    for line in header.split("\r\n"):
        click.echo(printable(line.replace("\t", " ")))


@held.command()
@changing
@click.argument("id")
def release(desk: Desk, id: str) -> None:
    """Send it on to its recipient, as the gateway's own mail goes (routing.own)."""
    from gateway.jobs.held import Release

    desk.carry_out(Release(id))


@held.command()
@changing
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("id")
def discard(desk: Desk, yes: bool, id: str) -> None:
    """Drop it for good. Nobody is told."""
    from gateway.jobs.held import Discard

    if not (yes or desk.dry_run):
        click.confirm(f"discard held message {id} for good?", abort=True)
    desk.carry_out(Discard(id))
