"""The desk's worker: own mail until it is taken or given up, plugins' jobs, and a loop that nothing ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.delivery.transport import Batch, Outcome
from gateway.jobs import worker
from gateway.jobs.outbox import CORE, GIVE_UP_SECONDS, SEND_MAIL, add_write
from gateway.jobs.worker import ABSENT_SECONDS, LEASE_SECONDS, JobWorker
from gateway.mail.reply import UNKNOWN_USER
from gateway.routing.effects import Job
from gateway.store.schema import job as job_table
from gateway.store.store import Write
from tests.core.gateways import NOW, Running, plugin, running
from tests.databases import locked, on_both_databases, url_of

pytestmark = on_both_databases

TO = "out@sender.test"
RUNS = """
seen = []
answer = None

@hookimpl
def register(self, registry):
    registry.job("note", "for tests")

@hookimpl
async def run_job(self, job):
    self.seen.append((job.kind, dict(job.payload), job.key, job.owner, job.content))
    if isinstance(self.answer, asyncio.Event):
        await self.answer.wait()
        return Done()
    if isinstance(self.answer, BaseException):
        raise self.answer
    return self.answer
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    plugin(tmp_path, "crm", RUNS)
    async with running(tmp_path, "crm") as found:
        yield found


def desk(gateway: Running, own_hop: str = "relay") -> JobWorker:
    runner = gateway.gateway.plugins.runner
    return JobWorker(gateway.gateway.store, runner, gateway.gateway.next_hops, own_hop, "desk1", gateway.clock)


async def add(gateway: Running, *jobs: Job) -> None:
    store = gateway.gateway.store
    await store.write([add_write(f"j{number}", job, gateway.clock.now) for number, job in enumerate(jobs)])


def mail(*to: str, content: bytes = b"Subject: report\r\n\r\ntext\r\n", key: str = "k", **more: Any) -> Job:
    payload = {"sender": "", "recipients": list(to or (TO,)), "smtputf8": False, **more}
    return Job(SEND_MAIL, payload, key, CORE, content)


async def states(gateway: Running, *columns: str) -> list[tuple[Any, ...]]:
    await gateway.gateway.store.write([])
    found = await gateway.gateway.store.read(select(job_table).order_by(job_table.c.id))
    return [tuple(row._mapping[column] for column in columns or ("state", "last_error")) for row in found]


def instance(gateway: Running) -> Any:
    loaded = gateway.gateway.plugins.get("crm")
    assert loaded is not None
    return loaded.instance


# Mail of our own


async def test_own_mail_is_sent_as_it_is_and_done(gateway: Running) -> None:
    await add(gateway, mail())
    assert await desk(gateway).run_due() == 1
    (batch,) = gateway.relay.batches
    (copy,) = batch.copies
    assert (batch.sender, str(copy.to), copy.notify, batch.client) == (None, TO, ("NEVER",), None)
    assert gateway.relay.contents == [b"Subject: report\r\n\r\ntext\r\n"]
    assert await states(gateway) == [("done", None)]
    assert await desk(gateway).run_due() == 0


async def test_own_mail_with_a_sender_and_smtputf8(gateway: Running) -> None:
    await add(gateway, mail("j\u00f6rg@sender.test", sender="post@gw.example.test", smtputf8=True))
    await desk(gateway).run_due()
    (batch,) = gateway.relay.batches
    assert (str(batch.sender), batch.smtputf8, str(batch.copies[0].to)) == (
        "post@gw.example.test", True, "j\u00f6rg@sender.test",
    )  # fmt: skip


async def test_own_mail_is_retried_with_growing_pauses(gateway: Running) -> None:
    gateway.relay.answer(TO, *[Outcome.DEFERRED, Outcome.UNKNOWN, Outcome.DEFERRED, Outcome.DEFERRED, Outcome.DEFERRED])
    await add(gateway, mail())
    pauses = []
    while (await states(gateway, "state"))[0][0] == "due":
        (due_at,) = (await states(gateway, "due_at"))[0]
        pauses.append(due_at - gateway.clock.now)
        gateway.clock.now = due_at
        assert await desk(gateway).run_due() == 1
    assert pauses == [0, 60, 300, 900, 3600, 3600]
    assert gateway.relay.delivered[TO] == 1


