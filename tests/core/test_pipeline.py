"""The message walk: outcomes of next hops become replies, rows of the journal and notifications (N4, N5, flow.md)."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.delivery.transport import Batch, Outcome
from gateway.mail.body import MemoryBody
from gateway.mail.reply import Reply
from tests.core.delivery.batches import spilled
from tests.core.gateways import HELLO, OUTBOUND, Running, plugin, running, texts
from tests.databases import on_both_databases

pytestmark = on_both_databases

ANNA, BO, CLEO = "anna@example.test", "bo@example.test", "cleo@example.test"
LETTERS = {"D": Outcome.DONE, "R": Outcome.REFUSED, "T": Outcome.DEFERRED, "U": Outcome.UNKNOWN}
STATES = {"D": "done", "R": "refused", "T": "deferred", "U": "unknown"}
CODES = {"D": 250, "R": 550, "T": 450, "U": 451}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, tables=OUTBOUND) as found:
        yield found


# What the next hop said of anna, bo and cleo; SMTP's reply; who is reported on to a client that speaks SMTP.
MATRIX: list[tuple[str, int, list[str]]] = [
    ("DDD", 250, []),
    ("DRD", 250, [BO]),
    ("RDR", 250, [ANNA, CLEO]),
    ("DTD", 450, []),
    ("DRT", 450, []),
    ("RTR", 450, []),
    ("TTT", 450, []),
    ("RRR", 550, []),
    ("DUD", 451, []),
    ("RUR", 451, []),
    ("UTD", 451, []),
]


@pytest.mark.parametrize("listener", ["filter", "lmtp"])
@pytest.mark.parametrize(("outcomes", "code", "reported"), MATRIX, ids=[row[0] for row in MATRIX])
async def test_n4_n5_outcomes_become_replies_rows_and_notifications(
    gateway: Running, listener: str, outcomes: str, code: int, reported: list[str]
) -> None:
    for address, letter in zip((ANNA, BO, CLEO), outcomes, strict=True):
        gateway.mail.answer(address, LETTERS[letter])
    sent = await gateway.send(ANNA, BO, CLEO, listener=listener)
    assert sent.code == code
    assert sent.codes == [CODES[letter] for letter in outcomes]
    assert await gateway.states() == {
        address: STATES[letter] for address, letter in zip((ANNA, BO, CLEO), outcomes, strict=True)
    }
    told = reported if listener == "filter" else []  # an LMTP client reports itself
    assert await gateway.notifications() == [("failed", address) for address in told]
    # SMTP closes all or nobody, LMTP each recipient for itself.
    settled = [code < 400 or code >= 500] * 3 if listener == "filter" else [letter in "DR" for letter in outcomes]
    assert [closed for (closed,) in await gateway.steps("closed")] == settled


async def test_n3_the_next_hops_own_words_are_passed_on_with_our_id(gateway: Running) -> None:
    gateway.mail.answer(ANNA, Reply(552, "5.2.2", "over quota"))
    sent = await gateway.send(ANNA)
    assert str(sent.verdict.reply) == f"552 5.2.2 over quota [{sent.transaction.id}]"
    assert sent.verdict.replies == (sent.verdict.reply,)


async def test_every_copy_has_our_received_line_on_top_and_the_message_below(gateway: Running) -> None:
    sent = await gateway.send(ANNA)
    (content,) = gateway.mail.contents
    assert content.startswith(b"Received: from client.test ")
    assert f" id {sent.transaction.id}\r\n".encode() in content
    assert content.endswith(HELLO)


async def test_two_recipients_of_one_target_share_a_copy_and_each_has_its_reply(tmp_path: Path) -> None:
    team = plugin(
        tmp_path,
        "team",
        "@hookimpl\ndef route_recipient(self, recipient):\n"
        "    if recipient.local != 'team':\n        return Redirect((Address('team', 'example.test'),))",
    )
    for outcome, code in ((Outcome.DONE, 250), (Outcome.REFUSED, 550), (Outcome.DEFERRED, 450), (Outcome.UNKNOWN, 451)):
        directory = tmp_path / outcome
        directory.mkdir()
        (directory / "team.py").write_text((tmp_path / "team.py").read_text())
        async with running(directory, team) as gateway:
            gateway.mail.answer("team@example.test", outcome)
            sent = await gateway.send(ANNA, BO, listener="lmtp")
            assert sent.codes == [code, code]
            (batch,) = gateway.mail.batches
            assert [str(copy.to) for copy in batch.copies] == ["team@example.test"]
            states = await gateway.steps("recipient", "state")
            assert states == [(ANNA, outcome.value), (BO, outcome.value)]


async def test_more_than_a_thousand_recipients_go_in_one_batch(gateway: Running) -> None:
    to = [f"u{number}@example.test" for number in range(1100)]
    sent = await gateway.send(*to, listener="lmtp")
    assert sent.codes == [250] * 1100
    assert [len(batch.copies) for batch in gateway.mail.batches] == [1100]
    assert len(await gateway.steps("state")) == 1100


async def test_a_thousand_recipients_of_whom_one_has_a_second_copy_are_not_deferred_for_ever(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "forward",
        "@hookimpl\ndef route_recipient(self, recipient):\n"
        "    if recipient.local == 'u0':\n        return Redirect((Address('copy', 'example.test'),), keep=True)",
    )
    async with running(tmp_path, "forward", tables="[routing]\nmax_recipients = 20\n") as gateway:
        sent = await gateway.send(*[f"u{number}@example.test" for number in range(20)])
        assert sent.code == 250
        assert sum(gateway.mail.delivered.values()) == 21


async def test_p62_a_client_that_is_gone_has_its_message_recorded_and_not_closed(gateway: Running) -> None:
    transaction = await gateway.begin(ANNA)

    def hang_up(batch: Batch) -> None:
        transaction.client_gone = True

    gateway.mail.on_batch = hang_up
    verdict = await gateway.gateway.pipeline.process(transaction, MemoryBody(HELLO))
    assert verdict.reply.code == 250
    assert await gateway.steps("state", "closed") == [("done", False)]
    again = await gateway.send(ANNA)
    assert again.code == 250
    assert gateway.mail.delivered[ANNA] == 1


async def test_a_spilled_body_is_given_back_with_its_last_reader(gateway: Running) -> None:
    body = spilled(HELLO)
    alive = weakref.ref(body)
    transaction = await gateway.begin(ANNA)
    await gateway.gateway.pipeline.process(transaction, body)
    gateway.mail.batches.clear()
    del body
    await gateway.written()
    assert alive() is None


async def test_a_next_hop_that_is_given_up_can_still_read_the_body(gateway: Running) -> None:
    gateway.mail.overdue = Outcome.UNKNOWN
    transaction = await gateway.begin(ANNA)
    verdict = await gateway.gateway.pipeline.process(transaction, spilled(HELLO))
    assert verdict.reply.code == 451
    await gateway.written()
    gateway.mail.learn()
    assert gateway.mail.contents[0].endswith(HELLO)


async def test_a_bug_in_one_next_hop_loses_nothing_of_the_others(
    gateway: Running, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(batch: Batch) -> None:
        raise RuntimeError("a bug")

    gateway.relay.on_batch = fail
    sent = await gateway.send(ANNA, "out@elsewhere.test", listener="lmtp")
    assert texts(sent.verdict) == ["250 2.0.0 queued", "451 4.3.0 local error, try again later"]
    assert await gateway.states() == {ANNA: "done", "out@elsewhere.test": "unknown"}
    assert "next hop relay failed" in caplog.text


async def test_a_next_hop_that_is_not_configured_any_more_defers_until_a_new_plan_avoids_it(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "router",
        "via = 'store'\n@hookimpl\ndef route_recipient(self, recipient):\n    return Deliver(type(self).via)",
    )
    async with running(tmp_path, "router") as gateway:
        gone = gateway.gateway.next_hops.pop("store")
        sent = await gateway.send(ANNA)
        assert texts(sent.verdict) == ["451 4.3.5 local configuration error, try again later"]
        assert await gateway.steps("state", "attempts") == [("deferred", 0)]
        loaded = gateway.gateway.plugins.get("router")
        assert loaded is not None
        type(loaded.instance).via = "mail"  # type: ignore[attr-defined]
        again = await gateway.send(ANNA)
        assert again.code == 250
        assert await gateway.states() == {ANNA: "done"}
        gateway.gateway.next_hops["store"] = gone
