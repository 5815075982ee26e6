"""`stellwerk mailbox relay`: the smart host that one mailbox sends through."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.cli.directory_options import Desk, changing


@click.command()
@changing
@click.argument("mailbox")
@click.option("--address", "server", metavar="HOST:PORT", help="Where it listens: smtp.example.org:587.")
@click.option("--user", help="The user name there.")
@click.option(
    "--tls",
    type=click.Choice(["starttls", "implicit", "none"]),
    default="starttls",
    show_default=True,
    help="The first two check the certificate; none is for a relay on this machine.",
)
@click.option("--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input, one line.")
@click.option("--off", is_flag=True, help="Send as everybody does.")
def relay(
    desk: Desk, mailbox: str, server: str | None, user: str | None, tls: Any, from_stdin: bool, off: bool
) -> None:  # fmt: skip
    """Let MAILBOX send through a relay of its own, with a login there, or no longer. Asks twice on a terminal.

    The password is kept in the database in plain text, since the relay has to be told it. Nothing shows it again.
    """
    from gateway.directory.relay import RelayAccount, SetRelay

    if off == bool(server or user):
        raise click.UsageError("say --address and --user, or --off")
    if off:
        desk.carry_out(SetRelay(mailbox, None))
    elif server and user:
        desk.carry_out(SetRelay(mailbox, RelayAccount(server, user, _typed(from_stdin), tls)))
    else:
        raise click.UsageError("a relay needs both --address and --user")


def _typed(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on; say --password-stdin")
    text: str = click.prompt("password at the relay", hide_input=True, confirmation_prompt="once more")
    return text
