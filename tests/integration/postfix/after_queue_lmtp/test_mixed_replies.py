"""One message, every kind of answer: Postfix must treat each recipient by the gateway's reply for that recipient."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.testing.sink import Sink
from tests.integration.postfix.after_queue_lmtp.behind_queue import BehindQueue, StartBehindQueue
from tests.integration.postfix.messages import assert_untouched, message
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")

SENDER = "sender@example.test"


async def start_with_elsewhere(behind_queue: StartBehindQueue, sink: Sink) -> BehindQueue:
    """The recipe, but with `sink` as the next hop for every domain that is not hosted."""

    def to_elsewhere(config: str) -> str:
        assert config.count('outbound = "postfix"') == 1
        hop = f'\n[next_hop.elsewhere]\nkind = "smtp"\naddress = "{sink.address}"\n'
        return config.replace('outbound = "postfix"', 'outbound = "elsewhere"') + hop

    # Postfix knows ghost, and the gateway does not: so the gateway has something to refuse
    return await behind_queue(["anna", "sender"], postfix_only=["ghost"], change_config=to_elsewhere)


async def test_each_recipient_by_its_own_reply(behind_queue: StartBehindQueue) -> None:
    async with Sink() as sink:
        sink.answer("RCPT", "451 4.2.1 mailbox busy", to="busy@elsewhere.test")
        sink.answer("RCPT", "550 5.7.1 not for you", to="never@elsewhere.test", always=True)
        pair = await start_with_elsewhere(behind_queue, sink)
        sent = message()
        await pair.postfix.inject(
            sent,
            SENDER,
            [
                "anna@example.test",
                "ghost@example.test",
                "good@elsewhere.test",
                "busy@elsewhere.test",
                "never@elsewhere.test",
            ],
        )
        await until(lambda: len(pair.replies()) == 5, "five recipients are answered")
        first = {reply.to: (reply.status, reply.dsn) for reply in pair.replies()}
        assert first == {
            "anna@example.test": ("sent", "2.0.0"),
            "ghost@example.test": ("bounced", "5.1.1"),
            "good@elsewhere.test": ("sent", "2.0.0"),
            "busy@elsewhere.test": ("deferred", "4.2.1"),
            "never@elsewhere.test": ("bounced", "5.7.1"),
        }
        await until(partial(_only_the_deferred_one_waits, pair), "the bounces have left the queue")

        await pair.postfix.flush()
        await pair.postfix.wait_until_queue_is_empty()
        assert [reply.status for reply in pair.replies_to("busy@elsewhere.test")] == ["deferred", "sent"]
        assert len(pair.replies()) == 6

        # one copy for everybody who was to get one, however often the message was tried
        assert sorted(to for received in sink.messages for to in received.to) == [
            "busy@elsewhere.test",
            "good@elsewhere.test",
        ]
        await pair.postfix.wait_until_delivered(1, "anna")
        [delivered] = pair.postfix.delivered("anna")
        assert_untouched(delivered, sent)
        await pair.postfix.stop()


async def test_refused_recipients_are_bounced_to_the_sender(behind_queue: StartBehindQueue) -> None:
    async with Sink() as sink:
        sink.answer("RCPT", "550 5.7.1 not for you", to="never@elsewhere.test", always=True)
        pair = await start_with_elsewhere(behind_queue, sink)
        await pair.postfix.inject(
            message(), SENDER, ["anna@example.test", "ghost@example.test", "never@elsewhere.test"]
        )
        await pair.postfix.wait_until_delivered(2)
        [bounce] = pair.postfix.delivered("sender")
        assert b"\nContent-Type: multipart/report; report-type=delivery-status" in bounce
        for line in (
            b"\nFinal-Recipient: rfc822; ghost@example.test\n",
            b"\nStatus: 5.1.1\n",
            b"\nFinal-Recipient: rfc822; never@elsewhere.test\n",
            b"\nStatus: 5.7.1\n",
        ):
            assert bounce.count(line) == 1
        assert b"Final-Recipient: rfc822; anna@" not in bounce
        await pair.postfix.stop()


async def test_next_hop_that_is_down_defers_and_delivers_later(behind_queue: StartBehindQueue) -> None:
    async with Sink() as sink:
        sink.answer("CONNECT", "421 4.3.2 not now", always=True)
        pair = await start_with_elsewhere(behind_queue, sink)
        await pair.postfix.inject(message(), SENDER, ["anna@example.test", "good@elsewhere.test"])
        await until(lambda: len(pair.replies()) == 2, "both recipients are answered")
        assert {reply.to: reply.status for reply in pair.replies()} == {
            "anna@example.test": "sent",
            "good@elsewhere.test": "deferred",
        }
        sink.answer("CONNECT", "220 sink.test ready", always=True)
        await pair.postfix.flush()
        await pair.postfix.wait_until_queue_is_empty()
        assert [received.to for received in sink.messages] == [("good@elsewhere.test",)]
        await pair.postfix.wait_until_delivered(1, "anna")
        await pair.postfix.stop()


async def _only_the_deferred_one_waits(pair: BehindQueue) -> bool:
    waiting = await pair.postfix.queue()
    return [each["address"] for message in waiting for each in message["recipients"]] == ["busy@elsewhere.test"]
