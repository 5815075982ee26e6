"""Restoring a backup: look first, then replace the database in one commit and begin a new epoch.

`look` changes nothing and says everything that a person may want to know before; `Restore.run` does it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from gateway.backup import archive, postgresql, sqlite
from gateway.backup.archive import Progress
from gateway.backup.making import snapshot_of
from gateway.backup.manifest import DATABASES, SECRET, BackupError, Manifest, Snapshot
from gateway.backup.past import CARRIED, DIRECTORY, MAY_HAVE_RUN, NewEpoch
from gateway.config.models import Config
from gateway.errors import StellwerkError
from gateway.store.engine import is_outage, open_engine, outage, parse_url, sqlite_path, writer_lock
from gateway.store.upgrade import Owner, compare, upgrade


@dataclass(frozen=True, slots=True)
class Present:
    """The database that the backup will take the place of. `problem`: why it cannot be read, if so."""

    snapshot: Snapshot | None = None
    open_jobs: int = 0
    has_directory: bool = False
    problem: str = ""

    @property
    def is_there(self) -> bool:
        return bool(self.problem) or (self.snapshot is not None and "core" in self.snapshot.revisions)


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A job of the backup that may have run since."""

    id: str
    owner: str
    kind: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. `kept_jobs` are those of the database that was replaced; `moved` what was put aside."""

    manifest: Manifest
    epoch: int
    doubtful: tuple[Doubtful, ...]
    kept_jobs: int
    carried_over: bool
    migrated: tuple[str, ...] = ()
    moved: tuple[Path, ...] = ()
    new_secret: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "backup": self.manifest.to_json(),
            "epoch": self.epoch,
            "doubtful_jobs": [{name: getattr(job, name) for name in job.__slots__} for job in self.doubtful],
            "kept_jobs": self.kept_jobs,
            "carried_over": self.carried_over,
            "migrated": list(self.migrated),
            "moved": [str(path) for path in self.moved],
            "new_secret": self.new_secret,
        }


@dataclass(slots=True)
class Restore:
    """A backup that was found sound and fitting, unpacked in `work`, and what it meets."""

    config: Config
    owners: Sequence[Owner]
    work: Path
    manifest: Manifest
    present: Present
    pending: tuple[str, ...]
    secret_differs: bool

    @property
    def database(self) -> Path:
        return self.work / DATABASES[self.manifest.database]

    @property
    def carries(self) -> bool:
        """Whether journal and jobs of the present database can be kept: both must have the same core tables."""
        snapshot = self.present.snapshot
        if snapshot is None or "core" not in snapshot.revisions:
            return False
        mine = compare(self.manifest.snapshot.revisions, self.owners)[0]
        # SQLite's copy is migrated before it is put back, PostgreSQL's after.
        revision = mine.head if self.manifest.database == "sqlite" else mine.current
        return snapshot.revisions["core"] == revision

    @property
    def needs_a_stop(self) -> str:
        """Why the gateway must be stopped for it; empty when it may go on."""
        if self.pending:
            return f"the backup has older tables, which are migrated ({', '.join(self.pending)})"
        if self.secret_differs:
            return "the backup has another secret than the one in use"
        if self.present.problem:
            return f"the present database cannot be read ({self.present.problem})"
        if self.present.is_there and not self.carries:
            return "the present database has tables of another revision"
        path = sqlite_path(parse_url(self.config.store.url))
        if path is not None and not path.exists():
            return "its database file is missing"
        return ""

    def run(
        self, now: float, actor: str, progress: Progress, own: Callable[[Path], None], *, drop_jobs: bool = False
    ) -> Restored:
        """`actor` is who does it, for the audit; `own` gives a file that this process made to the gateway's workers.

        Raises `BackupError`, OSError.
        """
        present = self.present
        if present.open_jobs and not self.carries and not drop_jobs:
            raise BackupError(
                f"the present database has {present.open_jobs} open jobs, which cannot be kept, since its tables are "
                "of another revision than the backup's; see `stellwerk jobs`, then say --drop-jobs to give them up"
            )
        number = max(self.manifest.snapshot.epoch, present.snapshot.epoch if present.snapshot else 0) + 1
        epoch = NewEpoch(number, now, actor, f"backup of {self.manifest.made}")
        place = self._into_sqlite if self.manifest.database == "sqlite" else self._into_postgresql
        moved, migrated = place(epoch, progress)
        new_secret = self._restore_secret(own)
        return Restored(
            self.manifest,
            number,
            *_jobs(self.config.store.url),
            carried_over=self.carries,
            migrated=migrated,
            moved=tuple(moved),
            new_secret=new_secret,
        )

    def _into_sqlite(self, epoch: NewEpoch, progress: Progress) -> tuple[list[Path], tuple[str, ...]]:
        url = self.config.store.url
        applied = upgrade(f"sqlite:///{self.database}", self.owners)
        sqlite.alone(self.database)
        migrated = tuple(f"{step.owner} {step.revision}" for step in applied)
        live = sqlite_path(parse_url(url))
        assert live is not None
        if live.exists() and not self.present.problem:
            sqlite.put_back(self.database, url, epoch, carry=self.carries, progress=progress)
            return [], migrated
        return sqlite.put_in_place(self.database, url, epoch), migrated

    def _into_postgresql(self, epoch: NewEpoch, progress: Progress) -> tuple[list[Path], tuple[str, ...]]:
        url = self.config.store.url
        # Before the migrations an older backup may be without a directory.
        with_directory = not self.pending or (self.carries and self.present.has_directory)
        before: list[str] = []
        if self.carries:
            kept = CARRIED + (DIRECTORY if with_directory else ())
            columns = _columns(url, kept)
            present = "pg_temp.present_{}".format
            before += [f"CREATE TEMPORARY TABLE present_{table} ON COMMIT DROP AS TABLE {table}" for table in kept]
            after = [*epoch.carry_over(columns, present)]
            after += epoch.carry_over_directory(columns, present) if with_directory else ()
        else:
            after = [*epoch.forget(), *(epoch.directory() if with_directory else ())]
        postgresql.put_back(url, self.database, before, after, progress)
        applied = upgrade(url, self.owners)
        if not with_directory:
            _run(url, epoch.directory())
        return [], tuple(f"{step.owner} {step.revision}" for step in applied)

    def _restore_secret(self, own: Callable[[Path], None]) -> bool:
        mine = self.work / SECRET
        path = self.config.secret_path
        if not mine.exists() or (path.exists() and not self.secret_differs):
            return False
        if path.exists():
            path.replace(path.with_name(f"{path.name}.replaced"))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.new")
        shutil.copyfile(mine, fresh)
        fresh.chmod(0o600)
        own(fresh)
        fresh.replace(path)
        return True


def look(config: Config, owners: Sequence[Owner], source: Path, work: Path, progress: Progress) -> Restore:
    """Unpack `source` into the directory `work` and check everything about it. Raises `BackupError`, OSError."""
    kind = "postgresql" if sqlite_path(parse_url(config.store.url)) is None else "sqlite"
    manifest = archive.read_manifest(source)
    if manifest.database != kind:
        raise BackupError(
            f"{source} is a backup of {manifest.database}, and [store] url is {kind}; a backup goes back into the same "
            "kind of database only"
        )
    pending = _pending(manifest, owners, source)
    manifest = archive.extract(source, work, progress)
    database = work / DATABASES[kind]
    progress("checking the database", 0, 0)
    if kind == "sqlite":
        sqlite.check(database)
        _check_snapshot(manifest, database, source)
    else:
        postgresql.check(database)
    mine = work / SECRET
    differs = mine.exists() and config.secret_path.exists() and _stripped(mine) != _stripped(config.secret_path)
    return Restore(config, owners, work, manifest, _present(config.store.url), pending, differs)


def begin_epoch(url: str, now: float, actor: str) -> tuple[int, tuple[Doubtful, ...]]:
    """For a database that was put back by other means: forget its journal, put its jobs to a person. The new epoch."""
    with _reading(url) as connection:
        snapshot = snapshot_of(connection)
        has_directory = inspect(connection).has_table("directory_version")
    if "core" not in snapshot.revisions:
        raise BackupError("the database holds no tables of Stellwerk; check [store] url")
    epoch = NewEpoch(snapshot.epoch + 1, now, actor, "put back by other means")
    _run(url, [*epoch.forget(), *(epoch.directory() if has_directory else ())])
    return epoch.number, _jobs(url)[0]


def _run(url: str, statements: Sequence[str]) -> None:
    parsed = parse_url(url)
    lock = writer_lock(parsed)
    try:
        with lock, open_engine(parsed, "write").begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except DBAPIError as error:
        raise outage(error, parsed) from error
    finally:
        lock.close()


def _stripped(path: Path) -> bytes:
    return path.read_bytes().strip()


def _pending(manifest: Manifest, owners: Sequence[Owner], source: Path) -> tuple[str, ...]:
    """Owners whose tables are to be migrated. Raises `BackupError` when one is newer than this version."""
    found = compare(manifest.snapshot.revisions, owners)
    for owner in found:
        if owner.unknown:
            raise BackupError(
                f"{source} has {owner.owner} tables of revision {owner.current}, which this version does not know (its "
                f"newest is {owner.head or 'none'}); restore it with Stellwerk {manifest.version} or newer"
            )
    return tuple(owner.owner for owner in found if owner.pending)


def _check_snapshot(manifest: Manifest, database: Path, source: Path) -> None:
    with _reading(f"sqlite:///{database}") as connection:
        if snapshot_of(connection) != manifest.snapshot:
            raise BackupError(f"{source}: the database in it is not the one that its manifest describes; do not use it")


def _present(url: str) -> Present:
    path = sqlite_path(parse_url(url))
    if path is not None and not path.exists():
        return Present()
    try:
        with _reading(url) as connection:
            snapshot = snapshot_of(connection)
            jobs = 0
            if inspect(connection).has_table("job"):
                jobs = connection.execute(text("SELECT count(*) FROM job WHERE state <> 'done'")).scalar_one()
            for table in CARRIED + DIRECTORY:
                if path is not None and inspect(connection).has_table(table):
                    for (said,) in connection.exec_driver_sql(f"PRAGMA quick_check({table})"):
                        if said != "ok":
                            return Present(problem=str(said))
            return Present(snapshot, jobs, inspect(connection).has_table("directory_version"))
    except StellwerkError as error:
        if path is None:  # there is no other place to put it
            raise
        return Present(problem=str(error))


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    engine: Engine = open_engine(parse_url(url), "read")
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        if is_outage(error):
            raise outage(error, parse_url(url)) from error
        raise BackupError(f"the database cannot be read: {str(error.orig).strip().partition(chr(10))[0]}") from error


def _columns(url: str, tables: Sequence[str]) -> dict[str, list[str]]:
    with _reading(url) as connection:
        found = inspect(connection)
        return {table: [str(column["name"]) for column in found.get_columns(table)] for table in tables}


def _jobs(url: str) -> tuple[tuple[Doubtful, ...], int]:
    """The jobs that a person must look at, and how many others are open."""
    with _reading(url) as connection:
        query = text("SELECT id, owner, kind, created_at FROM job WHERE state = 'dead' AND last_error = :why")
        doubtful = [Doubtful(*row) for row in connection.execute(query, {"why": MAY_HAVE_RUN})]
        count = connection.execute(text("SELECT count(*) FROM job WHERE state <> 'done'")).scalar_one()
    return tuple(doubtful), count - len(doubtful)
