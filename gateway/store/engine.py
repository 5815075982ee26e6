"""What differs between SQLite and PostgreSQL: engines, locks, insert-or-ignore, failures.

No table and no query lives here; everything else in the store is one code path on SQLAlchemy Core.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from urllib.parse import quote, unquote

from sqlalchemy import URL, Connection, Engine, NullPool, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.sql.dml import Insert

from gateway.errors import StartupError, StoreUnavailable

Access = Literal["write", "read", "migrate"]
OnConflict = Literal["error", "ignore", "replace"]

BUSY_TIMEOUT_SECONDS = 5.0
# libpq would wait for a server that vanished as long as the kernel does: a quarter of an hour.
_POSTGRESQL_CONNECTION = {
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "tcp_user_timeout": 15_000,
}
# The server notices a node that vanished as soon, and lets go of what that held. No transaction of ours waits for a
# person, and each relies on seeing what was committed before its statement.
_POSTGRESQL_SESSION = {
    "default_transaction_isolation": "read\\ committed",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_MIGRATION_LOCK = 0x57E11_3E4C  # any number, as long as every node uses the same one

# https://www.sqlite.org/rescode.html, primary codes: the store's fault, not the statement's
_SQLITE_OUTAGES = {
    sqlite3.SQLITE_FULL: "free space on its disk",
    sqlite3.SQLITE_BUSY: "another program holds it locked; only Stellwerk may write to it",
    sqlite3.SQLITE_LOCKED: "another program holds it locked; only Stellwerk may write to it",
    sqlite3.SQLITE_IOERR: "look at the disk and the kernel's log",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore it from a backup",
    sqlite3.SQLITE_NOTADB: "restore it from a backup or correct [store] url",
    sqlite3.SQLITE_CANTOPEN: "run `stellwerk db upgrade` if it was never created, else check path and permissions",
    sqlite3.SQLITE_READONLY: "check the file's permissions and mount",
    sqlite3.SQLITE_PERM: "check the file's permissions and mount",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "SQLite's WAL locks do not work here; keep the file on a local disk",
}
# PostgreSQL's SQLSTATE classes: connection, resources, operator intervention, system error; then single states:
# serialization failure, deadlock, lock not available, read-only transaction, no privilege, no schema to use.
_POSTGRESQL_OUTAGES = ("08", "53", "57", "58", "40001", "40P01", "55P03", "25006", "42501", "3F000")
_POSTGRESQL_HINTS = {
    "53100": "free space on the server's disk",
    "53300": "raise max_connections there; each process of a gateway needs three",
    "55P03": "another program holds it locked",
    "25006": "the server is a standby or set to read-only; [store] url must name the primary",
    "42501": "the role of [store] url must own the database",
    "3F000": "the role of [store] url must own the database",
}
# What libpq says when there is no session yet; there is no SQLSTATE then. A server may speak another language.
_CONNECTION_HINTS = (
    ("password authentication failed", "correct the user and password of [store] url"),
    ("no password supplied", "put the password into [store] url, or into the file that PGPASSFILE names"),
    ("no pg_hba.conf entry", "allow this host, user and database in the server's pg_hba.conf and reload it"),
    ("authentication failed", "correct the user of [store] url, or the server's pg_hba.conf"),
    ('role "', "create the role there, or correct the user of [store] url"),
    ('database "', "create the database there, or correct its name in [store] url"),
    ("too many clients", "raise max_connections there; each process of a gateway needs three"),
    ("remaining connection slots", "raise max_connections there; each process of a gateway needs three"),
    ("SSL", "correct sslmode and certificates of [store] url, or the server's"),
    ("sslmode", "correct sslmode and certificates of [store] url, or the server's"),
    ("", "start the server, or correct host and port of [store] url"),
)


def parse_url(text_: str) -> URL:
    """The store's URL, with the driver filled in and a SQLite path made absolute. StartupError names what is wrong."""
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):
        raise StartupError(
            "[store] url is no database URL; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        ) from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StartupError(f"[store] url names {backend!r}; expected sqlite:///PATH or postgresql://USER@HOST/DATABASE")
    if not url.database or url.database == ":memory:":
        raise StartupError("[store] url names no file, and processes cannot share memory; expected sqlite:///PATH")
    return url.set(drivername="sqlite+pysqlite", database=os.path.abspath(url.database))  # noqa: PTH100 - no symlink walk


def sqlite_path(url: URL) -> Path | None:
    """The database file, or None when the store is a server. `url` is one of parse_url or of an engine made here."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(unquote(url.database[5:]) if url.database.startswith("file:") else url.database)


def is_missing(url: str) -> bool:
    """Whether the store is a file that nobody has made yet."""
    path = sqlite_path(parse_url(url))
    return path is not None and not path.exists()


def open_engine(url: URL, access: Access, *, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> Engine:
    """An engine that has not connected yet. Its connections really close when they are closed.

    `write`: begin() takes the database's write lock. `read`: autocommit, and refuses to write. `migrate`: as `write`,
    but without foreign keys, since SQLite alters a table by rebuilding it. A missing SQLite file is not created.
    """
    if sqlite_path(url) is not None:
        return _sqlite_engine(url, access, busy_timeout_seconds)
    try:
        return _postgresql_engine(url, access, busy_timeout_seconds)
    except (ImportError, NoSuchModuleError) as error:
        raise StartupError(
            f"[store] url is PostgreSQL, but its driver is missing ({error}); install stellwerk[postgres]"
        ) from None


def _sqlite_engine(url: URL, access: Access, busy_timeout_seconds: float) -> Engine:
    engine = create_engine(
        url.set(database=f"file:{quote(url.database or '')}", query={"mode": "rw", "uri": "true"}),
        # The driver's own BEGIN comes late and is deferred: after a first read it could not get the write lock.
        connect_args={"timeout": busy_timeout_seconds, "isolation_level": None},
        poolclass=NullPool,
        hide_parameters=True,
    )
    pragmas = ["foreign_keys = ON" if access != "migrate" else "foreign_keys = OFF"]
    if access == "read":
        pragmas += ["query_only = ON"]
    else:
        # NORMAL lost acknowledged commits in a power cut (fault catalogue, finding 6).
        pragmas += ["journal_mode = WAL", "synchronous = FULL"]
        # Larger than SQLite's own: the same few pages change with every group, and each checkpoint writes them once.
        pragmas += ["wal_autocheckpoint = 8000", "cache_size = -32768"]
        event.listen(engine, "begin", _begin_immediate)

    def prepare(connection: sqlite3.Connection, record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", prepare)
    return engine


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_engine(url: URL, access: Access, busy_timeout_seconds: float) -> Engine:
    arguments: dict[str, Any] = {"application_name": f"stellwerk {access}"} | _POSTGRESQL_CONNECTION
    session = {"lock_timeout": str(int(busy_timeout_seconds * 1000))} | _POSTGRESQL_SESSION
    options: dict[str, Any] = {}
    if access == "read":
        options["isolation_level"] = "AUTOCOMMIT"
    if access == "migrate":  # it may think for long between two statements
        del session["idle_in_transaction_session_timeout"]
    arguments["options"] = " ".join(f"-c {name}={value}" for name, value in session.items())
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    engine = create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True, **options)
    event.listen(engine, "connect", _without_nul)
    if access == "read":
        event.listen(engine, "connect", _read_only)
    return engine


def _read_only(connection: Any, record: object) -> None:
    # Not among the options: libpq takes such a session for one with a standby (target_session_attrs).
    connection.execute("SET default_transaction_read_only = on")
    connection.commit()


def _without_nul(connection: Any, record: object) -> None:
    """PostgreSQL's text has no NUL; what mail or a plugin brings must not fail for it. SQLite keeps it."""
    connection.adapters.register_dumper(str, _text_dumper())


@functools.cache
def _text_dumper() -> Any:
    from psycopg.adapt import Dumper

    class TextDumper(Dumper):
        """As psycopg's own, which cannot be derived from: of no certain type, so that the server takes the column's."""

        def dump(self, obj: str) -> bytes:
            return obj.encode() if "\0" not in obj else obj.replace("\0", "\ufffd").encode()

    return TextDumper


class WriterLock(Protocol):
    """What a writer holds around each transaction. Entering blocks and raises StoreUnavailable."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def close(self) -> None: ...


class FileLock:
    """An exclusive flock on a side file.

    The kernel wakes its waiters; SQLite's busy handler polls and starves them (measured with 4 processes: worst wait
    45 ms against 2.6 s). A holder that dies lets go.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreUnavailable(
                f"the store's lock file {self._path} cannot be used: {error.strerror}; check [store] url and its disk"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class NoLock:
    """PostgreSQL lets many write at a time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def close(self) -> None:
        return None


def writer_lock(url: URL) -> WriterLock:
    """A lock object of its own for each writer; two of one process exclude each other as well."""
    path = sqlite_path(url)
    return NoLock() if path is None else FileLock(path.with_name(path.name + ".lock"))


def create_missing(url: URL) -> None:
    """Create an absent SQLite file, readable by its owner alone (SQLite gives -wal and -shm the same mode)."""
    path = sqlite_path(url)
    if path is None or path.exists():
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StartupError(
            f"the store {path} cannot be created: {error.strerror}; make its directory or correct [store] url"
        ) from error


def enter_migration(connection: Connection) -> None:
    """Keep other nodes' migrations out until the transaction ends. On SQLite the writers' lock does that."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})


def hold(connection: Connection, names: Iterable[str]) -> None:
    """Let others that hold one of `names` wait until the transaction ends, and see from here on what they committed.

    It stands before a read whose answer decides what is written. On SQLite the writers' lock does that for everything.
    """
    if connection.dialect.name != "postgresql":
        return
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in set(names))
    keys = sorted(
        int.from_bytes(digest, signed=True) for digest in digests
    )  # one order, or two would wait for each other
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(key) FROM unnest(%(keys)s::bigint[]) AS key", {"keys": keys}
    )


