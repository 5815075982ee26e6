"""Retries, repetitions and late truths: what was handed on once is not handed on again, and nothing is left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.delivery.transport import Outcome
from gateway.mail.body import BodyWriter, MemoryBody
from gateway.mail.reply import DEADLINE_PASSED, Reply
from tests.core.fake_next_hop import BUSY
from tests.core.gateways import HELLO, OUTBOUND, Running, plugin, running, texts
from tests.databases import on_both_databases

pytestmark = on_both_databases

ANNA, BO, CLEO, DORA = (f"{name}@example.test" for name in ("anna", "bo", "cleo", "dora"))
DONE, REFUSED, DEFERRED, UNKNOWN = Outcome.DONE, Outcome.REFUSED, Outcome.DEFERRED, Outcome.UNKNOWN

FAN_OUT = """
@hookimpl
def route_recipient(self, recipient):
    if recipient.local == "team":
        return Redirect(tuple(Address(name, "example.test") for name in ("anna", "bo", "cleo")))
    if recipient.local == "half":
        return Redirect((Address("anna", "example.test"), Address("drop", "example.test")))
    if recipient.local == "drop":
        return Discard("unwanted")
    if recipient.local == "anna2":
        return Redirect((Address("anna", "example.test"),))
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    plugin(tmp_path, "fan_out", FAN_OUT)
    async with running(tmp_path, "fan_out", tables=OUTBOUND) as found:
        yield found


@pytest.mark.parametrize("listener", ["filter", "lmtp"])
async def test_a_retry_runs_only_the_rest(gateway: Running, listener: str) -> None:
    gateway.mail.answer(BO, DEFERRED, UNKNOWN)
    rest = [BO] if listener == "lmtp" else [ANNA, BO]  # an SMTP client was not told who was deferred
    codes = [(await gateway.send(*to, listener=listener)).code for to in ([ANNA, BO], rest, rest)]
    assert codes == [450, 451, 250]
    assert [[str(copy.to) for copy in batch.copies] for batch in gateway.mail.batches] == [[ANNA, BO], [BO], [BO]]
    assert gateway.mail.delivered == {ANNA: 1, BO: 1}
    assert await gateway.steps("recipient", "state", "attempts", "doubts", "closed") == [
        (ANNA, "done", 1, 0, True),
        (BO, "done", 3, 1, True),
    ]


@pytest.mark.parametrize("spill_bytes", [1_000_000, 60], ids=["in memory", "in a file"])
async def test_before_a_queue_a_retry_has_another_received_field_on_top(gateway: Running, spill_bytes: int) -> None:
    """Postfix stamps each attempt that its proxy filter sees with the second of this attempt."""
    gateway.mail.answer(BO, BUSY)
    for second, code in (("01", 450), ("59", 250)):
        writer = BodyWriter(gateway.directory, spill_bytes, skip_received=True)
        writer.write(f"Received: from a by b;\r\n\tSun, 22 Nov 2026 10:00:{second} +0000\r\n".encode())
        writer.write(HELLO)
        sent = await gateway.send("team@example.test", raw=writer.finish(), listener="proxy", confirm=False)
        assert sent.code == code
    assert gateway.mail.delivered == {ANNA: 1, BO: 1, CLEO: 1}
    assert len(await gateway.entries()) == 1


async def test_s12_a_fan_out_of_which_one_target_is_deferred(gateway: Running) -> None:
    gateway.mail.answer(BO, BUSY)
    first = await gateway.send("team@example.test")
    assert (first.code, texts(first.verdict)) == (450, [str(BUSY)])
    gateway.clock.now += 300
    again = await gateway.send("team@example.test")
    assert again.code == 250
    assert gateway.mail.delivered == {ANNA: 1, BO: 1, CLEO: 1}
    assert [str(copy.to) for copy in gateway.mail.batches[-1].copies] == [BO]


async def test_a_fan_out_of_which_one_target_is_refused_is_reported_and_over(gateway: Running) -> None:
    gateway.mail.answer(BO, REFUSED)
    for confirm in (False, False):  # the reply is lost: the client comes again
        assert (await gateway.send("team@example.test", confirm=confirm)).code == 250
    assert await gateway.notifications() == [("failed", BO)]
    assert gateway.mail.delivered == {ANNA: 1, CLEO: 1}


async def test_a_fan_out_that_is_refused_for_all_is_refused(gateway: Running) -> None:
    for address in (ANNA, BO, CLEO):
        gateway.mail.answer(address, REFUSED)
    sent = await gateway.send("team@example.test")
    assert (sent.code, await gateway.notifications()) == (550, [])


