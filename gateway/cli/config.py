"""`stellwerk config`: is the configuration right, and what can be configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, existing, json_option
from gateway.cli.output import print_json
from gateway.errors import ConfigError, StartupError

if TYPE_CHECKING:
    from gateway.config.models import Config


@click.group()
def config() -> None:
    """Check the configuration, or describe every setting."""


@config.command()
@config_option
def check(config_path: Path) -> None:
    """Check the file and load its plugins; print every error at once."""
    import asyncio

    configuration = _right(config_path)

    from gateway.checking import check_plugins

    plugins = asyncio.run(check_plugins(configuration))
    listeners = ", ".join(listener.name for listener in configuration.listeners)
    click.echo(
        f"{config_path}: ok; listeners: {listeners}; next hops: {', '.join(configuration.next_hops)}; "
        f"plugins: {', '.join(plugin.name for plugin in plugins) or 'none'}"
    )
    for plugin in plugins:
        for note in plugin.declared.notes:
            click.echo(f"note: {plugin.name}: {note}")


@config.command()
@config_option
@json_option
@click.option("--markdown", is_flag=True, help="As the page docs/admin/configuration.md.")
def describe(config_path: Path, as_json: bool, markdown: bool) -> None:
    """Print every setting with its description, what is allowed, and its default; those of plugins too.

    Plugins are the installed ones, and those in the plugin_dir of the configuration, where there is one.
    """
    from gateway.config import describe as description
    from gateway.config.reading import plugin_dir_of
    from gateway.hooks.finding import there
    from gateway.hooks.loader import settings_models

    plugin_dir = plugin_dir_of(config_path)
    tables = description.describe(settings_models(there(plugin_dir), plugin_dir))
    if as_json:
        print_json([table.to_json() for table in tables])
    else:
        click.echo((description.as_markdown if markdown else description.as_text)(tables), nl=False)


def _right(path: Path) -> Config:
    """The configuration at `path`, fit for this machine. Raises `ConfigError`."""
    from gateway.config.problems import Problem
    from gateway.config.reading import read, read_text, render
    from gateway.supervisor.account import account_of_workers

    text = read_text(existing(path))
    try:
        configuration = read(text, str(path))
    except ConfigError as error:
        raise ConfigError([*error.problems, "(plugins are looked at once this is right)"]) from None
    try:
        account_of_workers(configuration.server.user)
    except StartupError as error:
        raise ConfigError(render(configuration.source, [Problem(("server", "user"), str(error))])) from None
    return configuration
