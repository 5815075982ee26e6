"""A fresh database with one small table, a writer on it, and a batch function that holds the writer's thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, Text, event
from sqlalchemy.exc import OperationalError

from gateway.store.engine import create_missing, open_engine, parse_url, sqlite_path, writer_lock
from gateway.store.rows import insert
from gateway.store.writer import Write, Writer
from tests.databases import is_sqlite, query

tables = MetaData()
note = Table("note", tables, Column("id", Text, primary_key=True), Column("number", Integer))


def add(name: str, number: int = 0) -> Write:
    return Write(insert(note), {"id": name, "number": number})


@dataclass
class Statements:
    """What an engine was told to do, as SQLAlchemy's events report it."""

    begun: int = 0
    committed: int = 0
    rolled_back: int = 0
    executed: list[tuple[str, int]] = field(default_factory=list)
    """(first words, number of rows)"""
    failing_commits: dict[int, int] = field(default_factory=dict)
    """number of the commit, SQLite's result code"""

    def watch(self, engine: Engine) -> None:
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "rollback", self._roll_back)
        event.listen(engine, "before_cursor_execute", self._execute)

    def _begin(self, connection: Connection) -> None:
        self.begun += 1

    def _commit(self, connection: Connection) -> None:
        self.committed += 1
        if code := self.failing_commits.get(self.committed):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = code
            raise OperationalError("COMMIT", None, error)

    def _roll_back(self, connection: Connection) -> None:
        self.rolled_back += 1

    def _execute(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if not statement.startswith("BEGIN"):
            values = statement.count("(?") + statement.count("(%(")
            rows = len(parameters) if executemany else max(1, values)
            self.executed.append((statement.split(" (")[0], rows))


class Gate:
    """A batch function that keeps the writer's thread until it is opened."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        self._entered.set()
        assert self._open.wait(30), "nobody opened the gate"
        return [None] * len(payloads)

    async def hold(self, writer: Writer) -> asyncio.Task[list[Any]]:
        """Start a write that holds the thread; the returned task ends after open()."""
        task = asyncio.create_task(writer.write([Write(self, None)]))
        assert await self.entered()
        return task

    async def entered(self) -> bool:
        return await asyncio.to_thread(self._entered.wait, 30)

    def open(self) -> None:
        self._open.set()


@dataclass
class Database:
    """A database, and how to make writers on it. `page_limit` stands for the size of an SQLite file's disk."""

    url: str
    statements: Statements = field(default_factory=Statements)
    writers: list[Writer] = field(default_factory=list)
    page_limit: int = 1_000_000
    connections: int = 0

    @property
    def path(self) -> Path:
        """The file, of SQLite."""
        path = sqlite_path(parse_url(self.url))
        assert path is not None
        return path

    def writer(self, *, busy_timeout_seconds: float = 5.0, **options: Any) -> Writer:
        url = parse_url(self.url)
        engine = open_engine(url, "write", busy_timeout_seconds=busy_timeout_seconds)
        event.listen(engine, "connect", self._connected)
        self.statements.watch(engine)
        writer = Writer(engine, writer_lock(url), **options)
        self.writers.append(writer)
        return writer

    def _connected(self, connection: Any, record: object) -> None:
        self.connections += 1
        if is_sqlite(self.url):
            connection.execute(f"PRAGMA max_page_count = {self.page_limit}").close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows as another program sees them, with nothing of the store in between."""
        return query(self.url, sql)

    def notes(self) -> list[str]:
        return [row[0] for row in self.query("SELECT id FROM note ORDER BY id")]


@pytest.fixture
def database(store_url: str) -> Database:
    url = parse_url(store_url)
    create_missing(url)
    with open_engine(url, "migrate").begin() as connection:
        tables.create_all(connection)
    return Database(store_url)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
async def writer(database: Database, gate: Gate) -> AsyncIterator[Writer]:
    writer = database.writer()
    yield writer
    gate.open()
    await asyncio.to_thread(writer.close)
