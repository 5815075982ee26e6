"""Backups of whole gateways in tests: made, put back, and what an empty machine begins with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from gateway.backup import making, restoring
from gateway.backup.restoring import Restored
from gateway.config.models import Config
from gateway.store.engine import parse_url, sqlite_path
from gateway.store.upgrade import CORE, Owner
from tests.core.gateways import NOW
from tests.databases import query


def silent(what: str, done: int, total: int) -> None:
    """No progress to show."""


def back_up(config: Config, target: Path, now: float = NOW) -> Path:
    making.make(config, target, now, silent)
    return target


def restore(
    config: Config,
    source: Path,
    owners: Sequence[Owner] = (CORE,),
    *,
    now: float = NOW,
    drop_jobs: bool = False,
    running: bool = False,
) -> Restored:
    """As `stellwerk restore --yes`. AssertionError when it would ask for a stop of a gateway that is `running`."""
    work = source.with_name(f"{source.name}.work")
    work.mkdir()
    try:
        found = restoring.look(config, owners, source, work, silent)
        assert not (running and found.needs_a_stop), found.needs_a_stop
        return found.run(now, "tester", silent, lambda path: None, drop_jobs=drop_jobs)
    finally:
        shutil.rmtree(work)


def empty(url: str) -> None:
    """The database as on a new machine. Nobody may have it open."""
    path = sqlite_path(parse_url(url))
    if path is None:
        query(url, "DROP SCHEMA public CASCADE")
        query(url, "CREATE SCHEMA public")
        return
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
