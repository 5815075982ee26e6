"""The writer: group commit, blame, cancellation, deadlines, lazy units, closing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gateway.errors import StoreUnavailable
from gateway.store.writer import Write, Writer
from tests.core.store.conftest import Database, Gate, add, note


def look_up(connection: Connection, names: Sequence[Any], /) -> Sequence[Any]:
    rows = connection.execute(select(note.c.id, note.c.number).where(note.c.id.in_(names)))
    numbers = {row.id: row.number for row in rows}
    return [numbers.get(name) for name in names]


def raising(error: BaseException) -> Write:
    def fail(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        raise error

    return Write(fail, None)


async def queue(
    writer: Writer, *units: Sequence[Write], deadline: float | None = None
) -> list[asyncio.Task[list[Any]]]:
    """Bring every unit to the writer's queue without waiting for its commit."""
    tasks = [asyncio.create_task(writer.write(unit, deadline=deadline)) for unit in units]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_together_is_one_transaction_with_few_statements_for_each_function(
    database: Database, writer: Writer, gate: Gate
) -> None:
    held = await gate.hold(writer)
    tasks = await queue(writer, *([add(f"n{number}", number), Write(look_up, f"n{number}")] for number in range(20)))
    gate.open()
    results = await asyncio.gather(held, *tasks)
    assert results[1:] == [[None, number] for number in range(20)]
    assert database.statements.committed == 2
    executed = [(words.split()[0], rows) for words, rows in database.statements.executed]
    assert executed == [("INSERT", 16), ("INSERT", 4), ("SELECT", 1)]
    assert writer.counters.commits == 2
    assert writer.counters.units == 21


async def test_a_group_is_never_larger_than_max_batch(database: Database, gate: Gate) -> None:
    writer = database.writer(max_batch=8)
    with contextlib.closing(writer):
        held = await gate.hold(writer)
        tasks = await queue(writer, *([add(f"n{number:02}")] for number in range(20)))
        gate.open()
        await asyncio.gather(held, *tasks)
    assert [rows for _, rows in database.statements.executed] == [8, 8, 4]


async def test_only_the_guilty_unit_of_a_group_fails(database: Database, writer: Writer, gate: Gate) -> None:
    await writer.write([add("taken")])
    held = await gate.hold(writer)
    tasks = await queue(writer, [add("a")], [add("before"), add("taken")], [add("b")])
    gate.open()
    first, guilty, last = await asyncio.gather(*tasks, return_exceptions=True)
    await held
    assert (first, last) == ([None], [None])
    assert isinstance(guilty, IntegrityError)
    assert database.notes() == ["a", "b", "taken"]  # nothing of the guilty unit, not even its good write
    assert writer.counters.rollbacks == 2  # the group, and the guilty unit alone


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), StopIteration(), KeyboardInterrupt()])
async def test_g2_an_error_that_would_end_more_than_its_unit_arrives_as_an_ordinary_one(
    database: Database, writer: Writer, gate: Gate, error: BaseException
) -> None:
    held = await gate.hold(writer)
    tasks = await queue(writer, [raising(error)], [add("innocent")])
    gate.open()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await held
    assert isinstance(answers[0], RuntimeError)
    assert type(error).__name__ in str(answers[0])
    assert answers[1] == [None]


async def test_a_function_s_own_store_unavailable_blames_nobody_else(database: Database, writer: Writer) -> None:
    units = writer.write([raising(StoreUnavailable("mine"))]), writer.write([add("innocent")])
    answers = await asyncio.gather(*units, return_exceptions=True)
    assert str(answers[0]) == "mine"
    assert answers[1] == [None]


