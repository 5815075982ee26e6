"""The outbox as an admin sees it: what waits and what is dead; one tried again or dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.jobs import listing, outbox
from gateway.jobs.listing import Counts
from gateway.jobs.outbox import Finish, Lease, add_write
from gateway.routing.effects import Job
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from tests.core.gateways import NOW

LATER = NOW + 600


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """Jobs: `new` is due, `again` failed once, `gone` is dead, `over` is done, `held` is worked on."""
    await asyncio.to_thread(upgrade, store_url, [CORE])
    opened = Store.open(store_url)
    for name in ("again", "gone", "over", "held", "new"):
        await opened.write([add_write(name, Job("note", {"secret": "canary"}, name, "crm", b"canary"), NOW)])
    await opened.write([Write(outbox.lease, Lease("desk1", NOW, NOW + 900, 4))])
    for end in (
        Finish("again", NOW, "451 later", due_at=NOW + 60),
        Finish("gone", NOW, "550 never", dead=True),
        Finish("over", NOW),
    ):
        await opened.write([Write(outbox.finish, end)])
    yield opened
    await asyncio.to_thread(opened.close)


async def states(store: Store, *wanted: str) -> dict[str, str]:
    return {job.id: job.state for job in await listing.jobs(store, wanted, now=NOW)}


async def test_dead_letters_come_first_and_what_is_done_does_not_come(store: Store) -> None:
    found = await listing.jobs(store, now=NOW)
    assert found[0].id == "gone"
    assert {job.id: job.state for job in found} == {"gone": "dead", "new": "due", "held": "due", "again": "failed"}
    assert (found[0].last_error, found[0].attempts, found[0].key, found[0].owner) == ("550 never", 1, "gone", "crm")
    assert {job.id for job in found if job.leased} == {"held"}
    assert "canary" not in str([job.to_json() for job in found])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["dead"], {"gone"}),
        (["failed"], {"again"}),
        (["due"], {"new", "held"}),
        (["dead", "failed"], {"gone", "again"}),
    ],
)
async def test_states_can_be_asked_for(store: Store, wanted: list[str], expected: set[str]) -> None:
    assert set(await states(store, *wanted)) == expected


async def test_at_most_so_many(store: Store) -> None:
    assert [job.id for job in await listing.jobs(store, now=NOW, count=1)] == ["gone"]


async def test_a_dead_letter_that_is_tried_again_is_new(store: Store) -> None:
    assert await listing.try_again(store, "gone", LATER)
    found = await listing.find_job(store, "gone", LATER)
    assert found is not None
    assert (found.attempts, found.created_at, found.due_at) == (0, LATER, LATER)
    (leased,) = [
        job
        for job in (await store.write([Write(outbox.lease, Lease("desk2", LATER, LATER + 900))]))[0]
        if job.id == "gone"
    ]
    assert leased.job.payload == {"secret": "canary"}
    assert leased.job.content == b"canary"


@pytest.mark.parametrize("change", [listing.try_again, listing.drop])
@pytest.mark.parametrize("job", ["held", "over", "unheard-of"])
async def test_what_runs_is_done_or_unknown_is_left_alone(store: Store, change: object, job: str) -> None:
    before = await states(store)
    assert not await change(store, job, NOW)  # type: ignore[operator]
    assert await states(store) == before


async def test_what_is_dropped_is_gone(store: Store) -> None:
    assert await listing.drop(store, "gone", NOW)
    assert await listing.find_job(store, "gone", NOW) is None


async def test_counts(store: Store) -> None:
    assert await listing.counts(store) == Counts(3, 1, 0, NOW, None)
    for job in ("gone", "new", "again"):
        await listing.drop(store, job, NOW)
    await store.write([Write(outbox.finish, Finish("held", NOW))])
    assert await listing.counts(store) == Counts(0, 0, 0, None, None)
