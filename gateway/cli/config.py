"""`stellwerk config`: is the configuration right, and what can be configured."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json


@click.group()
def config() -> None:
    """Check the configuration, or describe every setting."""


@config.command()
@config_option
def check(config_path: Path) -> None:
    """Check the file and load its plugins; print every error at once."""
    configuration = read_config(config_path)

    import asyncio

    from gateway.checking import check_plugins

    plugins = asyncio.run(check_plugins(configuration))
    listeners = ", ".join(listener.name for listener in configuration.listeners)
    click.echo(
        f"{config_path}: ok; listeners: {listeners}; next hops: {', '.join(configuration.next_hops)}; "
        f"plugins: {', '.join(plugins) or 'none'}"
    )


@config.command()
@json_option
@click.option("--markdown", is_flag=True, help="As the page docs/admin/configuration.md.")
def describe(as_json: bool, markdown: bool) -> None:
    """Print every setting with its description, what is allowed, and its default."""
    from gateway.config import describe as description

    tables = description.describe()
    if as_json:
        print_json([table.to_json() for table in tables])
    else:
        click.echo((description.as_markdown if markdown else description.as_text)(tables), nl=False)