@pytest.mark.parametrize("method", ["close", "commit", "rollback"])
async def test_a_function_that_ends_the_transaction_fails_alone(
    database: Database, writer: Writer, method: str
) -> None:
    def end(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        getattr(connection, method)()
        return [None] * len(payloads)

    units = writer.write([Write(end, None)]), writer.write([add("innocent")])
    answers = await asyncio.gather(*units, return_exceptions=True)
    assert isinstance(answers[0], SQLAlchemyError)
    assert answers[1] == [None]
    assert await writer.write([add("later")]) == [None]
    assert database.notes() == ["innocent", "later"]


async def test_cancelling_a_caller_does_not_cancel_its_commit(database: Database, writer: Writer, gate: Gate) -> None:
    held = await gate.hold(writer)
    (task,) = await queue(writer, [add("committed")])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await held
    await writer.write([])
    assert database.notes() == ["committed"]


async def test_a_unit_whose_deadline_passed_is_dropped_before_its_group_is_built(
    database: Database, writer: Writer, gate: Gate
) -> None:
    held = await gate.hold(writer)
    (late,) = await queue(writer, [add("late")], deadline=time.monotonic() - 1)
    (early,) = await queue(writer, [add("early")], deadline=time.monotonic() + 30)
    with pytest.raises(StoreUnavailable, match="in time"):
        await late  # while the thread is still held
    gate.open()
    await asyncio.gather(held, early)
    assert database.notes() == ["early"]
    assert writer.counters.expired == 1


async def test_a_unit_without_a_deadline_is_not_waited_for_for_ever(database: Database, gate: Gate) -> None:
    writer = database.writer(patience_seconds=0.05)
    with contextlib.closing(writer):
        held = await gate.hold(writer)
        with pytest.raises(StoreUnavailable, match="in time"):
            await writer.write([add("late")])
        gate.open()
        assert await held == [None]  # was taken in time: its commit is waited for
    assert database.notes() == []


async def test_an_earlier_deadline_is_kept_though_a_later_one_was_there_first(
    database: Database, writer: Writer, gate: Gate
) -> None:
    held = await gate.hold(writer)
    (patient,) = await queue(writer, [add("patient")])
    with pytest.raises(StoreUnavailable):
        await writer.write([add("hasty")], deadline=time.monotonic() + 0.02)
    gate.open()
    await asyncio.gather(held, patient)
    assert database.notes() == ["patient"]


async def test_close_commits_what_is_queued_and_refuses_what_comes_later(database: Database, gate: Gate) -> None:
    writer = database.writer(lazy_seconds=60)
    held = await gate.hold(writer)
    tasks = await queue(writer, [add("waiting")])
    writer.write_soon([add("lazy")])
    closing = asyncio.create_task(asyncio.to_thread(writer.close))
    gate.open()
    await asyncio.gather(held, closing, *tasks)
    assert database.notes() == ["lazy", "waiting"]
    writer.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await writer.write([add("too late")])
    with pytest.raises(StoreUnavailable, match="closed"):
        writer.write_soon([add("too late")])


def test_closing_a_writer_that_never_wrote_starts_nothing(database: Database) -> None:
    database.writer().close()
    assert database.statements.begun == 0


async def test_a_lazy_unit_is_committed_though_nobody_else_commits(database: Database, gate: Gate) -> None:
    writer = database.writer(lazy_seconds=0.01)
    with contextlib.closing(writer):
        gate.open()
        writer.write_soon([Write(gate, None), add("lazy")])
        assert await gate.entered()
    assert database.notes() == ["lazy"]
    assert writer.counters.commits == 1


async def test_a_lazy_unit_goes_with_the_next_group_and_before_it(database: Database, gate: Gate) -> None:
    writer = database.writer(lazy_seconds=60)
    with contextlib.closing(writer):
        held = await gate.hold(writer)
        writer.write_soon([add("n", 5)])
        tasks = await queue(writer, [Write(look_up, "n")])
        gate.open()
        assert (await asyncio.gather(held, *tasks))[1] == [5]
    assert database.statements.committed == 2


async def test_an_empty_unit_waits_for_lazy_units_before_it(database: Database) -> None:
    writer = database.writer(lazy_seconds=60)
    with contextlib.closing(writer):
        writer.write_soon([add("lazy")])
        assert await writer.write([]) == []
        assert database.notes() == ["lazy"]


async def test_a_guilty_lazy_unit_is_given_up_alone(database: Database) -> None:
    writer = database.writer(lazy_seconds=60)
    errors: list[BaseException] = []
    with contextlib.closing(writer):
        await writer.write([add("taken")])
        writer.write_soon([add("a")], on_error=errors.append)
        writer.write_soon([add("taken")], on_error=errors.append)
        writer.write_soon([add("b")], on_error=errors.append)
        assert await writer.write([add("waited for")]) == [None]
    assert [type(error) for error in errors] == [IntegrityError]
    assert database.notes() == ["a", "b", "taken", "waited for"]
    assert writer.counters.lazy_given_up == 1


async def test_the_oldest_lazy_unit_is_given_up_when_too_many_wait(database: Database, gate: Gate) -> None:
    writer = database.writer(lazy_seconds=60, max_lazy=2)
    errors: list[str] = []
    with contextlib.closing(writer):
        held = await gate.hold(writer)
        for name in ("first", "second", "third"):
            writer.write_soon([add(name)], on_error=lambda error, name=name: errors.append(f"{name}: {error}"))  # type: ignore[misc]
        gate.open()
        await held
    assert errors == ["first: too many lazy writes are waiting for the store"]
    assert database.notes() == ["second", "third"]


async def test_an_on_error_that_fails_does_not_stop_the_writer(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(error: BaseException) -> None:
        raise ValueError("broken")

    writer = database.writer(lazy_seconds=60)
    with contextlib.closing(writer):
        writer.write_soon([raising(LookupError())], on_error=broken)
        writer.write_soon([raising(LookupError("nobody asked"))])
        assert await writer.write([add("a")]) == [None]
    assert "on_error of a lazy write failed" in caplog.text
    assert "a write that nobody waited for is lost: nobody asked" in caplog.text


async def test_two_event_loops_share_one_writer(database: Database, writer: Writer) -> None:
    async def write_from_a_loop(name: str) -> list[Any]:
        return await writer.write([add(name)])

    results = await asyncio.gather(
        *(asyncio.to_thread(asyncio.run, write_from_a_loop(name)) for name in ("a", "b")), writer.write([add("c")])
    )
    assert results == [[None]] * 3
    assert database.notes() == ["a", "b", "c"]


async def test_a_loop_that_is_gone_does_not_hurt_those_that_stay(
    database: Database, writer: Writer, gate: Gate
) -> None:
    async def leave_a_unit_behind() -> None:
        task = asyncio.create_task(writer.write([add("left")]))
        await asyncio.sleep(0)
        task.cancel()

    held = await gate.hold(writer)
    await asyncio.to_thread(asyncio.run, leave_a_unit_behind())
    (task,) = await queue(writer, [add("stays")])
    gate.open()
    assert [await held, await task] == [[None], [None]]
    assert database.notes() == ["left", "stays"]
