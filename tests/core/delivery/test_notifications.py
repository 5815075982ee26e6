"""Which notifications are owed (RFC 3461): NOTIFY, what the next hop takes over, fan-outs, who reports itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email import message_from_bytes
from typing import Any

import pytest

from gateway.delivery.journal import StoredStep, settle
from gateway.delivery.journal_rules import State
from gateway.delivery.notifications import MAX_RETURNED_BYTES, Notifier
from gateway.delivery.transport import Outcome, Result
from gateway.delivery.verdict import Delivery
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import Client, Envelope, MailParameters, Recipient, Session
from gateway.mail.message import Message
from gateway.mail.reply import ACCEPTED, NEXT_HOP_DOWN, UNKNOWN_USER, Reply
from gateway.routing.plan import DeliverStep
from gateway.routing.route import Discard, Refuse
from tests.core.delivery.batches import ANNA, BO, CLEO, SENDER
from tests.core.fake_next_hop import FakeNextHop
from tests.core.gateways import reported

RAW = b"From: sender@example.com\r\nSubject: hello\r\n\r\nsecret text\r\n"
HOPS = {"maildir": FakeNextHop(kind="maildir"), "smtp": FakeNextHop(kind="smtp"), "lmtp": FakeNextHop(kind="lmtp")}
REPLIES = {State.DONE: ACCEPTED, State.REFUSED: UNKNOWN_USER, State.DEFERRED: NEXT_HOP_DOWN}
OUTCOMES = {State.DONE: Outcome.DONE, State.REFUSED: Outcome.REFUSED, State.DEFERRED: Outcome.DEFERRED}


def notifier() -> Notifier:
    numbers = itertools.count(1)
    return Notifier("gw.example.test", HOPS, lambda: f"id{next(numbers)}")


def message(*recipients: Recipient, sender: Address | None = SENDER, raw: bytes = RAW, **parameters: Any) -> Message:
    session = Session("s1", "mx", "smtp", "inbound", "inbound", Client("192.0.2.7"), Client("192.0.2.7"))
    envelope = Envelope(sender, recipients, MailParameters(**parameters))
    return Message("m1", envelope, session, MemoryBody(raw), 1_700_000_000.0)


def rows(
    recipient: Recipient, *states: State, via: str = "maildir", dsn: bool = False, ran: bool = True, to: str = ""
) -> list[Delivery]:
    """One copy for each state: anna's own address when there is one, anna1, anna2 ... in a fan-out."""
    found = []
    for position, state in enumerate(states):
        final = recipient.address if len(states) == 1 else Address(f"anna{position + 1}", "example.test")
        final = Address.parse(to) if to else final
        step = StoredStep("e1", recipient.address.key, position, DeliverStep(final, SENDER, via), State.SENDING)
        result = Result(OUTCOMES[state], REPLIES[state], dsn and state is State.DONE) if ran else None
        found.append(Delivery(step, state, REPLIES[state], ran, result))
    return found


def told(deliveries: Mapping[str, Sequence[Delivery]], reply: Reply = ACCEPTED) -> dict[str, Reply]:
    return dict.fromkeys(deliveries, reply)


def owed(
    recipient: Recipient, deliveries: list[Delivery], reply: Reply = ACCEPTED, sender: Address | None = SENDER
) -> list[tuple[str, str]]:
    """(action, final local part) of all notifications."""
    by_key = {recipient.address.key: deliveries}
    writes = notifier().writes(message(recipient, sender=sender), by_key, told(by_key, reply), 1_700_000_100.0)
    return [
        (block["Action"], block["Final-Recipient"].partition("; ")[2].partition("@")[0])
        for write in writes
        for block in reported(write.payload["content"])
    ]


D, R, T = State.DONE, State.REFUSED, State.DEFERRED
SUCCESS, FAILURE, BOTH, DELAY, NEVER = ("SUCCESS",), ("FAILURE",), ("SUCCESS", "FAILURE"), ("DELAY",), ("NEVER",)
delivered, relayed, failed = [("delivered", "anna")], [("relayed", "anna")], [("failed", "anna")]

