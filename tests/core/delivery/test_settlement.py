"""When commit B and the closing are written: held for the confirmation, at once, or later by somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.delivery import settlement
from gateway.delivery.transport import Batch, Outcome
from gateway.mail.envelope import Recipient
from gateway.store.schema import journal_step
from gateway.store.store import BatchFunction
from tests.core.delivery.batches import ANNA
from tests.core.gateways import HELLO, OUTBOUND, Running, running
from tests.databases import locked, on_both_databases, url_of

pytestmark = on_both_databases

TO = "anna@example.test"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, tables=OUTBOUND) as found:
        yield found


async def rows(gateway: Running) -> list[tuple[str, bool]]:
    """State and whether it is closed, once the writer has what was queued; what is held stays held."""
    await gateway.gateway.store.write([])
    found = await gateway.gateway.store.read(select(journal_step.c.state, journal_step.c.closed_at))
    return [(row.state, row.closed_at is not None) for row in found]


async def test_an_outcome_waits_for_its_confirmation_and_goes_with_it(gateway: Running) -> None:
    sent = await gateway.send(TO, confirm=False)
    assert await rows(gateway) == [("sending", False)]
    gateway.confirm(sent)
    assert await rows(gateway) == [("done", True)]


async def test_an_outcome_does_not_wait_for_ever(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "HOLD_SECONDS", 0.01)
    sent = await gateway.send(TO, confirm=False)
    for _ in range(1000):
        if await rows(gateway) == [("done", False)]:
            break
        await asyncio.sleep(0.01)
    gateway.confirm(sent)
    assert await rows(gateway) == [("done", True)]


async def test_a_confirmation_counts_once(gateway: Running) -> None:
    sent = await gateway.send(TO)
    first = await gateway.steps("attempts", "closed_at")
    gateway.clock.now += 5
    gateway.confirm(sent)
    gateway.confirm(sent)
    (attempts, closed_at) = (await gateway.steps("attempts", "closed_at"))[0]
    assert (attempts, closed_at) == (1, gateway.clock.now)
    assert first[0][0] == 1


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.DEFERRED, Outcome.UNKNOWN])
async def test_what_is_not_done_is_written_before_the_reply(gateway: Running, outcome: Outcome) -> None:
    gateway.mail.answer(TO, outcome)
    sent = await gateway.send(TO, confirm=False)
    found = await gateway.gateway.store.read(select(journal_step.c.state))
    assert [row.state for row in found] == [outcome.value]
    gateway.confirm(sent)
    assert await rows(gateway) == [(outcome.value, outcome is Outcome.REFUSED)]


async def test_a_notification_and_its_outcome_are_written_before_the_reply(gateway: Running) -> None:
    await gateway.send(Recipient(ANNA, ("SUCCESS",)), confirm=False)
    found = await gateway.gateway.store.read(select(journal_step.c.state))
    assert [row.state for row in found] == ["done"]
    assert await gateway.notifications() == [("delivered", TO)]


async def test_a_clean_stop_writes_what_is_held_and_holds_nothing_more(gateway: Running) -> None:
    await gateway.send(TO, confirm=False)
    await gateway.gateway.pipeline.settled()
    assert await rows(gateway) == [("done", False)]
    await gateway.send(TO, raw=HELLO + b"more\r\n", confirm=False)
    assert await rows(gateway) == [("done", False)] * 2


async def test_a_held_outcome_that_the_store_does_not_take_stays_with_the_writer(gateway: Running) -> None:
    sent = await gateway.send(TO, confirm=False)
    with locked(url_of(gateway.directory)):
        gateway.confirm(sent)
        other = await gateway.send("bo@example.test", raw=HELLO + b"more\r\n")  # makes the writer try
    assert other.code == 451
    assert await rows(gateway) == [("done", True)]


async def test_leases_end_with_the_attempt(gateway: Running) -> None:
    for outcome in (Outcome.DEFERRED, Outcome.UNKNOWN, Outcome.DONE):
        gateway.mail.answer(TO, outcome)
        leased: list[object] = []

        def look(batch: Batch, leased: list[object] = leased) -> None:
            leased.append(batch)

        gateway.mail.on_batch = look
        await gateway.send(TO)
        assert await gateway.steps("leased_by", "leased_until") == [("", 0.0)]
        assert len(leased) == 1


async def test_commit_b_is_one_unit_and_made_of_functions_that_the_writer_can_merge(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function made anew for each message would be one statement for each message."""
    functions: set[BatchFunction] = set()
    units: list[int] = []
    write_soon = gateway.gateway.store.write_soon

    def count(writes, **more):  # type: ignore[no-untyped-def]
        units.append(len(writes))
        functions.update(write.function for write in writes)
        write_soon(writes, **more)

    monkeypatch.setattr(gateway.gateway.store, "write_soon", count)
    for number in range(5):
        await gateway.send(TO, raw=HELLO + b"%d\r\n" % number)
    assert units == [1] * 5
    assert len(functions) == 1
