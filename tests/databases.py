"""Both databases under the same tests: fixtures that give a store's URL, and how another program sees that store.

A test that asks for `store_url` runs twice, on SQLite and on a private PostgreSQL (`make test-all`). Whole gateways of
tests.core.gateways take their URL from their directory: `on_both_databases` above them is enough.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.postgresql import PostgresqlServer

on_both_databases = pytest.mark.usefixtures("store_url")
"""For tests whose gateway keeps its store in `tmp_path`: on PostgreSQL as well."""
sqlite_only = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For a test about SQLite itself: its file, its locks, its limits, its texts."""
postgresql_only = pytest.mark.parametrize(
    "store_url", [pytest.param("postgresql", marks=pytest.mark.server("postgresql"))], indirect=True
)

_elsewhere: dict[Path, str] = {}
"""URLs of stores that belong to a test's directory and do not lie in it."""


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One server for all tests of this process that need no crash. Mark what asks for it `server("postgresql")`."""
    from tests.postgresql import PostgresqlServer

    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


class MadeOnce:
    """Stores that many tests begin with. On SQLite each kind is made once a process, and its file copied."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, kind: str, url: str, make: Callable[[str], None]) -> None:
        """A store of this kind at `url`, where there is none yet; `make(url)` makes one."""
        if not is_sqlite(url):
            make(url)
            return
        original = self._directory / f"{kind}.db"
        if not original.exists():
            new = original.with_suffix(".new")
            make(f"sqlite:///{new}")
            new.rename(original)
        shutil.copyfile(original, url.removeprefix("sqlite:///"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("made-once"))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server("postgresql"))])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it: an SQLite file that is not there yet, and one on PostgreSQL."""
    if request.param == "sqlite":
        yield url_of(tmp_path)
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    with server.database() as url:
        _elsewhere[tmp_path] = url
        yield url
        del _elsewhere[tmp_path]


def url_of(directory: Path) -> str:
    """Where a test with this directory keeps its store."""
    return _elsewhere.get(directory, f"sqlite:///{directory}/test.db")


def is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:")


def query(url: str, sql: str, rows: Sequence[Sequence[Any]] = ()) -> list[tuple[Any, ...]]:
    """Run one statement as another program would, with nothing of the store in between, and commit. Its rows, if any.

    With `rows` it runs once for each, and its placeholders are question marks.
    """
    with closing(_connect(url)) as connection:
        cursor = connection.cursor()
        if rows:
            cursor.executemany(sql if is_sqlite(url) else sql.replace("?", "%s"), rows)
        else:
            cursor.execute(sql)
        found = cursor.fetchall() if cursor.description else []
        connection.commit()
    return [tuple(row) for row in found]


def table_names(url: str) -> set[str]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if not is_sqlite(url):
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return {row[0] for row in query(url, sql)}


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program keeps every row of the store from being written; reading goes on."""
    with closing(_connect(url)) as connection:
        if is_sqlite(url):
            connection.execute("BEGIN IMMEDIATE")
        else:
            connection.execute(f"LOCK TABLE {', '.join(sorted(table_names(url)))} IN EXCLUSIVE MODE")
        yield
        connection.rollback()


def _connect(url: str) -> Any:
    if is_sqlite(url):
        return sqlite3.connect(url.partition("///")[2])
    import psycopg

    return psycopg.connect(url)
