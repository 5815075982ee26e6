"""The gateway is away: Postfix's queue holds the mail, and every message arrives once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tests.integration.postfix.after_queue import DEFERRED_AT_ONCE
from tests.integration.postfix.after_queue_lmtp.behind_queue import BehindQueue, StartBehindQueue
from tests.integration.postfix.messages import message_id
from tests.integration.postfix.recipe_pair import RELOADED
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")


def have_arrived(pair: BehindQueue, count: int) -> bool:
    return pair.postfix.count_delivered() >= count


async def send(pair: BehindQueue, count: int) -> None:
    await pair.postfix.smtp_source(
        *("-s", "4"), *("-m", str(count)), *("-f", "cleo@client.example"), *("-t", "anna@example.test")
    )


async def work_off_the_queue(pair: BehindQueue) -> None:
    """Have it tried until it is empty: what the gateway says no to for a moment would wait for minutes."""

    async def everything_is_there() -> bool:
        await pair.postfix.flush()
        return not await pair.postfix.queue()

    await until(everything_is_there, "the queue has been worked off")


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
async def test_n14_next_hop_was_down_and_a_thousand_in_the_queue_arrive_once(
    behind_queue: StartBehindQueue,
) -> None:
    """The gateway is up all the time, and Postfix's port for the way back is gone: the whole queue waits for it."""
    pair = await behind_queue(["anna"])
    # reloading lets a process of the old configuration go while another asks it
    pair.postfix.expected_trouble = [*DEFERRED_AT_ONCE, *RELOADED]
    put_back = pair.postfix.snapshot()
    await pair.postfix.paste(f"postconf -MX {pair.way_back}/inet; postfix reload")
    await send(pair, 1000)
    await pair.postfix.wait_until_deferred(1000)
    told = pair.replies_to("anna@example.test")
    assert {reply.dsn for reply in told if reply.transaction} == {"4.4.1"}
    assert not [reply for reply in told if reply.status != "deferred"]
    assert pair.postfix.count_delivered() == 0

    put_back()
    await pair.postfix.reload()
    await work_off_the_queue(pair)
    delivered = pair.postfix.delivered("anna")
    assert (len(delivered), len({message_id(each) for each in delivered})) == (1000, 1000)
    assert pair.postfix.count_delivered() == 1000  # no notification to anybody
    assert not pair.postfix.log_lines(r"status=bounced|status=expired| 5\d\d 5\.")


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
    await work_off_the_queue(pair)
    assert pair.postfix.count_delivered() == 600
    assert len({message_id(each) for each in pair.postfix.delivered("anna")}) == 600
    assert not [reply for reply in pair.replies() if reply.status == "bounced"]