async def test_s13_the_same_bytes_again_after_the_reply_was_seen_are_delivered_again(gateway: Running) -> None:
    for times in (1, 2, 3):
        assert (await gateway.send(ANNA)).code == 250
        assert gateway.mail.delivered[ANNA] == times
    assert len(await gateway.entries()) == 3


async def test_s13_two_messages_with_one_message_id_are_two(gateway: Running) -> None:
    for text in (b"one", b"two"):
        assert (await gateway.send(ANNA, raw=b"Message-ID: <1@sender.test>\r\n\r\n" + text + b"\r\n")).code == 250
    assert gateway.mail.delivered[ANNA] == 2


async def test_the_same_bytes_again_without_a_confirmation_are_answered(gateway: Running) -> None:
    await gateway.send(ANNA, confirm=False)
    await gateway.written()
    again = await gateway.send(ANNA)
    assert (again.code, gateway.mail.delivered[ANNA]) == (250, 1)
    assert [(step["state"], step["ran"]) for step in (await gateway.story(again.transaction))["steps"]] == [
        ("done", False)
    ]
    assert (await gateway.send(ANNA)).code == 250
    assert gateway.mail.delivered[ANNA] == 2


async def test_a_recipient_with_a_discarded_copy_is_closed_as_a_whole(gateway: Running) -> None:
    """Else the same bytes sent again on purpose would be taken for a retry, and swallowed."""
    for times in (1, 2):
        assert (await gateway.send("half@example.test")).code == 250
        assert gateway.mail.delivered[ANNA] == times
    assert {closed for (closed,) in await gateway.steps("closed")} == {True}


async def test_a_confirmation_that_comes_late_closes_although_outcome_and_closing_share_a_commit(
    gateway: Running,
) -> None:
    one = await gateway.send(ANNA, confirm=False)
    await gateway.written()
    two = await gateway.send(BO, confirm=False, raw=HELLO + b"two\r\n")
    gateway.confirm(one)  # its outcome is written already
    await gateway.gateway.pipeline.settled()  # the outcome of two is queued behind that closing ...
    gateway.confirm(two)  # ... and its own closing behind it, all in one group
    assert await gateway.steps("state", "closed") == [("done", True)] * 2


async def test_a_second_client_meets_a_running_attempt(gateway: Running) -> None:
    gateway.mail.gate = gate = asyncio.Event()
    transaction = await gateway.begin(ANNA)
    running_attempt = asyncio.create_task(gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO)))
    await gateway.mail.arrived.wait()
    gateway.mail.gate = None
    second = await gateway.send(ANNA, BO, listener="lmtp", confirm=False)
    gate.set()
    assert (await running_attempt).reply.code == 250
    assert texts(second.verdict)[0] == "451 4.3.0 still being delivered, try again later"
    assert gateway.mail.delivered[ANNA] == 1


async def test_the_rest_of_a_split_message_joins_and_shares_copies(gateway: Running) -> None:
    await gateway.send("team@example.test", confirm=False)
    await gateway.written()
    rest = await gateway.send("anna2@example.test", DORA, listener="lmtp")
    assert rest.codes == [250, 250]
    assert gateway.mail.delivered == {ANNA: 1, BO: 1, CLEO: 1, DORA: 1}
    assert len(await gateway.entries()) == 1


async def test_a_deferred_copy_that_a_joined_recipient_got_through_is_not_sent_by_the_retry(gateway: Running) -> None:
    gateway.mail.answer(ANNA, DEFERRED)
    assert (await gateway.send(ANNA)).code == 450
    assert (await gateway.send("anna2@example.test")).code == 250
    again = await gateway.send(ANNA)
    assert (again.code, gateway.mail.delivered[ANNA]) == (250, 1)
    assert await gateway.steps("state", "leased_by") == [("done", "")] * 2


async def test_the_deadline_leaves_unknown_and_the_late_truth_corrects_it(gateway: Running) -> None:
    gateway.mail.overdue = UNKNOWN
    sent = await gateway.send(ANNA)
    assert texts(sent.verdict) == ["451 4.4.2 the next hop broke off or was too slow, try again later"]
    assert await gateway.steps("state", "attempts", "doubts") == [("unknown", 1, 1)]
    gateway.mail.learn()
    assert await gateway.steps("state", "doubts", "closed") == [("done", 1, False)]
    again = await gateway.send(ANNA)
    assert (again.code, gateway.mail.delivered[ANNA]) == (250, 1)