# next hop, whether it offers DSN, NOTIFY, states of the copies, what is owed when the client is told 250
DUTIES: list[tuple[str, bool, tuple[str, ...], tuple[State, ...], list[tuple[str, str]]]] = [
    ("maildir", False, SUCCESS, (D,), delivered),
    ("maildir", False, BOTH, (D,), delivered),
    ("maildir", False, (), (D,), []),
    ("maildir", False, FAILURE, (D,), []),
    ("maildir", False, DELAY, (D,), []),
    ("maildir", False, NEVER, (D,), []),
    ("lmtp", False, SUCCESS, (D,), delivered),
    ("lmtp", True, SUCCESS, (D,), []),
    ("smtp", False, SUCCESS, (D,), relayed),
    ("smtp", False, BOTH, (D,), relayed),
    ("smtp", False, (), (D,), []),
    ("smtp", False, NEVER, (D,), []),
    ("smtp", True, SUCCESS, (D,), []),
    ("smtp", True, BOTH, (D,), []),
    ("smtp", False, SUCCESS, (T,), []),
    ("smtp", False, (), (R,), failed),
    ("smtp", True, (), (R,), failed),
    ("smtp", False, FAILURE, (R,), failed),
    ("smtp", False, BOTH, (R,), failed),
    ("smtp", False, SUCCESS, (R,), []),
    ("smtp", False, DELAY, (R,), []),
    ("smtp", False, NEVER, (R,), []),
    ("maildir", False, BOTH, (R,), failed),
    # a fan-out
    ("maildir", False, SUCCESS, (D, D), [("expanded", "anna")]),
    ("smtp", False, SUCCESS, (D, D), [("expanded", "anna")]),
    ("smtp", True, SUCCESS, (D, D), [("expanded", "anna")]),
    ("smtp", True, (), (D, D), []),
    ("smtp", False, NEVER, (D, D), []),
    ("smtp", False, SUCCESS, (D, T), []),
    ("smtp", False, SUCCESS, (R, D), [("expanded", "anna")]),
    ("smtp", False, BOTH, (R, D), [("expanded", "anna"), ("failed", "anna1")]),
    ("smtp", False, (), (D, R), [("failed", "anna2")]),
    ("smtp", False, NEVER, (D, R), []),
    ("smtp", False, (), (R, R), [("failed", "anna1"), ("failed", "anna2")]),
]


@pytest.mark.parametrize(("via", "dsn", "notify", "states", "expected"), DUTIES)
def test_what_is_owed_for_a_recipient_that_the_client_is_told_is_accepted(
    via: str, dsn: bool, notify: tuple[str, ...], states: tuple[State, ...], expected: list[tuple[str, str]]
) -> None:
    recipient = Recipient(ANNA, notify)
    assert sorted(owed(recipient, rows(recipient, *states, via=via, dsn=dsn))) == expected
    assert owed(recipient, rows(recipient, *states, via=via, dsn=dsn), sender=None) == []


@pytest.mark.parametrize("reply", [UNKNOWN_USER, NEXT_HOP_DOWN])
def test_what_the_client_is_told_has_failed_it_reports_itself(reply: Reply) -> None:
    recipient = Recipient(ANNA, BOTH)
    assert owed(recipient, rows(recipient, R), reply) == []
    assert owed(recipient, rows(recipient, R, R), reply) == []


def test_a_success_is_told_at_once_although_the_transaction_is_deferred_for_others() -> None:
    """The sender's retry answers this recipient from the journal: later there is nothing to tell."""
    recipient = Recipient(ANNA, SUCCESS)
    assert owed(recipient, rows(recipient, D), NEXT_HOP_DOWN) == delivered
    assert owed(recipient, rows(recipient, D, ran=False)) == []


def test_a_fan_out_that_a_retry_finished_is_expanded_once() -> None:
    recipient = Recipient(ANNA, SUCCESS)
    first, second = rows(recipient, D, T)
    assert owed(recipient, [first, second]) == []
    earlier = replace(first, ran=False)
    assert owed(recipient, [earlier, replace(second, state=D)]) == [("expanded", "anna")]
    assert owed(recipient, [earlier, replace(second, state=R)]) == [("expanded", "anna")]
    assert owed(recipient, [earlier, replace(second, state=D, ran=False)]) == []


