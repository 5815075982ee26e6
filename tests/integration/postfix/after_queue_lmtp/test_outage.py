"""The gateway is away: Postfix's queue holds the mail, and every message arrives once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.integration.postfix.after_queue import DEFERRED_AT_ONCE
from tests.integration.postfix.after_queue_lmtp.behind_queue import BehindQueue, StartBehindQueue
from tests.integration.postfix.messages import message_id
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")


def have_arrived(pair: BehindQueue, count: int) -> bool:
    return pair.postfix.count_delivered() >= count


async def send(pair: BehindQueue, count: int) -> None:
    await pair.postfix.smtp_source(
        *("-s", "4"), *("-m", str(count)), *("-f", "cleo@client.example"), *("-t", "anna@example.test")
    )


async def test_mail_waits_and_arrives_once(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    pair.postfix.expected_trouble = DEFERRED_AT_ONCE
    await pair.gateway.stop()
    await send(pair, 50)
    await pair.postfix.wait_until_deferred(50)
    assert pair.postfix.count_delivered() == 0

    await pair.gateway.start()
    await pair.postfix.flush()
    await pair.postfix.wait_until_delivered(50, "anna")
    await pair.postfix.wait_until_queue_is_empty()
    assert len({message_id(each) for each in pair.postfix.delivered("anna")}) == 50
    assert not [reply for reply in pair.replies() if reply.status == "bounced"]


@pytest.mark.slow
async def test_restarts_in_the_middle_of_the_flow(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    # Postfix warns of any reply to XFORWARD that is not 2xx; it then loses the connection and tries again later
    pair.postfix.expected_trouble = [*DEFERRED_AT_ONCE, r"warning: host .* said: 421 4\.3\.2 .*\(in reply to XFORWARD"]
    sending = asyncio.create_task(send(pair, 600))
    for already_there in (20, 120, 220):
        await until(partial(have_arrived, pair, already_there), "mail flows")
        await pair.gateway.stop()
        await pair.gateway.start()
        await pair.postfix.flush()
    await sending

    async def everything_is_there() -> bool:
        await pair.postfix.flush()
        return not await pair.postfix.queue()

    await until(everything_is_there, "the queue has been worked off")
    assert pair.postfix.count_delivered() == 600
    assert len({message_id(each) for each in pair.postfix.delivered("anna")}) == 600
    assert not [reply for reply in pair.replies() if reply.status == "bounced"]
