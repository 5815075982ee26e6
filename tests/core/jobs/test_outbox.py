"""The outbox's rows: leased once, tried again later, kept when dead, kept out when repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from gateway.jobs import outbox
from gateway.jobs.outbox import PURGED_AT_ONCE, Finish, Lease, LeasedJob, add_write, next_try
from gateway.routing.effects import Job
from gateway.store.schema import job as job_table
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from tests.core.gateways import NOW


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    await asyncio.to_thread(upgrade, store_url, [CORE])
    opened = Store.open(store_url)
    yield opened
    await asyncio.to_thread(opened.close)


async def add(store: Store, *jobs: Job, now: float = NOW) -> None:
    await store.write([add_write(f"{job.key or 'nokey'}{number}", job, now) for number, job in enumerate(jobs)])


async def lease(store: Store, *, now: float = NOW, instance: str = "desk1", count: int = 20) -> list[LeasedJob]:
    (jobs,) = await store.write([Write(outbox.lease, Lease(instance, now, now + 900, count))])
    found: list[LeasedJob] = jobs
    return found


async def finish(store: Store, *ends: Finish) -> None:
    await store.write([Write(outbox.finish, end) for end in ends])


async def rows(store: Store, *columns: str) -> Sequence[tuple[Any, ...]]:
    found = await store.read(select(job_table).order_by(job_table.c.id))
    return [tuple(row._mapping[column] for column in columns) for row in found]


def note(key: str = "k", **more: Any) -> Job:
    return Job("note", {"n": 1}, key, **{"owner": "crm", **more})


async def test_a_job_comes_back_as_it_was_given(store: Store) -> None:
    await add(store, note(content=b"\x00bytes\r\n"))
    (leased,) = await lease(store)
    assert leased.job == Job("note", {"n": 1}, "k", "crm", b"\x00bytes\r\n")
    assert (leased.attempts, leased.created_at) == (1, NOW)


async def test_a_job_without_an_owner_is_the_cores(store: Store) -> None:
    await add(store, note(owner=""))
    assert await rows(store, "owner") == [("core",)]


async def test_equal_keys_are_one_job_and_no_key_is_none(store: Store) -> None:
    await add(store, note("a"), note("a"), note("a", owner="other"), note(""), note(""))
    assert sorted(map(str, await rows(store, "owner", "key"))) == [
        "('crm', 'a')", "('crm', None)", "('crm', None)", "('other', 'a')",
    ]  # fmt: skip


async def test_a_leased_job_is_nobody_elses_until_its_time(store: Store) -> None:
    await add(store, note())
    assert len(await lease(store)) == 1
    assert await lease(store, instance="desk2", now=NOW + 899) == []
    (again,) = await lease(store, instance="desk2", now=NOW + 901)
    assert again.attempts == 2
    assert await rows(store, "leased_by") == [("desk2",)]


async def test_two_askers_of_one_group_share_the_jobs(store: Store) -> None:
    await add(store, note("a"), note("b"), note("c"))
    asked = [Write(outbox.lease, Lease(name, NOW, NOW + 900, 2)) for name in ("desk1", "desk2")]
    one, two = await asyncio.gather(*(store.write([each]) for each in asked))
    assert sorted(each.job.key for (found,) in (one, two) for each in found) == ["a", "b", "c"]


async def test_the_oldest_come_first_and_the_future_waits(store: Store) -> None:
    await add(store, note("late"), now=NOW + 1)
    await add(store, note("new"), now=NOW)
    await add(store, note("old"), now=NOW - 1)
    assert [leased.job.key for leased in await lease(store, count=5)] == ["old", "new"]


async def test_done_keeps_the_key_only(store: Store) -> None:
    await add(store, note(content=b"mail"))
    (leased,) = await lease(store)
    await finish(store, Finish(leased.id, NOW + 5))
    assert await rows(store, "state", "key", "payload", "content", "leased_by") == [("done", "k", "{}", None, None)]
    await add(store, note(), now=NOW + 6)  # the same thing reported once more
    assert await lease(store, now=NOW + 10) == []


async def test_another_try_and_a_dead_letter(store: Store) -> None:
    await add(store, note("again"), note("dead"))
    first, second = await lease(store)
    ends = [Finish(first.id, NOW, "busy", due_at=NOW + 60), Finish(second.id, NOW, "x" * 5000, dead=True)]
    await finish(store, *ends)
    found = await rows(store, "key", "state", "due_at", "last_error", "leased_until")
    assert found == [("again", "due", NOW + 60, "busy", None), ("dead", "dead", NOW, "x" * 1000, None)]
    assert await lease(store, now=NOW + 59) == []
    assert [leased.job.key for leased in await lease(store, now=NOW + 1e6)] == ["again"]
    assert json.loads((await rows(store, "payload"))[1][0]) == {"n": 1}


async def test_purge_deletes_old_done_jobs_in_pieces_and_no_other(store: Store) -> None:
    done = [note(f"d{number:04}") for number in range(PURGED_AT_ONCE + 3)]
    await add(store, *done)
    await finish(store, *(Finish(leased.id, NOW) for leased in await lease(store, count=5000)))
    await add(store, note("due"), note("dead"), note("young"), now=NOW + 100)
    (due, dead, young) = sorted(await lease(store, now=NOW + 100), key=lambda each: each.job.key)[::-1]
    assert (due.job.key, dead.job.key, young.job.key) == ("young", "due", "dead")
    await finish(store, Finish(due.id, NOW + 200), Finish(young.id, NOW, dead=True))
    deleted = [(await store.write([Write(outbox.purge, NOW + 150)]))[0] for _ in range(3)]
    assert deleted == [PURGED_AT_ONCE, 3, 0]
    assert sorted(await rows(store, "key", "state")) == [("dead", "dead"), ("due", "due"), ("young", "done")]


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 60), (2, 300), (3, 900), (4, 3600), (100, 3600)])
def test_pauses_grow(attempts: int, seconds: float) -> None:
    assert next_try(attempts) == seconds
