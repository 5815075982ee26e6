"""What both recipes behind Postfix's queue must do, besides what every recipe must."""

from __future__ import annotations

import re

from gateway.postfix_recipes.after_queue import AfterQueue, Aliases
from tests.integration.ports import PortReservation
from tests.integration.postfix.every_recipe import SENDER, EveryRecipe
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.postfix.recipe_pair import LATE, RecipePair
from tests.integration.waiting import until

# Behind a dead destination the queue manager can defer a message, and so date its file 300 s ahead, while cleanup still
# waits for the fsync of that file; cleanup then takes the date for a wrong clock. Nothing else comes of it.
DEFERRED_AT_ONCE = [
    "cleanup.*: warning: file system clock is 300 seconds ahead of local clock",
    "cleanup.*: warning: resetting file time stamps",
]

_ANSWERED = r"postfix/smtp\[\d+\]: \w+: to=<[^>]*>.* status=\w+ "


def on_free_ports(recipe: type[AfterQueue], ports: PortReservation, aliases: Aliases = "stellwerk") -> AfterQueue:
    """The recipe on ports of the test."""
    return recipe(gateway=f"127.0.0.1:{ports.take()}", reinjection=f"127.0.0.1:{ports.take()}", aliases=aliases)


class AfterQueueTests(EveryRecipe):
    """While the gateway is away Postfix keeps the mail; what the gateway refuses Postfix bounces."""

    async def refused(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> str:
        await self.send(pair, data, [recipient], client)
        bounced = rf"to=<{re.escape(recipient)}>.*status=bounced"
        [line] = await until(lambda: pair.postfix.log_lines(bounced), "Postfix has bounced it")
        await pair.postfix.wait_until_queue_is_empty()
        [notice] = pair.postfix.delivered("sender")
        assert b"\nStatus: 5.3.4\n" in notice
        return line

    async def survives_an_outage(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> None:
        pair.postfix.expected_trouble = DEFERRED_AT_ONCE
        await self.send(pair, data, [recipient], client)
        await pair.postfix.wait_until_deferred(1)
        await pair.gateway.start()
        await pair.postfix.flush()


async def queued_attempt(pair: RecipePair, data: bytes, recipients: list[str]) -> str:
    """Send, and give back the gateway's reply as Postfix logs it, which must be the same for all recipients."""
    seen = len(pair.postfix.log_lines(_ANSWERED))
    await pair.postfix.inject(data, SENDER, recipients)
    expected = seen + len(recipients)
    lines = await until(
        lambda: len(found := pair.postfix.log_lines(_ANSWERED)) >= expected and found, "all recipients are answered"
    )
    [reply] = {_reply(line) for line in (lines or [])[seen:]}
    return reply


def _reply(line: str) -> str:
    found = re.search(r"status=\w+ \((?:host \S+ said: )?(.*?)(?: \(in reply to .*\))?\)$", line)
    assert found, line
    return found[1]


async def is_turned_off(pair: RecipePair) -> None:
    """Paste the way back with mail queued before the filter and behind it; then mail flows without the gateway.

    For a recipe that stands alone; see `beside.is_taken_out_beside`.
    """
    before = pair.postfix.count_delivered()
    await pair.postfix.inject(message(5), SENDER, [LATE])
    await pair.postfix.wait_until_deferred(1)
    await pair.gateway.stop()
    await pair.postfix.inject(message(6), SENDER, ["anna@example.test"])
    await pair.postfix.wait_until_deferred(2)
    pair.postfix.write_transports({})
    await pair.turn_off()
    await pair.postfix.wait_until_delivered(before + 2)
    await pair.postfix.inject(message(7), SENDER, ["anna@example.test"])
    await pair.postfix.wait_until_delivered(before + 3)
    await pair.postfix.wait_until_queue_is_empty()
