"""Making a backup: a consistent copy of the database while mail flows, and the gateway's secret. It changes nothing."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from gateway import __version__
from gateway.backup import archive, postgresql, sqlite
from gateway.backup.archive import Progress
from gateway.backup.manifest import DATABASES, SECRET, BackupError, Manifest, Snapshot
from gateway.backup.past import EPOCH
from gateway.config.models import Config
from gateway.config.next_hop import MaildirNextHopConfig
from gateway.private_file import must_be_free
from gateway.store.engine import open_engine, outage, parse_url, sqlite_path
from gateway.store.upgrade import revisions

log = logging.getLogger("stellwerk.backup")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was written. `left_out` is what a person keeps by other means, a line each."""

    path: Path
    size: int
    manifest: Manifest
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "size": self.size,
            "manifest": self.manifest.to_json(),
            "left_out": list(self.left_out),
        }


def target_of(named: Path, now: float) -> Path:
    """The file to write: `named`, or in a directory of that name one with the time in its name."""
    if not named.is_dir():
        return named
    return named / datetime.fromtimestamp(now, UTC).strftime("stellwerk-%Y%m%dT%H%M%SZ.tar")


def make(config: Config, target: Path, now: float, progress: Progress, *, force: bool = False) -> Made:
    """Write a backup to `target`, which appears whole or not at all. Raises `StellwerkError`, OSError."""
    must_be_free(target, force=force)
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent} is no directory; make it (mode 0700) or name another place")
    path = sqlite_path(parse_url(config.store.url))
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as directory:
        work = Path(directory)
        if path is None:
            server, snapshot = _dump(config.store.url, work / DATABASES["postgresql"], progress)
        else:
            server, snapshot = _copy(path, work / DATABASES["sqlite"], progress)
        kind = "sqlite" if path is not None else "postgresql"
        files = {DATABASES[kind]: work / DATABASES[kind]}
        if _copy_secret(config, work / SECRET):
            files[SECRET] = work / SECRET
        manifest = Manifest(
            "sqlite" if path is not None else "postgresql",
            now,
            __version__,
            server,
            config.server.hostname,
            snapshot,
        )
        progress("writing the archive", 0, 0)
        manifest = archive.write(target, work, manifest, files, force=force)
    return Made(target, target.stat().st_size, manifest, left_out(config))


def left_out(config: Config) -> tuple[str, ...]:
    """What a backup does not hold: where it is, and what to do."""
    lines = []
    if config.source is not None:
        lines.append(f"configuration: {config.source.name} and the files it names (certificates, passwords)")
    if config.plugin_dir is not None:
        lines.append(f"your own plugins: {config.plugin_dir}")
    lines += [
        f"mail in Maildirs of next hop {name}: {hop.path}"
        for name, hop in config.next_hops.items()
        if isinstance(hop, MaildirNextHopConfig)
    ]
    return tuple(lines)


def snapshot_of(connection: Connection) -> Snapshot:
    """What the connected database holds; without tables of ours its revisions are empty."""
    epoch = None
    if inspect(connection).has_table("meta"):
        epoch = connection.execute(text("SELECT value FROM meta WHERE key = :key"), {"key": EPOCH}).scalar()
    return Snapshot(revisions(connection), int(epoch or 0))


def _copy(source: Path, target: Path, progress: Progress) -> tuple[str, Snapshot]:
    import sqlite3

    if not source.exists():
        raise BackupError(f"there is no database {source}; it is made at the first start, or by `stellwerk db upgrade`")
    sqlite.copy_out(source, target, progress)
    sqlite.check(target)
    with open_engine(parse_url(f"sqlite:///{target}"), "read").connect() as connection:
        return f"SQLite {sqlite3.sqlite_version}", _ours(snapshot_of(connection))


def _dump(url: str, target: Path, progress: Progress) -> tuple[str, Snapshot]:
    """The dump, and what the manifest says of it, both from one snapshot of the database."""
    from sqlalchemy.exc import DBAPIError

    try:
        with open_engine(parse_url(url), "read").connect() as connection:
            connection.exec_driver_sql("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
            snapshot = _ours(snapshot_of(connection))
            name = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
            postgresql.dump(url, target, str(name), progress)
            postgresql.check(target)
            return f"PostgreSQL {version}", snapshot
    except DBAPIError as error:
        raise outage(error, parse_url(url)) from error


def _ours(snapshot: Snapshot) -> Snapshot:
    if "core" not in snapshot.revisions:
        raise BackupError("the database holds no tables of Stellwerk yet; run `stellwerk db upgrade` first")
    return snapshot


def _copy_secret(config: Config, target: Path) -> bool:
    try:
        shutil.copyfile(config.secret_path, target)
    except FileNotFoundError:
        log.warning("there is no secret %s yet, so the backup has none; the first start makes one", config.secret_path)
        return False
    target.chmod(0o600)
    return True
