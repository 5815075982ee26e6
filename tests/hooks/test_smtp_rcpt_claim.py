"""smtp_rcpt_claim: is this recipient yours? The core's own mailboxes are asked last."""

from __future__ import annotations

import pytest

from gateway.hooks.registry import Accept
from gateway.mail.envelope import Recipient
from gateway.mail.reply import MAILBOX_DISABLED, PLUGIN_FAILED, RECIPIENT_OK, RELAY_DENIED, UNKNOWN_USER, Reply
from tests.hooks.walk import call, copies, returns, walk


@pytest.mark.parametrize(
    ("answer", "recipient", "expected"),
    [
        pytest.param(None, "anna@example.test", RECIPIENT_OK, id="the core's mailbox"),
        pytest.param(None, "nobody@example.test", UNKNOWN_USER, id="the core's domain"),
        pytest.param(None, "a@elsewhere.test", RELAY_DENIED, id="nobody's"),
        pytest.param(Accept(), "sales@example.test", RECIPIENT_OK, id="claimed in a hosted domain"),
        pytest.param(Accept("mine"), "a@elsewhere.test", RECIPIENT_OK, id="claimed elsewhere"),
        pytest.param(MAILBOX_DISABLED, "anna@example.test", MAILBOX_DISABLED, id="refused before the core is asked"),
    ],
)
async def test_the_first_answer_counts_and_the_core_is_asked_last(
    answer: object, recipient: str, expected: Reply
) -> None:
    gateway = walk(call("smtp_rcpt_claim", lambda: answer))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, recipient) == expected
    assert transaction.recipient_count == expected.is_accept


async def test_plugins_are_asked_in_order_until_one_answers() -> None:
    asked: list[str] = []

    def first(recipient: Recipient) -> None:
        asked.append(f"first {recipient.address.local}")

    def second() -> Accept:
        asked.append("second")
        return Accept()

    def third() -> Reply:
        asked.append("third")
        return MAILBOX_DISABLED

    gateway = walk(*(call("smtp_rcpt_claim", function) for function in (first, second, third)))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, "sales@example.test") == RECIPIENT_OK
    assert asked == ["first sales", "second"]


async def test_what_was_claimed_is_delivered_like_a_mailbox_of_that_domain() -> None:
    gateway = walk(call("smtp_rcpt_claim", returns(Accept())))
    planned = await gateway.send(b"\r\nhello\r\n", "sales@example.test")
    assert copies(planned.plan) == [("sales@example.test", "mail")]


async def test_g1_a_failure_is_a_deferral_or_the_next_ones_question() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    gateway = walk(call("smtp_rcpt_claim", broken))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, "anna@example.test") == PLUGIN_FAILED
    gateway = walk(call("smtp_rcpt_claim", broken, on_error="skip"))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, "anna@example.test") == RECIPIENT_OK
    assert await gateway.rcpt(transaction, "nobody@example.test") == UNKNOWN_USER
