"""Who gets which batch, and whose result is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.delivery.executor import Executor
from gateway.delivery.transport import Batch, Outcome, Result
from gateway.mail.body import MemoryBody
from gateway.mail.edits import Edits
from gateway.mail.envelope import Client, Envelope, MailParameters, Recipient, Session
from gateway.mail.message import Message
from gateway.mail.reply import INTERNAL_ERROR, NEXT_HOP_MISCONFIGURED
from gateway.routing.plan import DeliverStep
from tests.core.delivery.batches import ANNA, BO, CLEO, MESSAGE, SENDER, soon
from tests.core.fake_next_hop import FakeNextHop

CLIENT = Client("192.0.2.7", 4711, helo="client.test")
HEAD = ("Received: from client.test",)


def message() -> Message:
    parameters = MailParameters(None, "8BITMIME", True, "HDRS", "e1")
    session = Session("s1", "mx", "smtp", "inbound", "inbound", CLIENT, CLIENT)
    return Message("m1", Envelope(SENDER, (Recipient(ANNA),), parameters), session, MemoryBody(MESSAGE), 0.0)


def step(**more: object) -> DeliverStep:
    return replace(DeliverStep(ANNA, SENDER, "mail", Edits(("X-Loop: 1",))), **more)  # type: ignore[arg-type]


class Hops:
    """An executor with two next hops, and what it told late."""

    def __init__(self) -> None:
        self.mail, self.relay = FakeNextHop("mail"), FakeNextHop("relay", "smtp")
        self.executor = Executor({"mail": self.mail, "relay": self.relay})
        self.late: list[tuple[str, Outcome]] = []

    async def run(self, *steps: DeliverStep) -> dict[tuple[str, str], Result]:
        def late(one: DeliverStep, result: Result) -> None:
            self.late.append((one.to.local, result.outcome))

        return await self.executor.run(message(), HEAD, steps, soon(), late)


def shown(batches: Sequence[Batch]) -> list[list[str]]:
    return [[copy.to.local for copy in batch.copies] for batch in batches]


async def test_equal_bytes_sender_and_next_hop_share_a_transaction() -> None:
    hops = Hops()
    results = await hops.run(step(), step(to=BO), step(to=CLEO))
    assert shown(hops.mail.batches) == [["anna", "bo", "cleo"]]
    assert {key: result.outcome for key, result in results.items()} == {
        (to.key, "mail"): Outcome.DONE for to in (ANNA, BO, CLEO)
    }


@pytest.mark.parametrize(
    "other", [{"sender": BO}, {"sender": None}, {"edits": Edits(("X-Loop: 1", "X-VIP: yes"))}], ids=str
)
async def test_other_bytes_or_another_sender_is_another_transaction(other: dict[str, object]) -> None:
    hops = Hops()
    await hops.run(step(), step(to=BO, **other), step(to=CLEO))
    assert shown(hops.mail.batches) == [["anna", "cleo"], ["bo"]]


async def test_next_hops_work_side_by_side() -> None:
    hops = Hops()
    hops.mail.gate = asyncio.Event()
    task = asyncio.create_task(hops.run(step(), step(to=BO, via="relay")))
    await hops.relay.arrived.wait()
    hops.mail.gate.set()
    assert [result.outcome for result in (await task).values()] == [Outcome.DONE] * 2


async def test_a_batch_carries_the_envelope_and_our_field_on_top() -> None:
    hops = Hops()
    await hops.run(step(notify=("FAILURE",), orcpt="rfc822;a"))
    (batch,) = hops.mail.batches
    (copy,) = batch.copies
    assert (copy.to, copy.notify, copy.orcpt) == (ANNA, ("FAILURE",), "rfc822;a")
    assert batch.edits.prepend == ("Received: from client.test", "X-Loop: 1")
    assert (batch.sender, batch.smtputf8, batch.body_type, batch.ret, batch.envid, batch.client) == (
        SENDER, True, "8BITMIME", "HDRS", "e1", CLIENT,
    )  # fmt: skip
    assert batch.body.read(0, 10_000) == MESSAGE


# RFC 3461: NOTIFY of two recipients whose mail is one copy.
@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((), (), ()),
        (("NEVER",), ("NEVER",), ("NEVER",)),
        (("NEVER",), (), ()),
        ((), ("NEVER",), ()),
        (("NEVER",), ("SUCCESS",), ("SUCCESS",)),
        (("NEVER",), ("FAILURE", "DELAY"), ("FAILURE", "DELAY")),
        ((), ("SUCCESS",), ("FAILURE", "SUCCESS")),
        (("DELAY",), (), ()),
        (("SUCCESS",), ("FAILURE",), ("SUCCESS", "FAILURE")),
    ],
)
async def test_one_copy_for_two_recipients(one: tuple[str, ...], other: tuple[str, ...], both: tuple[str, ...]) -> None:
    hops = Hops()
    results = await hops.run(step(notify=one), step(notify=other))
    (batch,) = hops.mail.batches
    assert [(copy.to, copy.notify) for copy in batch.copies] == [(ANNA, both)]
    assert list(results) == [(ANNA.key, "mail")]


async def test_a_next_hop_that_is_not_configured_defers_its_copies_only(caplog: pytest.LogCaptureFixture) -> None:
    hops = Hops()
    results = await hops.run(step(), step(to=BO, via="gone"))
    assert results[ANNA.key, "mail"].outcome is Outcome.DONE
    gone = results[BO.key, "gone"]
    assert (gone.outcome, gone.reply) == (Outcome.DEFERRED, NEXT_HOP_MISCONFIGURED)
    assert "gone" not in str(gone.reply)  # what hops there are is nobody's business outside
    assert "next hop gone is not configured" in caplog.text


@pytest.mark.parametrize("alone", [True, False])
async def test_a_next_hop_that_raises_leaves_unknown_and_does_not_harm_the_others(alone: bool) -> None:
    hops = Hops()

    def fail(batch: Batch) -> None:
        raise RuntimeError("a bug")

    hops.mail.on_batch = fail
    results = await hops.run(step(), *([] if alone else [step(to=BO, via="relay")]))
    failed = results.pop((ANNA.key, "mail"))
    assert (failed.outcome, failed.reply) == (Outcome.UNKNOWN, INTERNAL_ERROR)
    assert [result.outcome for result in results.values()] == ([] if alone else [Outcome.DONE])


async def test_what_is_learned_late_names_each_copy() -> None:
    hops = Hops()
    hops.mail.overdue = Outcome.UNKNOWN
    hops.mail.answer(str(BO), Outcome.REFUSED)
    results = await hops.run(step(), step(to=BO))
    assert [result.outcome for result in results.values()] == [Outcome.UNKNOWN] * 2
    hops.mail.learn()
    assert hops.late == [("anna", Outcome.DONE), ("bo", Outcome.REFUSED)]


async def test_a_cancellation_passes() -> None:
    hops = Hops()
    hops.mail.gate = asyncio.Event()
    task = asyncio.create_task(hops.run(step()))
    await hops.mail.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
