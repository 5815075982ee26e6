"""What the walk does when something is broken: store, plugins' effects, plugins' plans. Never a 5xx, never a loss."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.delivery.transport import Batch, Outcome
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.transaction import Transaction
from tests.core.fake_next_hop import FakeNextHop
from tests.core.gateways import HELLO, OUTBOUND, Running, config, plugin, running, session, texts
from tests.databases import locked, on_both_databases, query, sqlite_only, url_of

pytestmark = on_both_databases

ANNA, BO = "anna@example.test", "bo@example.test"
DONE, REFUSED, DEFERRED, UNKNOWN = Outcome.DONE, Outcome.REFUSED, Outcome.DEFERRED, Outcome.UNKNOWN
STORE_DOWN = "451 4.3.0 the store is not available, try again later"
PLUGIN_FAILED = "451 4.3.0 local processing failed, try again later"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, tables=OUTBOUND) as found:
        yield found


# The store


@pytest.mark.parametrize("listener", ["filter", "lmtp"])
async def test_s2_without_the_store_nothing_is_handed_on(gateway: Running, listener: str) -> None:
    with locked(url_of(gateway.directory)):
        sent = await gateway.send(ANNA, BO, listener=listener)
    assert texts(sent.verdict) == [STORE_DOWN] * 2
    assert gateway.mail.batches == []
    assert await gateway.steps("state") == []
    again = await gateway.send(ANNA, BO, listener=listener)
    assert (again.code, gateway.mail.delivered) == (250, {ANNA: 1, BO: 1})


@pytest.fixture
def lock_at_delivery(gateway: Running) -> Iterator[ExitStack]:
    """The store goes away while the next hop has the mail; closing the stack brings it back."""
    with ExitStack() as stack:

        def lock(batch: Batch) -> None:
            gateway.mail.on_batch = None
            stack.enter_context(locked(url_of(gateway.directory)))

        gateway.mail.on_batch = lock
        yield stack


@pytest.mark.parametrize("outcomes", [(DONE, DEFERRED), (DONE, REFUSED), (REFUSED, REFUSED), (UNKNOWN, DONE)])
@pytest.mark.parametrize("listener", ["filter", "lmtp"])
async def test_the_store_goes_away_before_commit_b(
    gateway: Running, lock_at_delivery: ExitStack, listener: str, outcomes: tuple[Outcome, Outcome]
) -> None:
    for address, outcome in zip((ANNA, BO), outcomes, strict=True):
        gateway.mail.answer(address, outcome)
    sent = await gateway.send(ANNA, BO, listener=listener)
    assert texts(sent.verdict) == [STORE_DOWN] * 2
    assert sent.transaction.finished == ()
    lock_at_delivery.close()
    # What the next hop said is known all the same, and nothing is closed: the client was told 451.
    assert await gateway.steps("state", "closed") == [(outcome.value, False) for outcome in outcomes]
    again = await gateway.send(ANNA, BO, listener=listener)
    final = [REFUSED if outcome is REFUSED else DONE for outcome in outcomes]
    assert again.codes == [550 if outcome is REFUSED else 250 for outcome in final]
    assert [gateway.mail.delivered[address] for address in (ANNA, BO)] == [int(each is DONE) for each in final]


async def test_the_store_goes_away_before_a_commit_b_that_nobody_waits_for(
    gateway: Running, lock_at_delivery: ExitStack
) -> None:
    sent = await gateway.send(ANNA)
    assert sent.code == 250
    lock_at_delivery.close()
    assert await gateway.steps("state", "closed") == [("done", True)]


async def test_the_trace_tells_the_steps_although_the_store_was_down(
    gateway: Running, lock_at_delivery: ExitStack
) -> None:
    gateway.mail.answer(ANNA, REFUSED)
    sent = await gateway.send(ANNA)
    lock_at_delivery.close()
    story = await gateway.story(sent.transaction)
    assert [step["state"] for step in story["steps"]] == ["refused"]
    assert story["reply"]["text"].startswith("the store is not available")


@sqlite_only
async def test_a_refusal_is_a_deferral_while_the_journal_cannot_be_asked(tmp_path: Path) -> None:
    """The message may be a retry, and its stored plan must not be overruled by a guess."""
    plugin(tmp_path, "no", "@hookimpl\ndef message_received(self): return reply.RELAY_DENIED")
    gateway = Gateway(config(tmp_path, "no"))  # not started: there is no database
    walk = Running(gateway, gateway.clock, tmp_path, *(FakeNextHop() for _ in range(3)))  # type: ignore[arg-type]
    sent = await walk.send(ANNA, confirm=False)
    assert texts(sent.verdict) == [STORE_DOWN]
    await gateway.stop()
    assert not (tmp_path / "test.db").exists()


async def test_a_transaction_that_outlives_the_store_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as gateway:
        gateway.mail.gate = asyncio.Event()
        transaction = await gateway.begin(ANNA)
        task = asyncio.create_task(gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO)))
        await gateway.mail.arrived.wait()
        await gateway.gateway.stop()
        gateway.mail.gate.set()
        assert (await task).reply.code == 250
        gateway.gateway.pipeline.confirm(transaction)
        gateway.gateway.pipeline.abandon(transaction)
    assert "the journal could not be written" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


async def test_mail_in_a_store_of_another_making_is_deferred(gateway: Running) -> None:
    query(url_of(gateway.directory), "DROP TABLE journal_step")
    sent = await gateway.send(ANNA)
    assert (sent.code, gateway.mail.batches) == (451, [])


# What plugins leave behind

NOTES = """
notes = Table("notes_rows", MetaData(), Column("id", Text, primary_key=True), Column("text", Text, nullable=False))