@pytest.mark.parametrize(("learned", "codes"), [(REFUSED, [451, 550]), (DEFERRED, [451, 250])])
async def test_the_late_truth_may_be_a_refusal(gateway: Running, learned: Outcome, codes: list[int]) -> None:
    gateway.mail.overdue = UNKNOWN
    gateway.mail.answer(ANNA, learned)
    first = await gateway.send(ANNA)
    await gateway.written()
    gateway.mail.learn()
    gateway.mail.overdue = None
    assert await gateway.states() == {ANNA: learned.value}
    assert [first.code, (await gateway.send(ANNA)).code] == codes


async def test_a_truth_that_comes_before_commit_b_is_not_lost(gateway: Running) -> None:
    """The other batch of the same message is still running when this one's late outcome is learned."""
    gateway.mail.overdue = UNKNOWN
    gateway.relay.gate = asyncio.Event()
    transaction = await gateway.begin(ANNA, "x@elsewhere.test", listener="filter")
    task = asyncio.create_task(gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO)))
    await gateway.mail.arrived.wait()
    await gateway.relay.arrived.wait()
    gateway.mail.learn()
    gateway.relay.gate.set()
    assert (await task).reply.code == 451
    assert await gateway.states() == {ANNA: "done", "x@elsewhere.test": "done"}


async def test_a_late_truth_does_not_speak_for_the_retry_that_took_over(gateway: Running) -> None:
    gateway.mail.overdue = UNKNOWN
    gateway.mail.answer(ANNA, REFUSED)
    await gateway.send(ANNA)
    await gateway.written()
    stuck, gateway.mail._waiting = gateway.mail._waiting, []
    await gateway.send(ANNA)
    assert await gateway.steps("state", "doubts") == [("unknown", 2)]
    gateway.mail._waiting = stuck
    gateway.mail.learn()
    assert await gateway.steps("state", "doubts") == [("unknown", 2)]


async def test_what_had_not_begun_by_the_deadline_is_planned_anew(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "router",
        "to = 'anna'\n@hookimpl\ndef route_recipient(self, recipient):\n"
        "    if recipient.local == 'team':\n        return Redirect((Address(type(self).to, 'example.test'),))",
    )
    async with running(tmp_path, "router") as gateway:
        gateway.mail.overdue = DEFERRED
        first = await gateway.send("team@example.test")
        assert texts(first.verdict) == [str(DEADLINE_PASSED)]
        assert await gateway.steps("final", "state", "attempts") == [(ANNA, "deferred", 0)]
        gateway.mail.overdue = None
        loaded = gateway.gateway.plugins.get("router")
        assert loaded is not None
        type(loaded.instance).to = "bo"  # type: ignore[attr-defined]
        assert (await gateway.send("team@example.test")).code == 250
        assert gateway.mail.delivered == {BO: 1}


async def test_the_stored_plan_runs_although_the_plugin_changed_its_mind(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "moody",
        "answer = None\n@hookimpl\ndef message_received(self):\n    return type(self).answer",
    )
    async with running(tmp_path, "moody") as gateway:
        gateway.mail.answer(ANNA, DEFERRED)
        await gateway.send(ANNA, BO, listener="lmtp")
        loaded = gateway.gateway.plugins.get("moody")
        assert loaded is not None
        type(loaded.instance).answer = Reply(550, "5.7.1", "not wanted")  # type: ignore[attr-defined]
        retry = await gateway.send(ANNA, CLEO, listener="lmtp")
        assert texts(retry.verdict) == ["250 2.0.0 queued", "550 5.7.1 not wanted"]
        assert gateway.mail.delivered == {ANNA: 1, BO: 1}
        fresh = await gateway.send(DORA, raw=HELLO + b"more\r\n")
        assert fresh.code == 550


async def test_a_late_retry_after_the_lease_ended_counts_a_doubt(gateway: Running) -> None:
    """A worker that hung without dying: nobody told the journal."""
    gateway.mail.gate = gate = asyncio.Event()
    transaction = await gateway.begin(ANNA)
    stuck = asyncio.create_task(gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO)))
    await gateway.mail.arrived.wait()
    gateway.mail.gate = None
    gateway.clock.now += 3600
    assert (await gateway.send(ANNA)).code == 250
    assert gateway.mail.delivered[ANNA] == 1
    gate.set()
    await stuck
    # The old attempt's word comes after the new one's and changes nothing: the client of the new one was answered.
    assert await gateway.steps("state", "doubts", "attempts", "closed") == [("done", 1, 1, True)]


