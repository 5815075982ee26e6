"""The gateway is away: Postfix's queue holds the mail, and every message arrives once."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from gateway.postfix_recipes.recipe import parts
from tests.integration.postfix.after_queue_lmtp.behind_queue import BehindQueue, StartBehindQueue, printed_recipe
from tests.integration.postfix.messages import message, message_id
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix")

# Behind a dead destination the queue manager can defer a message, and so date its file 300 s ahead, while cleanup still
# waits for the fsync of that file; cleanup then takes the date for a wrong clock. Nothing else comes of it.
DEFERRED_AT_ONCE = [
    "cleanup.*: warning: file system clock is 300 seconds ahead of local clock",
    "cleanup.*: warning: resetting file time stamps",
]


async def all_deferred(pair: BehindQueue, count: int) -> None:
    async def waiting() -> bool:
        return [entry["queue_name"] for entry in await pair.postfix.queue()] == ["deferred"] * count

    await until(waiting, f"{count} messages are deferred")


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
    await all_deferred(pair, 50)
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


async def test_the_way_back(behind_queue: StartBehindQueue) -> None:
    """The recipe's last part, pasted into a shell: mail flows without the gateway, what was queued for it included."""
    pair = await behind_queue(["anna"])
    await pair.gateway.stop()
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"])
    await all_deferred(pair, 1)

    await pair.postfix.paste(parts(await printed_recipe(pair.gateway, "stellwerk"))["back"])
    await pair.postfix.wait_until_delivered(1, "anna")
    await pair.postfix.wait_until_queue_is_empty()