def touch(connection: Connection, payloads: Sequence[object], /) -> Sequence[None]:
    """A batch function that writes nothing and fails where nothing could be written. Raises StoreUnavailable.

    On SQLite every transaction takes the write lock. PostgreSQL is not even asked before the first statement.
    """
    if connection.dialect.name == "postgresql":
        numbered = "SELECT txid_current() WHERE current_setting('transaction_read_only') = 'off'"
        if connection.exec_driver_sql(numbered).scalar() is None:
            where = _shown(connection.engine.url)
            raise StoreUnavailable(f"the store {where} takes no writes; {_POSTGRESQL_HINTS['25006']}")
    return [None] * len(payloads)


@dataclass(frozen=True, slots=True)
class Server:
    """What a PostgreSQL server says of itself. `clock` is its POSIX time."""

    version: str
    encoding: str
    connections: int
    clock: float
    careless: tuple[str, ...]
    """Settings that lose commits when the server or its machine goes down."""


def server_facts(url: URL) -> Server | None:
    """None for SQLite. Raises StoreUnavailable."""
    if sqlite_path(url) is not None:
        return None
    names = ("server_version", "server_encoding", "max_connections", "superuser_reserved_connections")
    durable = ("fsync", "full_page_writes", "synchronous_commit")
    asked = ", ".join(f"current_setting('{name}')" for name in (*names, *durable))
    try:
        with open_engine(url, "read").connect() as connection:
            row = connection.exec_driver_sql(f"SELECT extract(epoch FROM clock_timestamp()), {asked}").one()  # noqa: S608
    except DBAPIError as error:
        raise outage(error, url) from error
    clock, version, encoding, most, reserved, *settings = row
    careless = tuple(name for name, value in zip(durable, settings, strict=True) if value == "off")
    return Server(version.split()[0], encoding, int(most) - int(reserved), float(clock), careless)


