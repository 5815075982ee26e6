"""The walk before the data: what each command is told, and what the trace keeps of mail that never came."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.mail.address import Address
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.reply import BARE_NEWLINE, PLUGIN_FAILED, Reply
from gateway.mail.transaction import Transaction
from gateway.trace import latest
from tests.core.gateways import OUTBOUND, Running, plugin, running, session

SENDER = Address.parse("out@sender.test")

GATE = """
@hookimpl
def register(self, registry):
    registry.tag("seen", "for tests")

@hookimpl
def smtp_connect(self, session):
    if session.helo == "bad":
        return reply.RELAY_DENIED
    if session.helo == "broken":
        raise RuntimeError("secret detail")

@hookimpl
def smtp_mail(self, sender):
    if sender is None:
        return [Tag("seen", "null"), reply.BAD_SENDER_DOMAIN]

@hookimpl
def smtp_rcpt_check(self, recipient):
    if recipient.address.local == "broken":
        raise RuntimeError("secret detail")

@hookimpl
def smtp_rcpt_claim(self, recipient):
    if recipient.address.domain == "claimed.test":
        return Accept("mine")
    if recipient.address.domain == "closed.test":
        return reply.MAILBOX_DISABLED
"""


def recipient(text: str) -> Recipient:
    return Recipient(Address.parse(text))


@pytest.mark.parametrize(("helo", "code"), [("good", None), ("bad", 550), ("broken", 451)])
async def test_connect(tmp_path: Path, helo: str, code: int | None) -> None:
    plugin(tmp_path, "gate", GATE)
    async with running(tmp_path, "gate") as gateway:
        refusal = await gateway.gateway.pipeline.connect(session(helo=helo))
        assert (None if refusal is None else refusal.code) == code
        assert "secret" not in str(refusal)


async def test_a_refused_sender_is_told_with_an_id_and_kept(tmp_path: Path) -> None:
    plugin(tmp_path, "gate", GATE)
    async with running(tmp_path, "gate") as gateway:
        refusal = await gateway.gateway.pipeline.mail(session(), None, MailParameters())
        assert isinstance(refusal, Reply)
        await gateway.written()
        (story,) = await latest(gateway.gateway.store, 10)
        assert str(refusal) == f"550 5.1.8 the sender's domain cannot take mail [{story['id']}]"
        assert (story["tags"], story["reply"]["code"], story["recipients"]) == ({"gate.seen": "null"}, 550, [])


RECIPIENTS = [
    ("mx", "anna@example.test", 250, ""),
    ("mx", "x@elsewhere.test", 550, "5.7.1"),
    ("filter", "x@elsewhere.test", 250, ""),
    ("proxy", "x@elsewhere.test", 250, ""),
    ("mx", "x@claimed.test", 250, ""),
    ("mx", "x@closed.test", 550, "5.2.1"),
    ("mx", "broken@example.test", 451, "4.3.0"),
]


@pytest.mark.parametrize(("listener", "to", "code", "enhanced"), RECIPIENTS)
async def test_rcpt(tmp_path: Path, listener: str, to: str, code: int, enhanced: str) -> None:
    plugin(tmp_path, "gate", GATE)
    async with running(tmp_path, "gate", tables=OUTBOUND) as gateway:
        transaction = await gateway.begin(listener=listener)
        told = await gateway.gateway.pipeline.rcpt(transaction, recipient(to))
        assert told.code == code
        assert transaction.recipient_count == int(told.is_accept)
        if not told.is_accept:
            assert told.enhanced == enhanced
            assert told.text.endswith(f" [{transaction.id}]")


async def test_a_recipient_named_twice_is_one_recipient(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        sent = await gateway.send("anna@example.test", "Anna@EXAMPLE.test")
        assert (sent.codes, gateway.mail.delivered) == ([250], {"anna@example.test": 1})


async def abandoned(gateway: Running, *to: str) -> Transaction:
    transaction = await gateway.begin()
    for each in to:
        await gateway.gateway.pipeline.rcpt(transaction, recipient(each))
    gateway.gateway.pipeline.abandon(transaction)
    await gateway.written()
    return transaction


async def test_an_abandoned_transaction_is_kept_when_somebody_was_refused(tmp_path: Path) -> None:
    plugin(tmp_path, "gate", GATE)
    async with running(tmp_path, "gate") as gateway:
        refused = await abandoned(gateway, "x@elsewhere.test", "broken@example.test", "anna@example.test")
        await abandoned(gateway, "anna@example.test")
        (story,) = await latest(gateway.gateway.store, 10)
        assert (story["id"], story["reply"], story["recipients"]) == (refused.id, None, ["anna@example.test"])
        events = [event for event in story["events"] if event.get("event") == "rcpt"]
        assert [(event["recipient"], event["reply"][:9]) for event in events] == [
            ("x@elsewhere.test", "550 5.7.1"),
            ("broken@example.test", str(PLUGIN_FAILED)[:9]),
        ]
        (failure,) = events[1]["hooks"]
        assert (failure["plugin"], failure["hook"]) == ("gate", "smtp_rcpt_check")
        assert failure["error"].startswith("RuntimeError: secret detail (gate.py:")


async def test_a_message_that_the_edge_refuses_is_told_and_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        transaction = await gateway.begin("anna@example.test", "bo@example.test")
        told = gateway.gateway.pipeline.refused(transaction, BARE_NEWLINE, 1234)
        assert str(told) == f"{BARE_NEWLINE} [{transaction.id}]"
        story = await gateway.story(transaction)
        assert (story["size"], [reply["code"] for reply in story["replies"]]) == (1234, [550, 550])