def write(connection, payload):
    connection.execute(notes.insert(), payload)

def fail(connection, payload):
    raise RuntimeError("cannot")

def leave(connection, payload):
    raise SystemExit(3)
"""
CREATE_NOTES = "CREATE TABLE notes_rows (id TEXT PRIMARY KEY, text TEXT NOT NULL)"
NOTING = """
@hookimpl
def register(self, registry):
    registry.table(notes)
    registry.job("note", "for tests")

@hookimpl
def message_annotate(self, message):
    word = message.headers.get("X-Do", "")
    return {
        "row": [Record("notes_rows", {"id": "1", "text": message.id})],
        "same": [Record("notes_rows", {"id": "1", "text": "again"}, "ignore")],
        "null": [Record("notes_rows", {"id": message.id, "text": None})],
        "column": [Record("notes_rows", {"id": message.id, "words": "x"})],
        "table": [Record("other_rows", {"id": message.id})],
        "call": [Record.call(write, {"id": message.id, "text": "x"})],
        "fail": [Record.call(fail, {})],
        "leave": [Record.call(leave, {})],
        "job": [Job("note", {}, message.id, content="no bytes")],
    }.get(word)
"""


@pytest.fixture
async def noting(tmp_path: Path) -> AsyncIterator[Running]:
    plugin(tmp_path, "notes", NOTING, NOTES)
    async with running(tmp_path, "notes") as found:
        query(url_of(tmp_path), CREATE_NOTES)
        yield found


def asking(word: str) -> bytes:
    return f"X-Do: {word}\r\n\r\n{word}\r\n".encode()


def noted(directory: Path) -> int:
    ((count,),) = query(url_of(directory), "SELECT count(*) FROM notes_rows")
    return int(count)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (
            "row",
            r"UNIQUE constraint failed: notes_rows\.id|UniqueViolation: duplicate key .*notes_rows",
        ),
        (
            "null",
            r"NOT NULL constraint failed: notes_rows\.text|NotNullViolation: null value in column \"text\"",
        ),
        ("column", "ValueError: table notes_rows has no column words"),
        ("table", "LookupError: no plugin registered this table"),
        ("fail", "RuntimeError: cannot"),
        ("leave", "SystemExit: 3"),
        ("job", "TypeError: "),
    ],
)
async def test_a_record_that_cannot_be_written_defers_its_message_and_no_other(
    noting: Running, caplog: pytest.LogCaptureFixture, word: str, why: str
) -> None:
    await noting.send(ANNA, raw=asking("row"))
    noting.mail.batches.clear()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        guilty, innocent, other = await asyncio.gather(
            noting.send(ANNA, raw=asking(word) + b"once more\r\n"),
            noting.send(BO, raw=asking("call")),
            noting.send(BO, raw=asking("same")),
        )
    assert texts(guilty.verdict) == [PLUGIN_FAILED]
    assert [innocent.code, other.code] == [250, 250]
    assert {str(copy.to) for batch in noting.mail.batches for copy in batch.copies} == {BO}
    assert noted(noting.directory) == 2
    (record,) = caplog.records
    assert re.search(why, record.getMessage())
    assert record.exc_info is None
    story = await noting.story(guilty.transaction)
    (event,) = [event for event in story["events"] if event.get("event") == "not written"]
    assert re.search(why, event["error"])
    assert len(await noting.entries()) == 3


async def test_records_are_written_once_whatever_is_retried(noting: Running) -> None:
    noting.mail.answer(ANNA, DEFERRED)
    assert [(await noting.send(ANNA, raw=asking("row"))).code for _ in range(2)] == [450, 250]
    assert noted(noting.directory) == 1


GREYLISTING = """
known = set()

