"""`stellwerk plugins`: the loaded plugins and every hook's chain."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table

_SHOWN = ("name", "version", "on_error", "timeout_seconds", "mode", "tags")

if TYPE_CHECKING:
    from gateway.hooks.loader import PluginSet


@click.command()
@config_option
@json_option
def plugins(config_path: Path, as_json: bool) -> None:
    """Show the chain of plugins: order, version, policy, and who is asked in which hook."""
    from gateway.app import Gateway
    from gateway.hooks.finding import available

    gateway = Gateway(read_config(config_path), role="cli", source=str(config_path))
    try:
        listed = _describe(gateway.plugins)
    finally:
        asyncio.run(gateway.stop())
    idle = sorted(set(available()) - {plugin["name"] for plugin in listed["plugins"]})
    if as_json:
        print_json({**listed, "installed_but_not_in_the_chain": idle})
        return
    columns = ("plugin", "version", "on_error", "timeout", "mode", "tags")
    print_table(columns, [tuple(_cell(plugin[key]) for key in _SHOWN) for plugin in listed["plugins"]])
    click.echo()
    print_table(("hook", "chain"), [(hook, " -> ".join(chain)) for hook, chain in listed["hooks"].items() if chain])
    if idle:
        click.echo(f"\ninstalled, not in the chain: {', '.join(idle)}")


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
