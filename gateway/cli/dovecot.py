"""The commands `stellwerk dovecot ...`: configuration of Dovecot for this gateway. They print, and change nothing."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option, read_config


@click.group()
def dovecot() -> None:
    """Configuration of Dovecot for this gateway."""


@dovecot.command()
@config_option
def recipe(config_path: Path) -> None:
    """Print how Dovecot checks passwords by this gateway's database: one password for IMAP and SMTP.

    Parts headed by "#==== NAME ====" hold the lines for Dovecot and for the database, how to apply and how to check
    them, and the way back.
    """
    # jinja2 and pydantic take longer to import than all the rest of the command line
    from gateway.dovecot_recipes.one_password import OnePassword

    click.echo(OnePassword.fitting(read_config(config_path)).render(), nl=False)