@hookimpl
def route_recipient(self, message):
    if "grey" in message.headers.get("X-Do", "") and len(self.known) < 2:
        self.known.add(message.id)
        return Refuse(Reply(450, "4.7.1", "greylisted"))
"""


async def test_records_go_with_the_attempt_that_is_not_put_off(tmp_path: Path) -> None:
    plugin(tmp_path, "grey", GREYLISTING)
    plugin(tmp_path, "notes", NOTING.replace('"row":', '"grey":'), NOTES)
    async with running(tmp_path, "grey", "notes") as gateway:
        query(url_of(tmp_path), CREATE_NOTES)
        counts = []
        for code in (450, 450, 250):
            assert (await gateway.send(ANNA, raw=asking("grey"))).code == code
            counts.append(noted(tmp_path))
        assert counts == [0, 0, 1]


async def test_records_of_a_plan_that_had_not_begun_by_the_deadline_stand_once(noting: Running) -> None:
    noting.mail.overdue = DEFERRED
    assert (await noting.send(ANNA, raw=asking("row"))).code == 451
    assert noted(noting.directory) == 1
    noting.mail.overdue = None
    assert (await noting.send(ANNA, raw=asking("row"))).code == 250
    assert noted(noting.directory) == 1


# What plugins decide

REVIEWS = {
    "a recipient less": "replace(plan, recipients=plan.recipients[:1])",
    "nobody": "DeliveryPlan(())",
    "no step": "replace(plan, recipients=tuple(replace(each, steps=()) for each in plan.recipients))",
    "another next hop": "stepped(plan, via='nowhere')",
    "text for an address": "stepped(plan, to='anna@example.test')",
}
STEPPED = """
def stepped(plan, **more):
    return replace(plan, recipients=tuple(
        replace(each, steps=tuple(replace(one, step=replace(one.step, **more)) for one in each.steps))
        for each in plan.recipients))
