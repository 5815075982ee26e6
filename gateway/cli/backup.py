"""`stellwerk backup` and `stellwerk restore`: what they ask and what they say. The work is done in gateway.backup."""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table, printable
from gateway.cli.progress import progress_bar
from gateway.errors import StellwerkError

if TYPE_CHECKING:
    from gateway.backup.restoring import Doubtful, Restore, Restored


class MustStopError(StellwerkError):
    """This is not done under a running gateway."""


@click.command()
@config_option
@json_option
@click.option("--force", is_flag=True, help="Overwrite TO when it is there.")
@click.argument("to", type=click.Path(path_type=Path))
def backup(config_path: Path, as_json: bool, force: bool, to: Path) -> None:
    """Write database and secret to the file TO while mail flows, as they are at one moment.

    When TO is a directory, the file is named after the time. The file appears whole or not at all. It holds addresses
    and texts of people's mail and the gateway's secret: only you may read it (mode 0600); keep it so.
    """
    from gateway.backup.making import make, target_of
    from gateway.cli.with_store import owned_by_workers

    config = read_config(config_path)
    now = time.time()
    with owned_by_workers(config), progress_bar() as progress:
        made = make(config, target_of(to, now), now, progress, force=force)
    if as_json:
        print_json(made.to_json())
        return
    snapshot = made.manifest.snapshot
    revisions = ", ".join(f"{owner} {revision}" for owner, revision in snapshot.revisions.items())
    click.echo(f"{made.path}: {made.size:,} octets, {made.manifest.server}, {revisions}, epoch {snapshot.epoch}")
    for line in made.left_out:
        click.echo(f"not in it: {line}")


@click.command()
@config_option
@json_option
@click.option("--check", "only_check", is_flag=True, help="Only check the backup; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--drop-jobs", is_flag=True, help="Give up open jobs of the present database that cannot be kept.")
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path, dir_okay=False))
def restore(config_path: Path, as_json: bool, only_check: bool, yes: bool, drop_jobs: bool, source: Path) -> None:
    """Put the backup FROM back: it takes the place of the present database, in one commit.

    The gateway may go on meanwhile, unless the backup needs migrations, has another secret, or the present database
    cannot be read; then you are told to stop it. The present journal and jobs are kept. Jobs that only the backup
    has become dead letters, since nobody knows whether they have run: stellwerk jobs retry or drop.
    """
    from gateway.cli.with_store import owned_by_workers
    from gateway.supervisor.account import account_of_workers
    from gateway.supervisor.state import unless_running

    with _looked_at(config_path, source) as found:
        config = found.config
        if only_check:
            _tell_checked(found, source, as_json=as_json)
            return
        if not yes and found.present.is_there:
            click.confirm(f"replace the present database with the backup of {found.manifest.made}?", abort=True)
        with unless_running(config.server.state_dir) as stopped:
            if not stopped and found.needs_a_stop:
                raise MustStopError(
                    f"stop the gateway first: {found.needs_a_stop}; mail waits with its senders meanwhile, or in the "
                    "Postfix in front"
                )
            account = account_of_workers(config.server.user)
            with owned_by_workers(config), progress_bar() as progress:
                own = account.own if account else lambda path: None
                restored = found.run(time.time(), who(), progress, own, drop_jobs=drop_jobs)
    _tell_restored(restored, as_json=as_json)


def who() -> str:
    """Whoever runs this command, for the audit."""
    from gateway.directory.actor import command_line

    return command_line(os.environ.get("SUDO_USER") or getpass.getuser()).name


@contextmanager
def _looked_at(config_path: Path, source: Path) -> Iterator[Restore]:
    """The backup, unpacked beside the database until the end of the block."""
    from gateway.backup.restoring import look
    from gateway.cli.db import config_and_owners
    from gateway.cli.with_store import owned_by_workers
    from gateway.store.engine import parse_url, sqlite_path
    from gateway.supervisor.account import account_of_workers

    config, owners = config_and_owners(config_path)
    path = sqlite_path(parse_url(config.store.url))
    place = config.server.state_dir if path is None else path.parent
    if not place.is_dir():
        place.mkdir(mode=0o700, parents=True)
        if account := account_of_workers(config.server.user):
            account.own(place)
    with tempfile.TemporaryDirectory(prefix=".restore.", dir=place) as work:
        with progress_bar() as progress, owned_by_workers(config):
            found = look(config, owners, source, Path(work), progress)
        yield found


def _tell_checked(found: Restore, source: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"backup": found.manifest.to_json(), "needs_a_stop": found.needs_a_stop})
        return
    manifest = found.manifest
    click.echo(
        f"{source}: sound; {printable(f'{manifest.server}, Stellwerk {manifest.version}')}, made {manifest.made}"
    )
    if found.needs_a_stop:
        click.echo(f"to restore it, stop the gateway: {found.needs_a_stop}")


def _tell_restored(restored: Restored, *, as_json: bool) -> None:
    if as_json:
        print_json(restored.to_json())
        return
    click.echo(f"restored the backup of {restored.manifest.made}; epoch {restored.epoch} begins")
    if restored.carried_over:
        click.echo(f"kept from the database before: its journal, and {restored.kept_jobs} open jobs")
    else:
        click.echo("no journal was kept: what is retried now may come twice, where a part was delivered before")
    if restored.migrated:
        click.echo(f"migrated: {', '.join(restored.migrated)}")
    for path in restored.moved:
        click.echo(f"moved aside: {path}")
    if restored.new_secret:
        click.echo("the secret was restored; one that was there before has the suffix .replaced")
    tell_doubtful(restored.doubtful)


def tell_doubtful(doubtful: Sequence[Doubtful]) -> None:
    """Jobs that a person must look at."""
    if not doubtful:
        return
    click.echo(f"{len(doubtful)} jobs may have run since the backup; `stellwerk jobs retry ID` or `drop ID`:")
    print_table(
        ("id", "job", "made"),
        [
            (job.id, f"{job.owner}.{job.kind}", f"{datetime.fromtimestamp(job.created_at, UTC):%Y-%m-%d %H:%M:%SZ}")
            for job in doubtful
        ],
    )
