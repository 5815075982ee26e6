"""`stellwerk db`: bring the database to this version's revisions, or show where it stands. Nothing is decided here."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table
from gateway.cli.with_store import owned_by_workers

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.store.upgrade import Owner, OwnerStatus


@click.group()
def db() -> None:
    """Migrate the database, or show its revisions."""


@db.command()
@config_option
@json_option
def upgrade(config_path: Path, as_json: bool) -> None:
    """Run every pending migration: the core's first, then each plugin's. Creates a database that is not there yet."""
    from gateway.store import upgrade as migrations

    config, owners = config_and_owners(config_path)
    with owned_by_workers(config):
        applied = migrations.upgrade(config.store.url, owners)
    if as_json:
        print_json([asdict(step) for step in applied])
    elif applied:
        print_table(("owner", "revision", ""), [(step.owner, step.revision, step.description) for step in applied])
    else:
        click.echo("nothing to do: every table is at its newest revision")


@db.command()
@config_option
@json_option
@click.pass_context
def status(context: click.Context, config_path: Path, as_json: bool) -> None:
    """Show every owner's revision. Exit status 1 when one is not what this version needs."""
    from gateway.store import upgrade as migrations

    config, owners = config_and_owners(config_path)
    with owned_by_workers(config):
        found = migrations.status(config.store.url, owners)
    if as_json:
        print_json([asdict(owner) for owner in found])
    else:
        rows = [(owner.owner, owner.current or "-", owner.head or "-", _said(owner)) for owner in found]
        print_table(("owner", "revision", "newest", "state"), rows)
    if not all(owner.ready for owner in found):
        context.exit(1)


@db.command("new-epoch")
@config_option
@json_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def new_epoch(config_path: Path, as_json: bool, yes: bool) -> None:
    """Say that the database was put back by other means: a snapshot of the machine, point-in-time recovery.

    Its journal is forgotten, so that it suppresses no new mail, and jobs that were waiting are put to you as dead
    letters. `stellwerk restore` does this by itself.
    """
    from gateway.backup.restoring import begin_epoch
    from gateway.cli.backup import MustStopError, tell_doubtful, who
    from gateway.supervisor.state import unless_running

    config = read_config(config_path)
    if not yes:
        click.confirm("forget the journal of this database, and put its waiting jobs to a person?", abort=True)
    with unless_running(config.server.state_dir) as stopped, owned_by_workers(config):
        if not stopped:
            raise MustStopError("the gateway is running: stop it, put the database back, run this, start it")
        epoch, doubtful = begin_epoch(config.store.url, time.time(), who())
    if as_json:
        print_json({"epoch": epoch, "doubtful_jobs": [asdict(job) for job in doubtful]})
        return
    click.echo(f"epoch {epoch} begins; what the journal knew is forgotten")
    tell_doubtful(doubtful)


def _said(owner: OwnerStatus) -> str:
    if owner.orphaned:
        return "kept: no configured plugin owns these tables"
    if owner.unknown:
        return "made by a newer version: install it again, or restore a backup"
    if owner.pending:
        return f"{len(owner.pending)} pending: run `stellwerk db upgrade`"
    return "ready"


def config_and_owners(config_path: Path) -> tuple[Config, list[Owner]]:
    """The configuration, and who has tables in its database: plugins tell when they are loaded."""
    from gateway.app import Gateway

    config = read_config(config_path)
    gateway = Gateway(config, role="cli", source=str(config_path))
    try:
        return config, gateway.owners()
    finally:
        asyncio.run(gateway.stop())