"""


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize("review", REVIEWS.values(), ids=REVIEWS)
async def test_g10_a_plan_that_cannot_be_carried_out_is_the_plugins_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, review: str, on_error: str
) -> None:
    hooks = f"@hookimpl\ndef plan_review(self, plan):\n    return {review}"
    plugin(tmp_path, "reviewer", hooks, STEPPED)
    async with running(tmp_path, "reviewer", tables=f'[plugin.reviewer]\non_error = "{on_error}"\n') as gateway:
        sent = await gateway.send(ANNA, BO)
        if on_error == "skip":
            assert (sent.code, gateway.mail.delivered) == (250, {ANNA: 1, BO: 1})
        else:
            assert texts(sent.verdict) == [PLUGIN_FAILED] * 2
            assert (gateway.mail.batches, await gateway.entries()) == ([], [])
        (event,) = (await gateway.story(sent.transaction))["events"]
        assert (event["plugin"], event["hook"], event["on_error"]) == ("reviewer", "plan_review", on_error)
        assert all(record.exc_info is None for record in caplog.records)


async def test_g10_the_null_sender_stays_null(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "reviewer",
        "@hookimpl\ndef plan_review(self, plan): return stepped(plan, sender=Address('me', 'example.test'))",
        STEPPED,
    )
    async with running(tmp_path, "reviewer") as gateway:
        assert (await gateway.send(ANNA, sender="")).code == 451
        assert (await gateway.send(ANNA)).code == 250
        (batch,) = gateway.mail.batches
        assert str(batch.sender) == "me@example.test"


async def test_a_plan_with_other_copies_is_carried_out(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "reviewer",
        "@hookimpl\ndef register(self, registry): registry.job('note', 'for tests')\n"
        "@hookimpl\ndef plan_review(self, plan):\n"
        "    return replace(stepped(plan, to=Address('archive', 'example.test'), via='store'),\n"
        "                   jobs=(Job('note', {}, 'k'),))",
        STEPPED,
    )
    async with running(tmp_path, "reviewer") as gateway:
        sent = await gateway.send(ANNA, BO, listener="lmtp")
        assert sent.codes == [250, 250]
        assert (gateway.mail.delivered, gateway.store.delivered) == ({}, {"archive@example.test": 1})
        assert [row.owner for row in await gateway.jobs()] == ["reviewer"]


ROUTES = [
    "Deliver('nowhere')",
    "Redirect(())",
    "Redirect(('bo@example.test',))",
]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize("route", ROUTES)
async def test_g7_a_route_that_leads_nowhere_is_the_plugins_failure(tmp_path: Path, route: str, on_error: str) -> None:
    plugin(tmp_path, "router", f"@hookimpl\ndef route_recipient(self): return {route}")
    async with running(tmp_path, "router", tables=f'[plugin.router]\non_error = "{on_error}"\n') as gateway:
        sent = await gateway.send(ANNA)
        assert texts(sent.verdict) == ["250 2.0.0 queued" if on_error == "skip" else PLUGIN_FAILED]
        assert gateway.mail.delivered == ({ANNA: 1} if on_error == "skip" else {})


async def test_hooks_that_take_longer_than_the_message_has_are_broken_off(tmp_path: Path) -> None:
    plugin(
        tmp_path, "slow", "timeout_seconds = 60\n@hookimpl\nasync def message_received(self): await asyncio.sleep(60)"
    )
    async with running(tmp_path, "slow", deadline=0.05) as gateway:
        sent = await gateway.send(ANNA)
        assert texts(sent.verdict) == ["451 4.4.2 not finished in time, try again later"]
        assert (gateway.mail.batches, await gateway.entries()) == ([], [])


async def test_g4_one_hook_that_hangs_is_its_plugins_failure(tmp_path: Path) -> None:
    plugin(tmp_path, "slow", "@hookimpl\nasync def message_received(self): await asyncio.sleep(60)")
    async with running(tmp_path, "slow", tables="[plugin.slow]\ntimeout_seconds = 0.05\n") as gateway:
        sent = await gateway.send(ANNA)
        assert texts(sent.verdict) == [PLUGIN_FAILED]
        story = await gateway.story(sent.transaction)
        assert story["events"][0]["error"] == "no answer within 0.05 s"


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize(
    "hook",
    ["smtp_mail", "smtp_rcpt_check", "smtp_rcpt_claim", "message_received", "route_recipient", "message_annotate",
     "plan_review"],
)  # fmt: skip
async def test_g1_a_hook_that_raises(tmp_path: Path, hook: str, on_error: str) -> None:
    plugin(tmp_path, "broken", f"@hookimpl\ndef {hook}(self): raise RuntimeError('secret detail')")
    async with running(tmp_path, "broken", tables=f'[plugin.broken]\non_error = "{on_error}"\n') as gateway:
        said: list[str] = []
        transaction = await gateway.gateway.pipeline.mail(session(), Address.parse("out@sender.test"), MailParameters())
        if not isinstance(transaction, Transaction):
            said.append(str(transaction))
        else:
            reply = await gateway.gateway.pipeline.rcpt(transaction, Recipient(Address.parse(ANNA)))
            said.append(str(reply))
            if reply.is_accept:
                verdict = await gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO))
                said += map(str, verdict.replies)
        assert "secret" not in " ".join(said)
        assert said[-1].startswith("250 " if on_error == "skip" else PLUGIN_FAILED)
        assert sum(gateway.mail.delivered.values()) == int(on_error == "skip")
