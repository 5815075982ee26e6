"""The reader: many at a time, read only, everything committed before is seen."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import bindparam, event, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.errors import StoreUnavailable
from gateway.store.engine import open_engine, parse_url
from gateway.store.reader import Reader
from gateway.store.writer import Writer
from tests.core.store.conftest import Database, add, note

NUMBER = select(note.c.number).where(note.c.id == bindparam("name"))


@pytest.fixture
def reader(database: Database) -> Iterator[Reader]:
    reader = Reader(open_engine(parse_url(database.url), "read"))
    with contextlib.closing(reader):
        yield reader


async def test_two_hundred_readers_get_their_own_rows(reader: Reader, writer: Writer) -> None:
    await writer.write([add(f"n{number}", number) for number in range(200)])
    answers = await asyncio.gather(*(reader.read(NUMBER, {"name": f"n{number}"}) for number in range(200)))
    assert [[tuple(row) for row in rows] for rows in answers] == [[(number,)] for number in range(200)]


async def test_a_commit_is_seen_by_every_read_that_follows(reader: Reader, writer: Writer) -> None:
    for number in range(5):
        await writer.write([add(f"n{number}")])
        assert len(await reader.read(select(note))) == number + 1


async def test_a_bad_query_fails_alone(reader: Reader) -> None:
    questions = reader.read(text("SELECT * FROM nowhere")), reader.read(select(note))
    answers = await asyncio.gather(*questions, return_exceptions=True)
    assert isinstance(answers[0], DBAPIError)
    assert "nowhere" in str(answers[0])
    assert answers[1] == []


async def test_nothing_can_be_written_through_it(database: Database, reader: Reader) -> None:
    with pytest.raises(StoreUnavailable, match=r"read-?only"):
        await reader.read(text("DELETE FROM note RETURNING id"))
    assert await reader.read(select(note)) == []


async def test_a_cancelled_question_is_not_in_the_way(reader: Reader) -> None:
    task = asyncio.create_task(reader.read(select(note)))
    await asyncio.sleep(0)
    task.cancel()
    assert await reader.read(select(note)) == []
    assert task.cancelled() or task.cancelling()


@pytest.mark.parametrize(("losses", "unavailable"), [(1, False), (2, True)])
async def test_a_lost_connection_is_replaced_once(database: Database, losses: int, unavailable: bool) -> None:
    engine = open_engine(parse_url(database.url), "read")
    reader = Reader(engine, threads=1)
    to_lose = [OperationalError("", None, OSError("gone"), connection_invalidated=True) for _ in range(losses)]

    def lose(*_: object) -> None:
        if to_lose:
            raise to_lose.pop()

    with contextlib.closing(reader):
        assert await reader.read(select(note)) == []
        event.listen(engine, "before_cursor_execute", lose)
        with pytest.raises(StoreUnavailable, match="gone") if unavailable else contextlib.nullcontext():
            assert await reader.read(select(note)) == []
        assert await reader.read(select(note)) == []


async def test_an_answer_that_takes_too_long_is_not_waited_for(database: Database) -> None:
    engine = open_engine(parse_url(database.url), "read")
    is_answering = threading.Event()
    asked: list[object] = []

    def wait(*_: object) -> None:
        asked.append(1)
        is_answering.wait()

    event.listen(engine, "before_cursor_execute", wait)
    with contextlib.closing(Reader(engine, threads=1, patience_seconds=0.05)) as reader:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=r"did not answer a question within 0\.05 s"):
                await reader.read(select(note))
        is_answering.set()
    assert len(asked) == 1  # the first is with the database, and for the others nobody waits any more


async def test_close_answers_what_was_asked_and_refuses_what_comes_later(database: Database) -> None:
    reader = Reader(open_engine(parse_url(database.url), "read"))
    tasks = [asyncio.create_task(reader.read(select(note))) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(reader.close)
    assert await asyncio.gather(*tasks) == [[]] * 20
    reader.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await reader.read(select(note))