async def test_own_mail_that_is_refused_is_a_dead_letter(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    gateway.relay.answer(TO, Outcome.REFUSED)
    await add(gateway, mail())
    await desk(gateway).run_due()
    assert await states(gateway) == [("dead", str(UNKNOWN_USER))]
    assert "is a dead letter: 550 5.1.1" in caplog.text


async def test_own_mail_for_several_is_repeated_only_for_who_lacks_it(gateway: Running) -> None:
    slow, gone, unsure = "slow@sender.test", "gone@sender.test", "unsure@sender.test"
    gateway.relay.answer(slow, Outcome.DEFERRED, Outcome.DEFERRED)
    gateway.relay.answer(unsure, Outcome.UNKNOWN)
    gateway.relay.answer(gone, Outcome.REFUSED)
    await add(gateway, mail(TO, slow, gone, unsure))
    for _ in range(3):
        await desk(gateway).run_due()
        gateway.clock.now += 3600
    asked = [[str(copy.to) for copy in batch.copies] for batch in gateway.relay.batches]
    assert asked == [[TO, slow, gone, unsure], [slow, unsure], [slow]]
    ((state, payload),) = await states(gateway, "state", "payload")
    assert (state, json.loads(payload)["recipients"]) == ("dead", [gone]), "the one that an admin should know of"


async def test_own_mail_for_several_is_done_when_all_have_it(gateway: Running) -> None:
    gateway.relay.answer(TO, Outcome.DEFERRED)
    await add(gateway, mail(TO, "other@sender.test"))
    for _ in range(2):
        await desk(gateway).run_due()
        gateway.clock.now += 3600
    assert await states(gateway, "state") == [("done",)]
    assert gateway.relay.delivered == {TO: 1, "other@sender.test": 1}


async def test_own_mail_is_given_up_after_five_days(gateway: Running) -> None:
    gateway.relay.answer(TO, *[Outcome.DEFERRED] * 10)
    await add(gateway, mail())
    for _ in range(5):
        await desk(gateway).run_due()
        gateway.clock.now += 3600
    assert (await states(gateway, "state", "attempts"))[0] == ("due", 5)
    gateway.clock.now = NOW + GIVE_UP_SECONDS + 1
    await desk(gateway).run_due()
    assert await states(gateway) == [("dead", "450 4.2.0 mailbox busy")]


async def test_a_job_that_became_due_after_five_days_has_its_tries_all_the_same(gateway: Running) -> None:
    gateway.relay.answer(TO, Outcome.DEFERRED)
    await add(gateway, mail())
    gateway.clock.now += 2 * GIVE_UP_SECONDS
    await desk(gateway).run_due()
    assert (await states(gateway, "state"))[0] == ("due",)


@pytest.mark.parametrize("own_hop", ["gone", ""])
async def test_a_next_hop_that_is_not_configured_is_waited_for(gateway: Running, own_hop: str) -> None:
    await add(gateway, mail())
    await desk(gateway, own_hop).run_due()
    assert await states(gateway) == [("due", f"next hop {own_hop} is not configured")]


async def test_an_unknown_kind_of_the_core_is_a_dead_letter(gateway: Running) -> None:
    await add(gateway, Job("sing", {}, "k", CORE))
    await desk(gateway).run_due()
    assert await states(gateway) == [("dead", "the core knows no job kind sing")]


@pytest.mark.parametrize("payload", [{}, {"recipients": ["no address"]}, {"recipients": 7}])
async def test_a_row_that_cannot_be_read_does_not_stop_the_others(gateway: Running, payload: dict[str, Any]) -> None:
    await add(gateway, Job(SEND_MAIL, payload, "a", CORE), mail(key="b"))
    assert await desk(gateway).run_due() == 2
    assert [state for (state,) in await states(gateway, "state")] == ["due", "done"]


async def test_a_next_hop_that_raises_is_a_failed_try(gateway: Running) -> None:
    def fail(batch: Batch) -> None:
        raise RuntimeError("a bug")

    gateway.relay.on_batch = fail
    await add(gateway, mail())
    await desk(gateway).run_due()
    assert await states(gateway) == [("due", "RuntimeError: a bug")]


# Plugins' jobs


def note(**more: Any) -> Job:
    return Job("note", {"n": 1}, "key", **{"owner": "crm", **more})


async def test_a_plugin_gets_its_job(gateway: Running) -> None:
    await add(gateway, note(content=b"bytes"))
    await desk(gateway).run_due()
    assert instance(gateway).seen == [("note", {"n": 1}, "key", "crm", b"bytes")]
    assert await states(gateway) == [("done", None)]


ANSWERS = [
    ("None", 0.0, None),
    ("Done('fine')", 0.0, None),
    ("Retry(120, 'the other side is down')", 120.0, "the other side is down"),
    ("Retry(120)", 120.0, "asked for another try"),
    ("Retry(0)", 1.0, "asked for another try"),
    ("Retry(-5)", 1.0, "asked for another try"),
    ("Retry(float('nan'))", 60.0, "asked for another try"),
    ("Retry('soon')", 60.0, "asked for another try"),
    ("RuntimeError('broken')", 60.0, "crm.run_job: RuntimeError: broken (crm.py:"),
    ("SystemExit(1)", 60.0, "crm.run_job: SystemExit: 1 (crm.py:"),
    ("'done'", 60.0, "crm.run_job: returned str, allowed: Done, Retry"),
]


@pytest.mark.parametrize(("answer", "pause", "error"), ANSWERS, ids=[row[0] for row in ANSWERS])
async def test_what_a_plugin_answers(tmp_path: Path, answer: str, pause: float, error: str | None) -> None:
    plugin(tmp_path, "crm", RUNS.replace("answer = None", f"answer = {answer}"))
    async with running(tmp_path, "crm") as gateway:
        await add(gateway, note())
        await desk(gateway).run_due()
        ((state, due_at, last_error),) = await states(gateway, "state", "due_at", "last_error")
        assert (state, due_at - NOW) == ("done" if error is None else "due", pause)
        assert (last_error or "").startswith(error or "")


async def test_a_failure_is_retried_under_skip_as_well(tmp_path: Path) -> None:
    plugin(tmp_path, "crm", RUNS.replace("answer = None", "answer = RuntimeError('broken')"))
    async with running(tmp_path, "crm", tables='[plugin.crm]\non_error = "skip"\n') as gateway:
        await add(gateway, note())
        await desk(gateway).run_due()
        ((state, error),) = await states(gateway)
        assert (state, error.startswith("RuntimeError: broken")) == ("due", True)


@pytest.mark.parametrize("shadow", [False, True])
async def test_jobs_of_a_plugin_that_is_not_there_are_kept(tmp_path: Path, shadow: bool) -> None:
    plugin(tmp_path, "crm", RUNS)
    tables = '[plugin.crm]\nmode = "shadow"\n' if shadow else ""
    async with running(tmp_path, *(["crm"] if shadow else []), tables=tables) as gateway:
        await add(gateway, note())
        for _ in range(130):  # more than five days of hours
            assert await desk(gateway).run_due() == 1
            gateway.clock.now += ABSENT_SECONDS
        ((state, error),) = await states(gateway)
        assert (state, error.endswith("its jobs are kept")) == ("due", True)


async def test_jobs_run_side_by_side_and_one_that_hangs_keeps_its_lease_only(gateway: Running) -> None:
    instance(gateway).__class__.answer = asyncio.Event()
    gateway.relay.gate = asyncio.Event()
    await add(gateway, note(), mail(), mail(key="k2"))
    task = asyncio.create_task(desk(gateway).run_due())
    await gateway.relay.arrived.wait()
    assert await states(gateway, "leased_by", "leased_until") == [("desk1", NOW + LEASE_SECONDS)] * 3
    assert await desk(gateway).run_due() == 0
    gateway.relay.gate.set()
    instance(gateway).answer.set()
    assert await task == 3
    assert await states(gateway, "state", "leased_by") == [("done", None)] * 3


async def test_a_lease_is_longer_than_a_plugins_time_out(tmp_path: Path) -> None:
    plugin(tmp_path, "crm", RUNS)
    async with running(tmp_path, "crm", tables="[plugin.crm]\ntimeout_seconds = 3000\n") as gateway:
        instance(gateway).__class__.answer = event = asyncio.Event()
        await add(gateway, note())
        task = asyncio.create_task(desk(gateway).run_due())
        for _ in range(1000):
            ((leased_until,),) = await states(gateway, "leased_until")
            if leased_until is not None:
                break
        assert leased_until == NOW + 6000
        event.set()
        await task


# The loop


async def test_the_loop_meets_a_store_that_is_down_with_patience(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.001)
    looks = asyncio.Semaphore(0)

    def look() -> float:
        looks.release()
        return gateway.clock()

    await add(gateway, mail())
    hops = gateway.gateway.next_hops
    desk_worker = JobWorker(gateway.gateway.store, gateway.gateway.plugins.runner, hops, "relay", "desk1", look)
    with locked(url_of(gateway.directory)):
        task = asyncio.create_task(desk_worker.run())
        for _ in range(4):
            await looks.acquire()
    await gateway.relay.arrived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told = [record for record in caplog.records if "the outbox cannot be read" in record.getMessage()]
    assert len(told) == 1


async def test_the_loop_outlives_a_bug(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    desk_worker = desk(gateway)
    run_due = desk_worker.run_due
    broken = [True]

    async def once_broken() -> int:
        if broken:
            broken.clear()
            raise RuntimeError("a bug")
        return await run_due()

    monkeypatch.setattr(desk_worker, "run_due", once_broken)
    await add(gateway, mail())
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(desk_worker.run())
        await gateway.relay.arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "the outbox failed, trying again" in caplog.text


async def test_what_became_of_a_job_is_known_although_the_store_was_down(gateway: Running) -> None:
    lock = locked(url_of(gateway.directory))

    def lock_now(batch: Batch) -> None:
        lock.__enter__()

    gateway.relay.on_batch = lock_now
    await add(gateway, mail())
    assert await desk(gateway).run_due() == 1
    lock.__exit__(None, None, None)
    assert await states(gateway) == [("done", None)]


async def test_a_clean_stop_gives_running_jobs_back(gateway: Running) -> None:
    gateway.relay.gate = asyncio.Event()
    await add(gateway, mail())
    task = asyncio.create_task(desk(gateway).run())
    await gateway.relay.arrived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await states(gateway, "state", "leased_by", "due_at") == [("due", None, gateway.clock.now)]
    gateway.relay.gate = None
    assert await desk(gateway).run_due() == 1
    assert gateway.relay.delivered[TO] == 1


async def test_a_desk_that_died_leaves_its_jobs_to_the_next_one_when_the_lease_ends(gateway: Running) -> None:
    await add(gateway, mail())
    held = {"leased_by": "dead", "leased_until": NOW + LEASE_SECONDS}
    take = update(job_table).values(**held)
    await gateway.gateway.store.write([Write(lambda connection, payloads: [connection.execute(take)], None)])
    assert await desk(gateway).run_due() == 0
    gateway.clock.now += LEASE_SECONDS + 1
    assert await desk(gateway).run_due() == 1


async def test_a_notification_travels_from_the_refusal_to_the_sender(gateway: Running) -> None:
    """End to end: commit B adds the job, the desk sends it to the return path, nothing is reported about it."""
    gateway.mail.answer("bo@example.test", Outcome.REFUSED)
    assert (await gateway.send("anna@example.test", "bo@example.test")).code == 250
    (row,) = await gateway.jobs()
    assert json.loads(row.payload)["recipients"] == [TO]
    await desk(gateway).run_due()
    (content,) = gateway.relay.contents
    assert b"Action: failed" in content
    assert gateway.relay.delivered == {TO: 1}


async def test_own_mail_makes_no_folder_for_a_stranger(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that nobody reads is no delivery: the notification is a dead letter that the log names."""
    await add(gateway, mail("stranger@outside.test", key="k1"), mail("anna@example.test", key="k2"))
    hops = gateway.gateway.next_hops
    knows = gateway.gateway.directory.has_mailbox
    runner = gateway.gateway.plugins.runner
    worker = JobWorker(gateway.gateway.store, runner, hops, "mail", "desk1", gateway.clock, knows)
    await worker.run_due()
    assert [str(copy.to) for batch in gateway.mail.batches for copy in batch.copies] == ["anna@example.test"]
    assert sorted(state for state, _ in await states(gateway)) == ["dead", "done"]
    assert "stranger@outside.test has no mailbox here" in caplog.text
