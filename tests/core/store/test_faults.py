"""Section S of the fault catalogue on SQLite: full disk, locked, damaged, and well again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.exc import OperationalError

from gateway.errors import CommitUnknown, StoreUnavailable
from gateway.store.engine import FileLock, open_engine, parse_url, writer_lock
from gateway.store.reader import Reader
from gateway.store.writer import Write, Writer
from tests.core.store.conftest import Database, Gate, add, note
from tests.databases import url_of

LARGE = "x" * 1_000_000


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """SQLite alone; what PostgreSQL can suffer is in test_postgresql.py."""
    return url_of(tmp_path)


def _break_the_connection(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
    raise OperationalError("", None, sqlite3.OperationalError("gone"), connection_invalidated=True)


async def test_s2_a_full_disk_is_an_outage_and_ends_without_a_restart(database: Database, writer: Writer) -> None:
    database.page_limit = 20
    with pytest.raises(StoreUnavailable, match=r"test\.db is not available: .* full; free space on its disk"):
        await writer.write([add(LARGE)])
    assert "full" in str(writer.counters.last_error)
    database.page_limit = 1_000_000
    assert await writer.write([add(LARGE)]) == [None]
    assert writer.counters.last_error is None
    assert database.notes() == [LARGE]


async def test_s2_what_still_fits_on_a_full_disk_is_not_refused(database: Database, writer: Writer, gate: Gate) -> None:
    database.page_limit = 20
    held = await gate.hold(writer)
    tasks = [asyncio.create_task(writer.write([add(name)])) for name in ("a", LARGE, "b")]
    await asyncio.sleep(0)
    gate.open()
    answers = await asyncio.gather(held, *tasks, return_exceptions=True)
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False, False, True, False]
    assert database.notes() == ["a", "b"]


async def test_s2_lazy_units_outlive_the_outage(database: Database) -> None:
    database.page_limit = 20
    errors: list[BaseException] = []
    writer = database.writer(lazy_seconds=60)
    with contextlib.closing(writer):
        writer.write_soon([add(LARGE)], on_error=errors.append)
        assert await writer.write([add("a")]) == [None]
        assert database.notes() == ["a"]
        database.page_limit = 1_000_000
        with contextlib.suppress(StoreUnavailable):
            await writer.write([Write(_break_the_connection, None)])
        await writer.write([])
        assert database.notes() == ["a", LARGE]
    assert errors == []


async def test_s2_lazy_units_that_cannot_be_kept_any_longer_are_given_up_by_name(database: Database) -> None:
    database.page_limit = 20
    errors: list[str] = []
    writer = database.writer(lazy_seconds=60)
    with contextlib.closing(writer):
        writer.write_soon([add(LARGE)], on_error=lambda error: errors.append(str(error)))
    assert errors == ["the store was closed"]
    assert writer.counters.lazy_given_up == 1


async def test_s3_a_locked_database_blocks_neither_the_event_loop_nor_readers(database: Database) -> None:
    writer = database.writer(busy_timeout_seconds=0.3)
    reader = Reader(open_engine(parse_url(database.url), "read"))
    other = sqlite3.connect(database.path, isolation_level=None)
    with contextlib.closing(writer), contextlib.closing(reader), contextlib.closing(other):
        await writer.write([add("before")])
        other.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(writer.write([add(name)])) for name in ("a", "b")]
        for _ in range(10):
            assert len(await reader.read(select(note))) == 1
        assert not any(task.done() for task in tasks)  # the loop went on while the writer's thread waited
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert "locked; another program holds it" in str(answers[0])
        other.execute("ROLLBACK")
        assert await writer.write([add("after")]) == [None]
    assert database.notes() == ["after", "before"]


async def test_s3_units_do_not_wait_for_ever_for_a_process_that_holds_the_lock_file(database: Database) -> None:
    writer = database.writer(patience_seconds=0.05)
    with contextlib.closing(writer):
        stopped_process = writer_lock(parse_url(database.url))
        with stopped_process, pytest.raises(StoreUnavailable, match="in time"):
            await writer.write([add("a")])
        stopped_process.close()
        assert await writer.write([add("b")], deadline=None) == [None]
    assert database.notes() == ["b"]


async def test_s8_a_commit_whose_fsync_failed_is_not_tried_again(
    database: Database, writer: Writer, gate: Gate
) -> None:
    """After EIO nobody knows what is on the disk, and a second fsync on the same descriptor would claim success."""
    held = await gate.hold(writer)
    database.statements.failing_commits[2] = sqlite3.SQLITE_IOERR_FSYNC
    tasks = [asyncio.create_task(writer.write([add(name)])) for name in ("a", "b")]
    await asyncio.sleep(0)
    gate.open()
    answers = await asyncio.gather(held, *tasks, return_exceptions=True)
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False, True, True]
    assert database.statements.begun == 2  # the gate's and the group's
    assert await writer.write([add("c")]) == [None]
    assert database.notes() == ["c"]
    assert database.connections == 2


async def test_a_commit_that_fails_with_nobodys_error_leaves_a_writer_that_writes(
    database: Database, writer: Writer
) -> None:
    def fail(_: Connection) -> None:
        raise RuntimeError("in the midst of COMMIT")

    await writer.write([add("before")])
    event.listen(writer._engine, "commit", fail, once=True)
    with pytest.raises(CommitUnknown, match="in the midst of COMMIT"):
        await writer.write([add("perhaps")])
    assert await writer.write([add("after")]) == [None]
    assert {"before", "after"} <= set(database.notes()) <= {"before", "after", "perhaps"}


async def test_s16_a_damaged_file_is_an_outage_for_writers_and_readers(database: Database, writer: Writer) -> None:
    whole = database.path.read_bytes()
    database.path.write_bytes(b"garbage " * 2048)
    reader = Reader(open_engine(parse_url(database.url), "read"))
    with contextlib.closing(reader):
        for question in (writer.write([add("a")]), reader.read(select(note))):
            with pytest.raises(StoreUnavailable, match="restore it from a backup"):
                await question
        database.path.write_bytes(whole)
        assert await writer.write([add("b")]) == [None]
        assert len(await reader.read(select(note))) == 1


async def test_s16_a_file_cut_short_is_an_outage(database: Database, writer: Writer) -> None:
    database.path.write_bytes(database.path.read_bytes()[:5000])
    with pytest.raises(StoreUnavailable, match="the file is damaged"):
        await writer.write([add("a")])


async def test_a_lock_file_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "gone" / "test.db.lock")
    with pytest.raises(StoreUnavailable, match=r"test\.db\.lock cannot be used: No such file or directory"), lock:
        pass


async def test_units_get_the_lock_s_failure(database: Database) -> None:
    url = parse_url(database.url)
    engine = open_engine(url, "write")
    writer = Writer(engine, FileLock(database.path / "test.db.lock"))
    with contextlib.closing(writer), pytest.raises(StoreUnavailable, match="Not a directory"):
        await writer.write([add("a")])
    assert "Not a directory" in str(writer.counters.last_error)
