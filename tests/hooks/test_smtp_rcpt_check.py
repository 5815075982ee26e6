"""smtp_rcpt_check: may this recipient be refused? Asked before anybody claims it."""

from __future__ import annotations

from gateway.hooks.registry import Accept
from gateway.mail.envelope import Recipient
from gateway.mail.message import Tag
from gateway.mail.reply import PLUGIN_FAILED, RECIPIENT_OK, RELAY_DENIED, TOO_BIG
from gateway.mail.transaction import SeenTransaction as Transaction
from tests.hooks.walk import ANNA, SENDER, call, returns, walk


async def test_it_sees_the_transaction_so_far_and_the_recipient() -> None:
    seen: list[object] = []

    def hook(transaction: Transaction, recipient: Recipient) -> None:
        seen.append((transaction.sender, len(transaction.recipients), str(recipient.address), recipient.notify))

    gateway = walk(call("smtp_rcpt_check", hook))
    transaction, _ = await gateway.mail()
    await gateway.rcpt(transaction, "anna@example.test", notify=("NEVER",))
    await gateway.rcpt(transaction, "bo@example.test")
    assert seen == [(SENDER, 0, "anna@example.test", ("NEVER",)), (SENDER, 1, "bo@example.test", ())]


async def test_a_rejection_comes_before_every_claim_and_leaves_the_others() -> None:
    def hook(recipient: Recipient) -> object:
        return [Tag("seen", recipient.address.local), TOO_BIG] if recipient.address.local == "anna" else None

    gateway = walk(call("smtp_rcpt_check", hook), call("smtp_rcpt_claim", returns(Accept())))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, "anna@example.test") == TOO_BIG
    assert await gateway.rcpt(transaction, "bo@example.test") == RECIPIENT_OK
    assert [recipient.address.local for recipient in transaction.recipients] == ["bo"]
    assert transaction.tags == {"probe.seen": "anna"}
    refused = transaction.events[0]
    assert (refused["recipient"], refused["reply"]) == ("anna@example.test", str(TOO_BIG))


async def test_it_cannot_accept_what_nobody_claims() -> None:
    gateway = walk(call("smtp_rcpt_check", lambda: RECIPIENT_OK))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, "a@elsewhere.test") == RELAY_DENIED


async def test_p59_a_repeated_recipient_is_not_asked_about_again() -> None:
    asked: list[int] = []
    gateway = walk(call("smtp_rcpt_check", lambda: asked.append(1)))
    transaction, _ = await gateway.mail()
    for spelling in ("anna@example.test", "ANNA@EXAMPLE.TEST."):
        assert await gateway.rcpt(transaction, spelling) == RECIPIENT_OK
    assert len(asked) == 1
    assert transaction.recipient_count == 1


async def test_g1_a_failure_defers_this_recipient_only() -> None:
    def broken(recipient: Recipient) -> None:
        if recipient.address == ANNA:
            raise RuntimeError("broken")

    gateway = walk(call("smtp_rcpt_check", broken))
    transaction, _ = await gateway.mail()
    assert await gateway.rcpt(transaction, ANNA) == PLUGIN_FAILED
    assert await gateway.rcpt(transaction, "bo@example.test") == RECIPIENT_OK
    skipping = walk(call("smtp_rcpt_check", broken, on_error="skip"))
    transaction, _ = await skipping.mail()
    assert await skipping.rcpt(transaction, ANNA) == RECIPIENT_OK
