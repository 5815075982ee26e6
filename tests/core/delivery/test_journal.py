"""The journal on a real database: the rules of docs/journal.md as they reach the rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, func, select

from gateway.delivery.journal import DELIVERED_ALREADY, Begin, Begun, Identity, Journal
from gateway.delivery.journal_rows import Purge
from gateway.delivery.journal_rules import Decision, State
from gateway.errors import CommitUnknown
from gateway.mail.address import Address
from gateway.mail.envelope import Recipient
from gateway.mail.reply import ACCEPTED, NEXT_HOP_DOWN, UNKNOWN_USER, Reply
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, PlannedStep, RecipientPlan
from gateway.routing.route import Discard, Refuse
from gateway.store.schema import job, journal_entry, journal_step
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade

NOW = 1_800_000_000.0
SENDER = "s@out.test"
notes = Table("plugin_notes", MetaData(), Column("id", Text, primary_key=True), Column("text", Text))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    await asyncio.to_thread(upgrade, store_url, [CORE])
    opened = Store.open(store_url)
    yield opened
    await asyncio.to_thread(opened.close)


@pytest.fixture
def journal(store: Store) -> Journal:
    return journal_of(store)


def journal_of(store: Store, identity: Identity | None = None) -> Journal:
    return Journal(store, identity or Identity("n1", "boot1", "n1-boot1-1"), 3600, {notes.name: notes})


def plan(recipient: str, *finals: str) -> RecipientPlan:
    steps = [DeliverStep(Address.parse(final), Address.parse(SENDER), "mail") for final in finals or (recipient,)]
    return RecipientPlan(Recipient(Address.parse(recipient)), tuple(PlannedStep(step) for step in steps))


def begin(transaction: str, *plans: RecipientPlan, digest: str = "d1", now: float = NOW) -> Begin:
    by_key = {each.original.address.key: each for each in plans}
    return Begin(transaction, SENDER, digest, transaction, tuple(by_key), by_key, (), (), now, now + 600)


async def finish(journal: Journal, store: Store, begun: Begun, state: State, reply: Reply = ACCEPTED) -> None:
    writes = [
        journal.finish_write(step, state, reply, attempted=True, now=NOW + 1)
        for steps in begun.steps.values()
        for step in steps
        if step.state is State.SENDING
    ]
    await store.write(writes)


async def close(journal: Journal, store: Store, begun: Begun) -> None:
    pairs = [(steps[0].entry_id, recipient) for recipient, steps in begun.steps.items()]
    await store.write(journal.close_writes(pairs, NOW + 2))


async def test_a_new_message_stands_as_sending_before_anything_is_sent(journal: Journal, store: Store) -> None:
    begun = await journal.begin(begin("t1", plan("a@x.test"), plan("b@x.test")))
    assert begun.decisions == {"a@x.test": Decision.NEW, "b@x.test": Decision.NEW}
    rows = await store.read(select(journal_step.c.recipient, journal_step.c.state, journal_step.c.leased_by))
    assert sorted(map(tuple, rows)) == [
        ("a@x.test", "sending", "n1-boot1-1"),
        ("b@x.test", "sending", "n1-boot1-1"),
    ]
    assert begun.entry_ids == ["t1"]


async def test_a_retry_runs_the_stored_plan_and_only_what_is_missing(journal: Journal, store: Store) -> None:
    first = await journal.begin(begin("t1", plan("a@x.test", "m1@x.test", "m2@x.test")))
    done, missing = first.steps["a@x.test"]
    await store.write(
        [
            journal.finish_write(done, State.DONE, ACCEPTED, attempted=True, now=NOW),
            journal.finish_write(missing, State.DEFERRED, NEXT_HOP_DOWN, attempted=True, now=NOW),
        ]
    )
    again = await journal.begin(begin("t2", plan("a@x.test", "another@x.test"), now=NOW + 60))
    assert again.decisions == {"a@x.test": Decision.RETRY}
    states = [
        (step.step.to.local, step.state) for step in again.steps["a@x.test"] if isinstance(step.step, DeliverStep)
    ]
    assert states == [("m1", State.DONE), ("m2", State.SENDING)]
    assert again.steps["a@x.test"][0].reply == ACCEPTED


async def test_a_second_client_meets_a_running_attempt(journal: Journal) -> None:
    await journal.begin(begin("t1", plan("a@x.test")))
    again = await journal.begin(begin("t2", plan("a@x.test")))
    assert again.decisions == {"a@x.test": Decision.BUSY}
    assert "a@x.test" not in again.steps


async def test_equal_messages_in_one_batch_see_each_other(journal: Journal) -> None:
    both = await asyncio.gather(
        journal.begin(begin("t1", plan("a@x.test"))), journal.begin(begin("t2", plan("a@x.test")))
    )
    assert sorted(begun.decisions["a@x.test"] for begun in both) == [Decision.BUSY, Decision.NEW]


async def test_equal_discarded_messages_in_one_batch(journal: Journal) -> None:
    drop = RecipientPlan(Recipient(Address.parse("a@x.test")), (PlannedStep(Discard("unwanted")),))
    both = await asyncio.gather(journal.begin(begin("t1", drop)), journal.begin(begin("t2", drop)))
    assert sorted(begun.decisions["a@x.test"] for begun in both) == [Decision.ANSWERED, Decision.NEW]
    assert all(begun.steps["a@x.test"][0].state is State.DONE for begun in both)


async def test_a_split_message_joins_and_its_shared_copy_is_not_sent_twice(journal: Journal, store: Store) -> None:
    first = await journal.begin(begin("t1", plan("a@x.test", "team@x.test")))
    await finish(journal, store, first, State.DONE)
    rest = await journal.begin(begin("t2", plan("b@x.test", "team@x.test", "b@x.test"), now=NOW + 30))
    assert rest.decisions == {"b@x.test": Decision.JOIN}
    shared, own = rest.steps["b@x.test"]
    assert (shared.state, shared.reply) == (State.DONE, DELIVERED_ALREADY)
    assert own.state is State.SENDING
    assert rest.entry_ids == ["t1"]
    assert (await store.read(select(func.count()).select_from(journal_entry)))[0][0] == 1


async def test_confirmed_bytes_sent_again_are_delivered_again(journal: Journal, store: Store) -> None:
    first = await journal.begin(begin("t1", plan("a@x.test")))
    await finish(journal, store, first, State.DONE)
    lost = await journal.begin(begin("t2", plan("a@x.test"), now=NOW + 5))
    assert lost.decisions == {"a@x.test": Decision.ANSWERED}
    assert lost.steps["a@x.test"][0].state is State.DONE
    await close(journal, store, first)
    on_purpose = await journal.begin(begin("t3", plan("a@x.test"), now=NOW + 10))
    assert on_purpose.decisions == {"a@x.test": Decision.NEW}
    assert on_purpose.entry_ids == ["t3"]


async def test_records_and_jobs_stand_once_whatever_is_retried(journal: Journal, store: Store) -> None:
    await store.write([_create_notes()])
    request = replace(
        begin("t1", plan("a@x.test")),
        records=(Record(notes.name, {"id": "1", "text": "activity"}),),
        jobs=(("j1", Job("remind", {}, "k1", "crm")),),
    )
    first = await journal.begin(request)
    await finish(journal, store, first, State.DEFERRED, NEXT_HOP_DOWN)
    again = await journal.begin(replace(request, transaction_id="t2", entry_id="t2"))
    assert again.decisions == {"a@x.test": Decision.RETRY}
    assert len(await store.read(select(notes))) == 1
    (row,) = await store.read(select(job))
    assert (row.entry_id, row.owner, row.due_at > NOW + 86_400) == ("t1", "crm", True)
    await store.write([journal.jobs_due_write("t1", NOW + 9)])
    (row,) = await store.read(select(job))
    assert row.due_at == NOW + 9


async def test_a_failing_record_leaves_nothing_and_hurts_nobody_else(journal: Journal, store: Store) -> None:
    await store.write([_create_notes()])
    guilty = replace(begin("t1", plan("a@x.test")), records=(Record(notes.name, {"id": None, "text": "x"}),))
    innocent = begin("t2", plan("b@x.test"), digest="d2")
    outcome = await asyncio.gather(journal.begin(guilty), journal.begin(innocent), return_exceptions=True)
    assert isinstance(outcome[0], Exception)
    assert isinstance(outcome[1], Begun)
    rows = await store.read(select(journal_step.c.recipient))
    assert [row.recipient for row in rows] == ["b@x.test"]


async def test_a_dead_worker_leaves_unknown_steps_and_no_lease(store: Store) -> None:
    before = journal_of(store, Identity("n1", "boot1", "n1-boot1-1"))
    await before.begin(begin("t1", plan("a@x.test")))
    other_node = journal_of(store, Identity("n2", "boot7", "n2-boot7-1"))
    await other_node.begin(begin("t9", plan("z@x.test"), digest="d9"))
    successor = journal_of(store, Identity("n1", "boot1", "n1-boot1-2", ("n1-boot1-1",)))
    await successor.recover(NOW + 3)
    rows = await store.read(
        select(journal_step.c.recipient, journal_step.c.state, journal_step.c.doubts, journal_step.c.leased_by)
    )
    assert sorted(map(tuple, rows)) == [
        ("a@x.test", "unknown", 1, ""),
        ("z@x.test", "sending", 0, "n2-boot7-1"),
    ]
    again = await successor.begin(begin("t2", plan("a@x.test"), now=NOW + 4))
    assert again.decisions == {"a@x.test": Decision.RETRY}


async def test_the_first_start_frees_what_every_earlier_boot_of_this_node_held(store: Store) -> None:
    await journal_of(store, Identity("n1", "boot1", "n1-boot1-4")).begin(begin("t1", plan("a@x.test")))
    now_running = journal_of(store, Identity("n1", "boot2", "n1-boot2-2"))
    await now_running.begin(begin("t2", plan("b@x.test"), digest="d2"))
    await journal_of(store, Identity("n1", "boot2", "n1-boot2-1", (), True)).recover(NOW)
    rows = await store.read(select(journal_step.c.recipient, journal_step.c.state))
    assert sorted(map(tuple, rows)) == [("a@x.test", "unknown"), ("b@x.test", "sending")]


async def test_a_lease_that_ran_out_counts_as_a_doubt(journal: Journal, store: Store) -> None:
    await journal.begin(begin("t1", plan("a@x.test")))
    again = await journal.begin(begin("t2", plan("a@x.test"), now=NOW + 601))
    assert again.decisions == {"a@x.test": Decision.RETRY}
    (row,) = await store.read(select(journal_step.c.doubts, journal_step.c.transaction_id))
    assert tuple(row) == (1, "t2")


async def test_the_late_truth_corrects_unknown_and_nothing_else(journal: Journal, store: Store) -> None:
    begun = await journal.begin(begin("t1", plan("a@x.test")))
    await finish(journal, store, begun, State.UNKNOWN, NEXT_HOP_DOWN)
    (step,) = begun.steps["a@x.test"]
    await store.write([journal.correct_write(step, State.DONE, ACCEPTED, NOW + 9)])
    await store.write([journal.correct_write(step, State.REFUSED, UNKNOWN_USER, NOW + 9)])
    (row,) = await store.read(select(journal_step.c.state, journal_step.c.doubts))
    assert tuple(row) == ("done", 1)


async def test_a_refusal_does_not_override_a_stored_plan(journal: Journal, store: Store) -> None:
    first = await journal.begin(begin("t1", plan("a@x.test")))
    await finish(journal, store, first, State.DEFERRED, NEXT_HOP_DOWN)
    assert await journal.has_open(SENDER, "d1")
    assert not await journal.has_open(SENDER, "d2")
    only_stored = replace(begin("t2", plan("a@x.test"), plan("b@x.test"), now=NOW + 5), plans={})
    again = await journal.begin(only_stored)
    assert again.decisions == {"a@x.test": Decision.RETRY}
    assert [step.state for step in again.steps["a@x.test"]] == [State.SENDING]


async def test_steps_that_hand_nothing_on_are_settled_at_once(journal: Journal) -> None:
    refuse = RecipientPlan(Recipient(Address.parse("a@x.test")), (PlannedStep(Refuse(UNKNOWN_USER)),))
    later = RecipientPlan(Recipient(Address.parse("b@x.test")), (PlannedStep(Refuse(NEXT_HOP_DOWN)),))
    begun = await journal.begin(begin("t1", refuse, later))
    assert [begun.steps[key][0].state for key in ("a@x.test", "b@x.test")] == [State.REFUSED, State.DEFERRED]


async def test_two_processes_that_begin_the_same_messages_at_once_do_not_both_get_them(
    journal: Journal, store_url: str
) -> None:
    other_store = Store.open(store_url)
    other = journal_of(other_store, Identity("n2", "boot1", "n2-boot1-1"))
    try:
        for number in range(20):
            new = begin(f"t{number}", plan("a@x.test"), digest=f"d{number}")
            again = replace(new, transaction_id=f"u{number}", entry_id=f"u{number}")
            both = await asyncio.gather(journal.begin(new), other.begin(again))
            assert sorted(begun.decisions["a@x.test"] for begun in both) == [Decision.BUSY, Decision.NEW]
    finally:
        await asyncio.to_thread(other_store.close)


async def test_s4_a_commit_a_that_may_stand_keeps_its_sender_waiting_for_no_lease(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = journal_of(store)
    deferred = await first.begin(begin("t0", plan("b@x.test"), digest="d0"))
    await finish(first, store, deferred, State.DEFERRED, NEXT_HOP_DOWN)
    lost_answer = store.write

    async def commit_and_lose_the_answer(*given: Any, **more: Any) -> list[Any]:
        await lost_answer(*given, **more)
        raise CommitUnknown("gone")

    monkeypatch.setattr(store, "write", commit_and_lose_the_answer)
    for request in (begin("t1", plan("a@x.test")), begin("t2", plan("b@x.test"), digest="d0", now=NOW + 60)):
        with pytest.raises(CommitUnknown):
            await first.begin(request)
    monkeypatch.undo()
    await store.write([])
    new = await first.begin(begin("t3", plan("a@x.test"), now=NOW + 1))
    assert new.decisions == {"a@x.test": Decision.REPLAN}  # nothing was handed on
    again = await first.begin(begin("t4", plan("b@x.test"), digest="d0", now=NOW + 61))
    assert again.decisions == {"b@x.test": Decision.RETRY}
    rows = await store.read(select(journal_step.c.state, journal_step.c.transaction_id, journal_step.c.doubts))
    assert sorted(map(tuple, rows)) == [("sending", "t3", 0), ("sending", "t4", 0)]


PURGES = [
    ("closed, joining is over", State.DONE, True, 3600 + 10, True),
    ("closed, others may still join", State.DONE, True, 3000, False),
    ("finished, the reply was lost an hour ago", State.DONE, False, 2 * 3600, False),
    ("finished, the reply was lost a day ago", State.DONE, False, 25 * 3600, True),
    ("unfinished for a week", State.DEFERRED, False, 7 * 86_400, False),
    ("unfinished for nine days", State.DEFERRED, False, 9 * 86_400, True),
]


@pytest.mark.parametrize(
    ("state", "closed", "age", "gone"), [row[1:] for row in PURGES], ids=[row[0] for row in PURGES]
)
async def test_purge(journal: Journal, store: Store, state: State, closed: bool, age: float, gone: bool) -> None:
    begun = await journal.begin(begin("t1", plan("a@x.test")))
    await finish(journal, store, begun, state)
    if closed:
        await close(journal, store, begun)
    deleted = await journal.purge(Purge(NOW + age, 3600, 8 * 86_400, 24 * 3600))
    assert deleted == int(gone)
    rows = await store.read(select(journal_step.c.entry_id))
    assert len(rows) == int(not gone)


def _create_notes() -> Write:
    def create(connection: Connection, payloads: Sequence[Any], /) -> Sequence[None]:
        notes.create(connection)
        return [None] * len(payloads)

    return Write(create, None)
