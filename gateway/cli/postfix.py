"""The commands `stellwerk postfix ...`: configuration of Postfix for this gateway. They print, and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table


@click.group()
def postfix() -> None:
    """Configuration of Postfix for this gateway."""


class _Recipes(click.Group):
    """One command for each recipe, with the options of its choices."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        # jinja2 and pydantic take longer to import than all the rest of the command line
        from gateway.postfix_recipes.registry import RECIPES

        return list(RECIPES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from gateway.postfix_recipes.registry import RECIPES

        return _command(cmd_name) if cmd_name in RECIPES else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from gateway.postfix_recipes.registry import RECIPES, unknown_recipe

        if args[0] not in RECIPES:
            raise click.UsageError(unknown_recipe(args[0]), ctx)
        return super().resolve_command(ctx, args)


@postfix.group(cls=_Recipes, invoke_without_command=True, subcommand_metavar="[NAME [OPTIONS]]")
@json_option
@click.pass_context
def recipe(context: click.Context, as_json: bool) -> None:
    """Print the tested Postfix configuration NAME for this gateway's own ports; without a name, list all of them.

    Parts headed by "#==== NAME ====" hold the lines for main.cf, master.cf and the gateway, commands to paste, how to
    apply and how to check them, and the way back.
    """
    from gateway.postfix_recipes.registry import RECIPES

    if context.invoked_subcommand is not None:
        return
    if as_json:
        print_json([{"name": name, "when": found.when} for name, found in RECIPES.items()])
        return
    print_table(("recipe", "when to choose it"), ((name, found.when) for name, found in RECIPES.items()))


def _command(name: str) -> click.Command:
    from gateway.postfix_recipes.registry import RECIPES

    found = RECIPES[name]

    def show(config_path: Path, standard_ports: bool, **chosen: Any) -> None:
        values = found(**chosen) if standard_ports else found.from_config(read_config(config_path), **chosen)
        click.echo(values.render(), nl=False)

    for choice in reversed(found.choices):
        option = click.option(
            f"--{choice.name}",
            type=str if choice.is_free else click.Choice(choice.values),
            default=choice.values[0],
            show_default=True,
            help=choice.help,
        )
        show = option(show)
    ports = click.option("--standard-ports", is_flag=True, help="Print the standard ports; read no configuration.")
    return click.command(name, help=f"{found.when[0].upper()}{found.when[1:]}.")(config_option(ports(show)))
