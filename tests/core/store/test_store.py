"""The store as its users see it, and what is said about a wrong URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.errors import StartupError, StoreUnavailable
from gateway.store.engine import open_engine, outage, parse_url, sqlite_path, writer_lock
from gateway.store.store import Store, StoreReadOnly
from tests.core.store.conftest import Database, add, note


async def test_what_was_written_is_read(database: Database) -> None:
    store = Store.open(database.url)
    try:
        assert await store.write([add("a", 1)]) == [None]
        store.write_soon([add("b", 2)])
        await store.write([])
        assert [tuple(row) for row in await store.read(select(note).order_by(note.c.id))] == [("a", 1), ("b", 2)]
        assert store.counters.commits == 2
    finally:
        await asyncio.to_thread(store.close)


async def test_a_read_only_store_reads_and_refuses_to_write(database: Database) -> None:
    store = Store.open(database.url, read_only=True)
    try:
        assert await store.read(select(note)) == []
        with pytest.raises(StoreReadOnly, match="nothing is written"):
            await store.write([add("a")])
        with pytest.raises(StoreReadOnly, match="nothing is written"):
            store.write_soon([add("a")])
    finally:
        store.close()
    assert database.notes() == []


def test_opening_and_closing_touches_nothing(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/none.db").close()
    assert list(tmp_path.iterdir()) == []


async def test_a_database_that_was_never_created_says_what_to_do(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/none.db")
    try:
        with pytest.raises(StoreUnavailable, match=r"none\.db is not available: .*; run `stellwerk db upgrade`"):
            await store.read(select(note))
        with pytest.raises(StoreUnavailable, match=r"none\.db is not available: .*; run `stellwerk db upgrade`"):
            await store.write([add("a")])
    finally:
        await asyncio.to_thread(store.close)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("var/stellwerk.db", "is no database URL; expected sqlite:///PATH"),
        ("mysql://root@host/db", "names 'mysql'; expected sqlite:///PATH or postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_wrong_url(url: str, message: str) -> None:
    with pytest.raises(StartupError, match=message):
        Store.open(url)


def test_a_path_with_odd_characters_is_that_path(tmp_path: Path) -> None:
    url = parse_url(f"sqlite:///{tmp_path}/a b%2520c%23d.db")
    assert sqlite_path(url) == tmp_path / "a b%20c#d.db"
    assert sqlite_path(open_engine(url, "write").url) == tmp_path / "a b%20c#d.db"


def test_postgresql_is_another_engine_with_the_same_interface() -> None:
    url = parse_url("postgresql://gateway:secret@db.example.test/mail")
    engine = open_engine(url, "write")
    assert (engine.dialect.name, engine.driver) == ("postgresql", "psycopg")
    assert sqlite_path(url) is None
    with writer_lock(url) as lock:
        lock.close()


def test_c6_the_password_is_in_no_error() -> None:
    url = parse_url("postgresql://gateway:secret@db.example.test/mail")
    text = str(outage(OSError("gone\nwith details"), url))
    assert text == "the store postgresql://gateway:***@db.example.test/mail is not available: gone"
