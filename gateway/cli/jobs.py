"""`stellwerk jobs`: what the outbox holds, and what a person may do about it. The desk runs jobs, not this command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table
from gateway.cli.with_store import with_store
from gateway.errors import StellwerkError

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.jobs.listing import ListedJob
    from gateway.store.store import Store

STATES = ("due", "failed", "dead", "held")


class NoSuchJobError(StellwerkError):
    """The job is not there, or is worked on at this moment."""


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only those; may be repeated.")
@click.option(
    "--last", "count", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many."
)
@click.pass_context
def jobs(context: click.Context, config_path: Path, as_json: bool, states: tuple[str, ...], count: int) -> None:
    """List the outbox: dead letters first, then what is due. `retry ID` and `drop ID` deal with one.

    due: not tried yet. failed: tried, and will be tried again. dead: given up; it stays until you retry or drop it.
    held: mail that a rule holds for a decision; see `stellwerk held`.
    """
    if context.invoked_subcommand is not None:
        context.obj = config_path
        return
    from gateway.jobs import listing

    now = time.time()
    config = read_config(config_path)
    found = asyncio.run(with_store(config, lambda store: listing.jobs(store, states, now=now, count=count), "jobs"))
    if as_json:
        print_json([one.to_json() for one in found])
        return
    rows = [
        (one.id, one.state, f"{one.owner}.{one.kind}", _time(one.due_at), one.attempts, one.key, one.last_error)
        for one in found
    ]
    print_table(("id", "state", "job", "due", "tries", "key", "last error"), rows)


_config_here = click.option(
    "--config", "config_here", type=click.Path(path_type=Path, dir_okay=False), help="The configuration file."
)


@jobs.command()
@_config_here
@click.argument("job_id")
@click.pass_obj
def retry(config_path: Path, config_here: Path | None, job_id: str) -> None:
    """Try a job again now, with all its tries before it; the running gateway does so within seconds."""
    from gateway.jobs import listing

    job = _change(read_config(config_here or config_path), job_id, listing.try_again)
    click.echo(f"job {job.id} ({job.owner}.{job.kind}) is due now; see what comes of it: stellwerk jobs")


@jobs.command()
@_config_here
@click.argument("job_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(config_path: Path, config_here: Path | None, job_id: str, yes: bool) -> None:
    """Delete a job for good. What it should have done is not done."""
    from gateway.jobs import listing

    if not yes:
        click.confirm(f"delete job {job_id} for good?", abort=True)
    job = _change(read_config(config_here or config_path), job_id, listing.drop)
    click.echo(f"job {job.id} ({job.owner}.{job.kind}) is deleted")


Change = Callable[["Store", str, float], Awaitable[bool]]


def _change(config: Config, job_id: str, change: Change) -> ListedJob:
    """The job as it was before. Raises `NoSuchJobError`, `StoreUnavailable`."""
    from gateway.jobs.listing import find_job

    async def work(store: Store) -> ListedJob:
        now = time.time()
        job = await find_job(store, job_id, now)
        if job is None:
            raise NoSuchJobError(f"there is no open job {job_id}; stellwerk jobs lists them")
        if job.state == "held":
            raise NoSuchJobError(f"job {job_id} is held mail: stellwerk held release {job_id}, or held discard")
        if not await change(store, job_id, now):
            raise NoSuchJobError(f"job {job_id} is worked on at this moment; try again in a minute")
        return job

    return asyncio.run(with_store(config, work, "jobs"))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
