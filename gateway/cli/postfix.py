"""The commands `stellwerk postfix ...`: configuration of Postfix for this gateway. They print, and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, read_config

if TYPE_CHECKING:
    from gateway.postfix_recipes.after_queue_lmtp import Aliases


@click.group()
def postfix() -> None:
    """Configuration of Postfix for this gateway."""


@postfix.command()
@click.argument("name", type=click.Choice(["after-queue-lmtp"]))
@config_option
@click.option(
    "--aliases",
    type=click.Choice(["stellwerk", "postfix"]),
    default="stellwerk",
    show_default=True,
    help="Which side expands aliases.",
)
@click.option("--standard-ports", is_flag=True, help="Print ports 10024 and 10026; read no configuration.")
def recipe(name: str, config_path: Path, aliases: Aliases, standard_ports: bool) -> None:
    """Print the tested Postfix configuration NAME for this gateway's own ports.

    Parts headed by "#==== NAME ====" hold the lines for main.cf, master.cf and the gateway, how to apply and how to
    check them, and the way back.
    """
    # jinja2 and pydantic take longer to import than all the rest of the command line
    from gateway.postfix_recipes import after_queue_lmtp

    if standard_ports:
        values = after_queue_lmtp.AfterQueueLmtp(aliases=aliases)
    else:
        values = after_queue_lmtp.from_config(read_config(config_path), aliases)
    click.echo(after_queue_lmtp.render(values), nl=False)
