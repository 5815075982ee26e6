"""The commands `stellwerk postfix ...`: configuration of Postfix for this gateway, printed; maps, written to files."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table, printable

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.postfix_maps.files import WrittenMap


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


@postfix.command()
@config_option
@json_option
@click.option("--postmap", "kind", help="Also make indexed files with postmap: hash, lmdb, btree or cdb.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def maps(config_path: Path, as_json: bool, kind: str | None, directory: Path) -> None:
    """Write the maps recipients, domains and sender-logins to DIRECTORY, for Postfix to read.

    Each file is replaced as a whole, and left alone when it would say the same. With [socketmap] Postfix can ask
    instead, and sees changes at once: stellwerk postfix recipe recipients.
    """
    written = asyncio.run(_write(read_config(config_path), directory))
    if kind is not None:
        for one in written:
            _postmap(kind, one.path)
    if as_json:
        print_json([{"map": one.name, "file": str(one.path), "entries": one.entries, "changed": one.changed,
                     "left_out": list(one.left_out)} for one in written])  # fmt: skip
        return
    for one in written:
        state = "written" if one.changed else "as before"
        click.echo(f"{one.path}: {one.entries} entries, {state}")
        for key in one.left_out:
            click.echo(f"{one.path}: without {printable(key)}, which such a file would take for a comment", err=True)
    click.echo(_to_paste(kind or "texthash", directory.absolute()), nl=False)


async def _write(config: Config, directory: Path) -> list[WrittenMap]:
    from gateway.directory.service import DirectoryService
    from gateway.directory.static import StaticDirectory
    from gateway.postfix_maps.files import write_maps
    from gateway.postfix_maps.listing import list_maps
    from gateway.store.engine import is_missing
    from gateway.store.store import Store

    store = Store.open(config.store.url, read_only=True, busy_timeout_seconds=config.store.busy_timeout_seconds)
    try:
        service = DirectoryService(StaticDirectory(config.hosted, config.server.hostname), store)
        if not is_missing(config.store.url):
            await service.start_if_there_are_tables()
        return write_maps(directory, await list_maps(config, service, store if service.is_started else None))
    finally:
        await asyncio.to_thread(store.close)


def _postmap(kind: str, path: Path) -> None:
    program = shutil.which("postmap", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise click.UsageError(
            "there is no postmap on this host; write the files where Postfix is, or leave --postmap out"
        )
    ended = subprocess.run([program, f"{kind}:{path}"], capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode:
        raise click.ClickException(f"postmap {kind}:{path}: {printable(ended.stderr.strip())}")


def _to_paste(kind: str, directory: Path) -> str:
    return f"""
# main.cf, where mail leaves by virtual_transport (relay_domains and relay_recipient_maps for relay_transport):
virtual_mailbox_domains = {kind}:{directory}/domains
virtual_mailbox_maps = {kind}:{directory}/recipients
# master.cf, for the service where people log in:
    -o smtpd_sender_login_maps={kind}:{directory}/sender-logins
    -o smtpd_sender_restrictions=reject_sender_login_mismatch
# Files know no subaddresses: with recipient_delimiter = + Postfix looks for the address without. After each change:
# postfix reload
"""
