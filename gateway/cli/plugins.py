"""`stellwerk plugins`: the loaded plugins and every hook's chain; `new`, `check` and `describe` help their authors."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table, printable

_SHOWN = ("name", "version", "on_error", "timeout_seconds", "mode", "tags")

if TYPE_CHECKING:
    from gateway.authoring.check import Checked
    from gateway.hooks.loader import PluginSet


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def plugins(context: click.Context, config_path: Path, as_json: bool) -> None:
    """Show the chain of plugins: order, version, policy, and who is asked in which hook."""
    if context.invoked_subcommand is None:
        _show(config_path, as_json)


def _show(config_path: Path, as_json: bool) -> None:
    from gateway.app import Gateway
    from gateway.hooks.finding import there

    config = read_config(config_path)
    gateway = Gateway(config, role="cli", source=str(config_path))
    try:
        listed = _describe(gateway.plugins)
    finally:
        asyncio.run(gateway.stop())
    idle = sorted(set(there(config.plugin_dir)) - {plugin["name"] for plugin in listed["plugins"]})
    if as_json:
        print_json({**listed, "not_in_the_chain": idle})
        return
    columns = ("plugin", "version", "on_error", "timeout", "mode", "tags")
    print_table(columns, [tuple(_cell(plugin[key]) for key in _SHOWN) for plugin in listed["plugins"]])
    click.echo()
    print_table(("hook", "chain"), [(hook, " -> ".join(chain)) for hook, chain in listed["hooks"].items() if chain])
    local = [(plugin["name"], plugin["file"]) for plugin in listed["plugins"] if plugin["version"] == "local"]
    if local:
        click.echo()
        print_table(("local plugin", "file"), local)
    if idle:
        click.echo(f"\nnot in the chain: {', '.join(idle)}")


@plugins.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Make the project DIR/NAME; default: here, or inside the Stellwerk checkout around this directory.",
)
def new(name: str, into: Path | None) -> None:
    """Write the first version of a plugin: code, settings, README and tests, and a project around them."""
    from gateway.authoring.scaffold import scaffold

    made = scaffold(name, into)
    for file in made.files:
        click.echo(f"wrote {file}")
    click.echo("\nWhat to do next:")
    for line in made.next_steps:
        click.echo(f"    {line}".rstrip())


@plugins.command()
@click.argument("plugin", metavar="NAME|PATH")
@config_option
@json_option
def check(plugin: str, config_path: Path, as_json: bool) -> None:
    """Look at a plugin's code and README, and try it on sample messages; nothing is sent.

    A PATH is a module, a plugin's folder, or the project around it. The plugin is tried with its settings from the
    configuration, where that has some. Exit status 0: nothing found; 1: every finding with its line and what to do.
    """
    from gateway.authoring.check import check as look_at
    from gateway.authoring.check import find_source
    from gateway.config.reading import plugin_dir_of, settings_of

    source = find_source(plugin, plugin_dir_of(config_path))
    checked = look_at(source, settings_of(config_path, source.name))
    if as_json:
        print_json(checked.to_json())
    else:
        _print_checked(checked)
    sys.exit(1 if checked.findings else 0)


@plugins.command()
@config_option
@json_option
@click.option("--markdown", is_flag=True, help="As the page docs/plugin-authors/tags-and-headers.md.")
def describe(config_path: Path, as_json: bool, markdown: bool) -> None:
    """Print the tags and header fields of all plugins that are installed or in plugin_dir."""
    from gateway.authoring import reference
    from gateway.config.reading import plugin_dir_of
    from gateway.hooks.finding import there

    plugin_dir = plugin_dir_of(config_path)
    told = list(reference.references(there(plugin_dir), plugin_dir))
    if as_json:
        print_json([each.to_json() for each in told])
    elif markdown:
        click.echo(reference.as_markdown(told), nl=False)
    else:
        print_table(("tag", "what it says"), [tag for each in told for tag in each.tags.items()])


def _print_checked(checked: Checked) -> None:
    for finding in checked.findings:
        click.echo(printable(finding))
    what = f"{len(checked.findings)} findings" if checked.findings else "nothing found"
    if len(checked.findings) == 1:
        what = "1 finding"
    tried = f"; {', '.join(checked.tried)} tried on {checked.samples} messages" if checked.tried else ""
    left = f"; not tried: {', '.join(checked.not_tried)}" if checked.not_tried else ""
    click.echo(f"{checked.source.name}: {what}{tried}{left}")


def _describe(loaded: PluginSet) -> dict[str, Any]:
    from gateway.hooks.loader import HOOKS

    return {
        "plugins": [
            {
                "name": plugin.name,
                "version": plugin.version,
                "file": plugin.file,
                "on_error": plugin.policy.on_error,
                "timeout_seconds": plugin.policy.timeout_seconds,
                "mode": plugin.policy.mode,
                "tags": {f"{plugin.name}.{name}": text for name, text in plugin.declared.tags.items()},
                "jobs": plugin.declared.job_kinds,
                "tables": sorted(plugin.declared.tables),
            }
            for plugin in loaded.plugins
        ],
        "hooks": {hook: [call.plugin for call in loaded.runner.chain(hook)] for hook in HOOKS if hook != "register"},
    }


def _cell(value: Any) -> str:
    return " ".join(value) if isinstance(value, dict) else str(value)
