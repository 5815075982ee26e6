"""SQLite: a copy of a database that others write to, and a copy put back under their feet.

Both directions are SQLite's own and atomic. What a restored database must not believe is said in `past`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from gateway.backup.archive import Progress
from gateway.backup.manifest import BackupError
from gateway.backup.past import CARRIED, DIRECTORY, NewEpoch
from gateway.store.engine import parse_url, sqlite_path, writer_lock

_INSTRUCTIONS = 200_000  # of SQLite's machine between two looks at the progress
_PAGES = 2_000
_BUSY_SECONDS = 30.0


def copy_out(source: Path, target: Path, progress: Progress) -> None:
    """A compact copy of `source` as it is at this moment; its writers go on. Raises `BackupError`.

    VACUUM INTO reads in one transaction, so that nobody's commit makes it start over, and leaves out the free pages, in
    which deleted mail addresses would live on.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    total = source.stat().st_size

    def look() -> int:
        progress("copying the database", min(target.stat().st_size, total), total)
        return 0

    with _errors(f"the database {source} cannot be copied"), closing(_connect(source)) as connection:
        connection.set_progress_handler(look, _INSTRUCTIONS)
        connection.execute("VACUUM INTO ?", (str(target),))


def check(path: Path) -> None:
    """Raises `BackupError` unless the file is a sound database, references included."""
    with _errors(f"{path.name} is no sound database"), closing(_connect(path)) as connection:
        wrong = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        if wrong != ["ok"]:
            raise BackupError(f"{path.name} is damaged: {'; '.join(wrong)}; take another backup")
        broken = {str(row[0]) for row in connection.execute("PRAGMA foreign_key_check")}
        if broken:
            raise BackupError(f"{path.name} has broken references in {', '.join(sorted(broken))}; take another backup")


def alone(path: Path) -> None:
    """Make the database one file again: what stands in a -wal file goes into it."""
    with _errors(f"{path.name} cannot be changed"), closing(_connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def put_back(staged: Path, url: str, epoch: NewEpoch, *, carry: bool, progress: Progress) -> None:
    """Make the content of `staged` that of the existing database at `url`, in one commit.

    Other processes may have it open: they wait while the writers' lock is held, and see the new content after it. With
    `carry` the present journal, jobs and audit are kept. After a crash the present database is as it was.
    """
    live = sqlite_path(parse_url(url))
    assert live is not None
    lock = writer_lock(parse_url(url))
    with _errors(f"the database {live} cannot be replaced"), closing(_connect(staged)) as source:
        try:
            with closing(_connect(live)) as target:
                target.execute("PRAGMA synchronous = FULL")
                with lock:
                    _forget(source, live if carry else None, epoch)
                    _copy(source, target, progress)
                # Or a commit of the gateway would have to write all of it into the file.
                target.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            lock.close()


def put_in_place(staged: Path, url: str, epoch: NewEpoch) -> list[Path]:
    """As `put_back` where there is no database that can be read; what is there is moved aside: the files moved.

    No gateway may run.
    """
    live = sqlite_path(parse_url(url))
    assert live is not None
    lock = writer_lock(parse_url(url))
    moved: list[Path] = []
    with _errors(f"the database {live} cannot be made"):
        with closing(_connect(staged)) as source:
            _forget(source, None, epoch)
        try:
            with lock:
                for suffix in ("-wal", "-shm", ""):  # a log without its file is harmless, the other way round is not
                    old = Path(f"{live}{suffix}")
                    if old.exists():
                        moved.append(old.rename(f"{live}.unreadable-{epoch.at:.0f}{suffix}"))
                staged.rename(live)
        finally:
            lock.close()
    return moved


def _forget(source: sqlite3.Connection, live: Path | None, epoch: NewEpoch) -> None:
    if live is not None:
        # Read-only by its URI; its log and shared memory are used as by any reader.
        source.execute("ATTACH ? AS present", (_uri(live, "ro"),))
        columns = _common_columns(source)
        present = "present.{}".format
        statements = [*epoch.carry_over(columns, present), *epoch.carry_over_directory(columns, present)]
    else:
        statements = [*epoch.forget(), *epoch.directory()]
    source.execute("BEGIN IMMEDIATE")
    for statement in statements:
        source.execute(statement)
    source.execute("COMMIT")
    if live is not None:
        source.execute("DETACH present")


def _common_columns(source: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    def columns(schema: str, table: str) -> list[str]:
        return [str(row[1]) for row in source.execute(f"PRAGMA {schema}.table_info({table})")]

    return {
        table: [name for name in columns("main", table) if name in columns("present", table)]
        for table in CARRIED + DIRECTORY
    }


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, progress: Progress) -> None:
    until = time.monotonic() + _BUSY_SECONDS

    def look(status: int, remaining: int, total: int) -> None:
        nonlocal until
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:  # it would try for ever
            if time.monotonic() > until:
                raise BackupError(
                    "another program holds the database locked; end it (fuser names it) and restore again"
                )
            return
        until = time.monotonic() + _BUSY_SECONDS
        progress("replacing the database", total - remaining, total)

    source.backup(target, pages=_PAGES, progress=look, sleep=0.05)


def _connect(path: Path) -> sqlite3.Connection:
    """An existing database; one that is missing is not made."""
    return sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None, timeout=_BUSY_SECONDS)


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"{what}: {error}") from None
