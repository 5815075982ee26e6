"""What only PostgreSQL can suffer, and what it does otherwise than SQLite. Section S of the fault catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text

from gateway.errors import CommitUnknown, StartupError, StoreUnavailable
from gateway.store.engine import hold, open_engine, parse_url
from gateway.store.reader import Reader
from gateway.store.store import Store
from gateway.store.writer import Write, Writer
from tests.core.store.conftest import Database, add, note
from tests.databases import locked, postgresql_only, query
from tests.integration.waiting import until
from tests.postgresql import GUARDED, OWNER, PASSWORD, PostgresqlServer

pytestmark = postgresql_only


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Reader]:
    reader = Reader(open_engine(parse_url(database.url), "read"))
    yield reader
    await asyncio.to_thread(reader.close)


async def test_s4_a_restart_between_two_groups_is_not_noticed(
    database: Database, writer: Writer, reader: Reader, postgresql_server: PostgresqlServer
) -> None:
    await writer.write([add("before")])
    assert len(await reader.read(select(note))) == 1
    await asyncio.to_thread(postgresql_server.restart)
    assert await writer.write([add("after")]) == [None]
    assert len(await reader.read(select(note))) == 2
    assert writer.counters.last_error is None


async def test_s4_while_the_server_is_away_everybody_hears_why_and_nobody_needs_a_restart(
    database: Database, writer: Writer, reader: Reader, postgresql_server: PostgresqlServer
) -> None:
    await writer.write([add("before")])
    writer.write_soon([add("lazy")])
    await asyncio.to_thread(postgresql_server.crash)
    try:
        for question in (writer.write([add("lost")]), reader.read(select(note))):
            with pytest.raises(StoreUnavailable, match="Connection refused; start the server, or correct host and"):
                await question
    finally:
        await asyncio.to_thread(postgresql_server.resume)
    assert await writer.write([add("after")]) == [None]
    assert len(await reader.read(select(note))) == 3
    assert database.notes() == ["after", "before", "lazy"]


async def test_s4_a_commit_that_the_server_did_not_answer_may_stand_and_is_not_tried_again(
    database: Database, writer: Writer, postgresql_server: PostgresqlServer
) -> None:
    await writer.write([add("before")])
    begun = database.statements.begun
    event.listen(writer._engine, "commit", lambda _: postgresql_server.restart(), once=True)
    with pytest.raises(CommitUnknown):
        await writer.write([add("perhaps")])
    assert database.statements.begun == begun + 1
    assert await writer.write([add("after")]) == [None]
    assert {"before", "after"} <= set(database.notes()) <= {"before", "after", "perhaps"}


async def test_s3_a_locked_table_blocks_neither_the_event_loop_nor_readers(database: Database, reader: Reader) -> None:
    writer = database.writer(busy_timeout_seconds=0.3)
    with contextlib.closing(writer):
        await writer.write([add("before")])
        with locked(database.url):
            task = asyncio.create_task(writer.write([add("a")]))
            for _ in range(10):
                assert len(await reader.read(select(note))) == 1
            assert not task.done()
            with pytest.raises(StoreUnavailable, match="lock timeout; another program holds it locked"):
                await task
        assert await writer.write([add("after")]) == [None]
    assert database.notes() == ["after", "before"]


async def test_a_server_that_may_not_be_written_says_so(
    database: Database, postgresql_server: PostgresqlServer
) -> None:
    name = parse_url(database.url).database
    postgresql_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = database.writer()
    try:
        with pytest.raises(
            StoreUnavailable, match="read-only transaction; the server is a standby or set to read-only"
        ):
            await writer.write([add("a")])
    finally:
        postgresql_server.execute(f"ALTER DATABASE {name} RESET ALL")
        await asyncio.to_thread(writer.close)
    assert database.notes() == []


async def test_text_with_nul_is_kept_but_for_the_nul(writer: Writer, reader: Reader) -> None:
    def insert(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        connection.execute(note.insert(), [{"id": payload} for payload in payloads])
        return payloads

    await writer.write([add("a\0b"), Write(insert, "c\0")])
    assert sorted([row.id for row in await reader.read(select(note.c.id))]) == ["a\ufffdb", "c\ufffd"]
    assert len(await reader.read(select(note.c.id).where(note.c.id == "c\0"))) == 1


async def test_what_is_held_is_held_until_the_commit_and_seen_after_it(database: Database) -> None:
    first, second = (open_engine(parse_url(database.url), "write").connect() for _ in range(2))
    with first, second:
        hold(first, ["b", "a"])
        add_one = note.insert().values(id="x")
        first.execute(add_one)

        def wait_and_count() -> int:
            hold(second, ["a"])
            return len(second.execute(select(note)).all())

        hold(second, ["c"])
        waiting = asyncio.create_task(asyncio.to_thread(wait_and_count))
        blocked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: query(database.url, blocked), "the second waits for the first")
        first.commit()
        assert await waiting == 1


async def test_a_transaction_sees_what_others_commit_whatever_the_database_is_set_to(
    database: Database, postgresql_server: PostgresqlServer
) -> None:
    name = parse_url(database.url).database
    postgresql_server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        with open_engine(parse_url(database.url), "write").connect() as connection:
            assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "read committed"
    finally:
        postgresql_server.execute(f"ALTER DATABASE {name} RESET ALL")


WRONG = [
    (GUARDED, "wrong", "", 'authentication failed for user "guarded"; correct the user and password of'),
    (GUARDED, "", "", "no password supplied; put the password into"),
    (GUARDED, "wrong", "/other", "authentication failed"),
    ("stranger", PASSWORD, "", 'role "stranger" does not exist; create the role there, or correct the user of'),
    (OWNER, PASSWORD, "/other", 'database "other" does not exist; create the database there, or correct its'),
    (OWNER, PASSWORD, "?sslmode=require", "SSL was required; correct sslmode and certificates of"),
]


@pytest.mark.parametrize(("user", "password", "rest", "said"), WRONG, ids=[row[3][:24] for row in WRONG])
async def test_c6_a_connection_that_is_refused_says_what_to_do_and_no_password(
    store_url: str, postgresql_server: PostgresqlServer, user: str, password: str, rest: str, said: str
) -> None:
    database = "" if rest.startswith("/") else parse_url(store_url).database
    url = postgresql_server.url(database or "", user=user, password=password).rstrip("/") + rest
    store = Store.open(url)
    try:
        for question in (store.write([add("a")]), store.read(select(note))):
            with pytest.raises(StoreUnavailable) as caught:
                await question
            shown = str(caught.value)
            assert said in shown
            assert "\n" not in shown
            assert not password or f":{password}" not in shown
    finally:
        await asyncio.to_thread(store.close)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("127.0.0.1:1/x", "port 1 failed: Connection refused; start the server, or correct host and port of"),
        ("nowhere.invalid/x", "failed to resolve host 'nowhere.invalid'"),
        ("/x?host=/nowhere&password=hush", 'socket "/nowhere/.s.PGSQL.5432" failed: No such file or directory; start'),
    ],
)
async def test_a_server_that_is_not_there(store_url: str, place: str, said: str) -> None:
    store = Store.open(f"postgresql://me@{place}")
    with pytest.raises(StoreUnavailable) as caught:
        await store.write([add("a")])
    await asyncio.to_thread(store.close)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


def test_without_the_driver_one_line_says_what_to_install(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StartupError, match=r"its driver is missing \(.*psycopg.*\); install stellwerk\[postgres\]"):
        Store.open(store_url)