def broken_references(connection: Connection) -> list[str]:
    """Tables whose foreign keys a migration broke; PostgreSQL enforces them as it goes."""
    if connection.dialect.name != "sqlite":
        return []
    return sorted({str(row[0]) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")})


def insert_statement(dialect: str, table: Table, on_conflict: OnConflict, columns: Sequence[str]) -> Insert:
    """INSERT. `ignore` looks at every unique key; `replace` at the primary key, and overwrites the given columns."""
    if on_conflict == "error":
        return table.insert()
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    if on_conflict == "ignore" or not changed:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def is_outage(error: BaseException) -> bool:
    """Whether the store failed (disk, lock, connection), rather than the statement or its values."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = _sqlite_code(error)
    if code is not None:
        return code in _SQLITE_OUTAGES
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # psycopg has none when it never reached the server
        return isinstance(error, OperationalError | InterfaceError)
    return str(state).startswith(_POSTGRESQL_OUTAGES)


def outcome_unknown(error: BaseException) -> bool:
    """Whether a COMMIT that failed so may have reached the disk: it must not be tried a second time."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or _sqlite_code(error) == sqlite3.SQLITE_IOERR


def outage(error: BaseException, url: URL) -> StoreUnavailable:
    """`error` as one line that says what to do. The password in the URL stays hidden."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    path = sqlite_path(url)
    hint = _hint(error, lines[0]) if isinstance(error, DBAPIError) else None
    return StoreUnavailable(
        f"the store {_shown(url) if path is None else path} is not available: {lines[0]}"
        + (f"; {hint}" if hint else "")
    )


def _shown(url: URL) -> str:
    """Without what else it may say, a password among it."""
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def _hint(error: DBAPIError, text: str) -> str | None:
    if (code := _sqlite_code(error)) is not None:
        return _SQLITE_OUTAGES.get(code)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return _POSTGRESQL_HINTS.get(str(state))
    if not text.startswith(("connection ", "failed to resolve host")):
        return None  # a connection that stood and broke: the next one tells why
    return next(hint for fragment, hint in _CONNECTION_HINTS if fragment in text)


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