async def test_journal_needed_leaves_out_what_is_single(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "notes",
        "@hookimpl\ndef register(self, registry): registry.job('note', 'for tests')\n"
        "@hookimpl\ndef message_annotate(self, message):\n"
        "    if b'job' in message.body.header_block: return [Job('note', {}, message.id)]",
    )
    async with running(tmp_path, "notes", tables='[journal]\nmode = "needed"\n') as gateway:
        assert (await gateway.send(ANNA)).code == 250
        gateway.mail.answer(ANNA, DEFERRED)
        assert (await gateway.send(ANNA)).code == 450
        assert await gateway.entries() == []
        assert (await gateway.send(ANNA, BO)).code == 250
        assert (await gateway.send(CLEO, raw=b"Subject: job\r\n\r\n")).code == 250
        rows = await gateway.steps("recipient")
        assert sorted(rows) == [(ANNA,), (BO,), (CLEO,)]
        assert gateway.mail.delivered == {ANNA: 2, BO: 1, CLEO: 1}


async def test_journal_needed_at_the_deadline_writes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, tables='[journal]\nmode = "needed"\n') as gateway:
        gateway.mail.overdue = UNKNOWN
        assert (await gateway.send(ANNA)).code == 451
        gateway.mail.learn()
        assert await gateway.steps("state") == []


async def test_jobs_wait_for_their_message_and_become_due_once(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "notes",
        "@hookimpl\ndef register(self, registry): registry.job('note', 'for tests')\n"
        "@hookimpl\ndef message_annotate(self, message): return [Job('note', {'a': 1}, 'k1')]",
    )
    async with running(tmp_path, "notes") as gateway:
        gateway.mail.answer(ANNA, DEFERRED)
        assert (await gateway.send(ANNA)).code == 450
        (row,) = await gateway.jobs()
        assert (row.owner, row.kind, row.key, row.due_at > gateway.clock.now + 86_400) == ("notes", "note", "k1", True)
        gateway.clock.now += 60
        assert (await gateway.send(ANNA)).code == 250
        (row,) = await gateway.jobs()
        assert row.due_at == gateway.clock.now


async def test_jobs_of_a_message_that_is_refused_are_due_as_well(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "notes",
        "@hookimpl\ndef register(self, registry): registry.job('note', 'for tests')\n"
        "@hookimpl\ndef message_annotate(self, message): return [Job('note', {}, ''), Job('note', {}, '')]",
    )
    async with running(tmp_path, "notes") as gateway:
        gateway.mail.answer(ANNA, REFUSED)
        assert (await gateway.send(ANNA)).code == 550
        rows = await gateway.jobs()
        assert [(row.key, row.due_at) for row in rows] == [(None, gateway.clock.now)] * 2


async def test_delivery_hooks_are_told_after_the_reply_and_change_nothing(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "witness",
        "seen = []\n"
        "@hookimpl\ndef delivery_succeeded(self, step, reply): self.seen.append(('ok', step.to.local, reply.code))\n"
        "@hookimpl\ndef delivery_failed(self, step, reply): self.seen.append(('failed', step.to.local, reply.code))\n"
        "@hookimpl\nasync def delivery_deferred(self, step, message):\n"
        "    self.seen.append(('deferred', step.to.local, message.body.read(0, 5)))\n    raise RuntimeError('broken')",
    )
    async with running(tmp_path, "witness") as gateway:
        loaded = gateway.gateway.plugins.get("witness")
        assert loaded is not None
        seen = loaded.instance.seen  # type: ignore[attr-defined]
        gateway.mail.answer(BO, REFUSED)
        gateway.mail.answer(CLEO, DEFERRED)
        gateway.mail.answer(DORA, UNKNOWN)
        transaction = await gateway.begin(ANNA, BO, CLEO, DORA, listener="lmtp")
        verdict = await gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO))
        assert seen == []
        assert [reply.code for reply in verdict.replies] == [250, 550, 450, 451]
        await gateway.written()
        assert seen == [
            ("ok", "anna", 250), ("failed", "bo", 550), ("deferred", "cleo", b"From:"), ("deferred", "dora", b"From:"),
        ]  # fmt: skip
        seen.clear()
        await gateway.send(ANNA, CLEO, listener="lmtp")
        await gateway.written()
        assert seen == [("ok", "cleo", 250)]