@pytest.mark.parametrize(
    ("step", "notify", "expected"),
    [
        (Discard("unwanted"), SUCCESS, []),
        (Refuse(UNKNOWN_USER), (), failed),
        (Refuse(UNKNOWN_USER), NEVER, []),
        (Refuse(NEXT_HOP_DOWN), (), []),
    ],
)
def test_steps_that_hand_nothing_on(
    step: Discard | Refuse, notify: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    recipient = Recipient(ANNA, notify)
    state, reply = settle(step)
    stored = StoredStep("", recipient.address.key, 0, step, state, reply)
    assert owed(recipient, [Delivery(stored, state, reply)]) == expected


def jobs(*given: tuple[Recipient, list[Delivery]], **more: Any) -> list[Mapping[str, Any]]:
    """The outbox rows."""
    deliveries = {recipient.address.key: found for recipient, found in given}
    received = message(*(recipient for recipient, _ in given), **more)
    return [write.payload for write in notifier().writes(received, deliveries, told(deliveries), 1_700_000_100.0)]


def test_recipients_with_the_same_fate_share_a_notification() -> None:
    anna, bo, cleo = Recipient(ANNA), Recipient(BO), Recipient(CLEO, BOTH)
    found = jobs((anna, rows(anna, R)), (bo, rows(bo, R)), (cleo, rows(cleo, D)))
    assert [sorted(str(block["Action"]) for block in reported(row["content"])) for row in found] == [
        ["delivered"],
        ["failed", "failed"],
    ]
    assert {(row["owner"], row["kind"], row["due_at"]) for row in found} == {("core", "send_mail", 1_700_000_100.0)}
    assert json.loads(found[0]["payload"]) == {
        "sender": "", "recipients": ["sender@example.com"], "smtputf8": False,
    }  # fmt: skip


def test_a_repetition_has_the_same_key_and_another_recipient_of_the_same_copy_another() -> None:
    anna, bo = Recipient(ANNA, SUCCESS), Recipient(BO, SUCCESS)
    (one,) = jobs((anna, rows(anna, D, to="team@example.test")))
    (again,) = jobs((anna, rows(anna, D, to="team@example.test")))
    (other,) = jobs((bo, rows(bo, D, to="team@example.test")))
    assert one["id"] == again["id"]  # ids are made anew by each process, keys are not
    assert one["key"] == again["key"] != other["key"]


@pytest.mark.parametrize(
    ("ret", "raw", "whole"),
    [
        ("FULL", RAW, True),
        ("HDRS", RAW, False),
        ("", RAW, False),
        ("FULL", RAW + b"x" * 70 + b"\r\n" * MAX_RETURNED_BYTES, False),
    ],
    ids=["full", "headers", "not asked", "too large"],
)
def test_ret_decides_what_is_returned(ret: str, raw: bytes, whole: bool) -> None:
    anna = Recipient(ANNA)
    (row,) = jobs((anna, rows(anna, R)), raw=raw, ret=ret)
    assert (b"secret text" in row["content"]) is whole
    assert b"Subject: hello" in row["content"]


def test_a_success_returns_the_header_only() -> None:
    anna = Recipient(ANNA, SUCCESS)
    (row,) = jobs((anna, rows(anna, D)), ret="FULL")
    assert b"secret text" not in row["content"]


def test_envid_orcpt_reply_and_our_id_are_in_it() -> None:
    anna = Recipient(ANNA, (), "rfc822;Anna+2BX@old.test")
    (row,) = jobs((anna, rows(anna, R, via="smtp")), envid="order+2B7")
    parsed = message_from_bytes(row["content"])
    assert (parsed["To"], parsed["Auto-Submitted"]) == ("<sender@example.com>", "auto-replied")
    text = row["content"].decode()
    assert "Original-Envelope-Id: order+7\r\n" in text
    assert "Original-Recipient: rfc822;Anna+X@old.test\r\n" in text
    assert "Final-Recipient: rfc822; anna@example.test\r\n" in text
    assert "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox here\r\n" in text
    assert "mention this id: m1\r\n" in text


def test_smtputf8_mail_is_reported_as_such() -> None:
    jorg = Recipient(Address("j\u00f6rg", "example.test"))
    (row,) = jobs((jorg, rows(jorg, R)), smtputf8=True, sender=Address("\u00e4", "sender.test"))
    assert json.loads(row["payload"]) == {"sender": "", "recipients": ["\u00e4@sender.test"], "smtputf8": True}
    assert "utf-8; j\u00f6rg@example.test" in row["content"].decode()
