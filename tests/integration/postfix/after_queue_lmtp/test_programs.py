"""swaks and smtp-source in, Maildir out."""

from __future__ import annotations

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.messages import message_id

pytestmark = pytest.mark.server("postfix")


async def test_swaks(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna", "bo"])
    await pair.postfix.swaks(
        *("--from", "cleo@client.example"),
        *("--to", "anna@example.test,bo@example.test"),
        *("--header", "Subject: from swaks"),
        *("--body", "two recipients"),
    )
    await pair.postfix.wait_until_delivered(2)
    [annas], [bos] = pair.postfix.delivered("anna"), pair.postfix.delivered("bo")
    for delivered in (annas, bos):
        assert b"\nSubject: from swaks\n" in delivered
        assert delivered.endswith(b"\n\ntwo recipients\n\n\n")
    assert message_id(annas) == message_id(bos)
    assert {reply.status for reply in pair.replies()} == {"sent"}


@pytest.mark.slow
async def test_thousand_messages_in_twenty_sessions(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    await pair.postfix.smtp_source(
        *("-s", "20"), *("-m", "1000"), *("-l", "4096"), *("-f", "cleo@client.example"), *("-t", "anna@example.test")
    )
    await pair.postfix.wait_until_delivered(1000, "anna")
    await pair.postfix.wait_until_queue_is_empty()
    delivered = pair.postfix.delivered("anna")
    assert len({message_id(each) for each in delivered}) == len(delivered) == 1000
    assert {reply.status for reply in pair.replies()} == {"sent"}
