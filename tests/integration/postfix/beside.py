"""A recipe that stands beside after-queue-lmtp: both, as the command prints them, in one gateway and one Postfix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.recipe import Recipe, parts
from gateway.testing.sink import Sink
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation
from tests.integration.postfix.after_queue import on_free_ports
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.postfix.messages import message
from tests.integration.postfix.recipe_pair import ALIASES, LATE, MAILBOXES, RecipePair, comparable, transaction_id
from tests.integration.waiting import until

_CONFIG = """\
plugins = ["size_limit", "refuses_ghosts"]
plugin_dir = "plugins"

[server]
hostname = "gw.example.test"
state_dir = "state"

[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true

"""

# What the gateway refuses after RCPT, it has to tell the sender about itself.
_PLUGIN = """\
from gateway.api import Plugin, Refuse, hookimpl, reply


class RefusesGhosts(Plugin):
    @hookimpl
    def route_recipient(self, recipient):
        return Refuse(reply.UNKNOWN_USER) if recipient.local == "ghost" else None
"""

Merge = Callable[[str, str], str]
"""From the gateway's parts of both recipes, the first being after-queue-lmtp's: what an administrator makes of them."""


def appended(first: str, second: str) -> str:
    return f"{first}\n{second}"


@asynccontextmanager
async def beside_after_queue(
    directory: Path,
    ports: PortReservation,
    postfix: PostfixInstance,
    wanted: Recipe,
    options: Sequence[str] = (),
    *,
    merge: Merge = appended,
    more_config: str = "",
) -> AsyncIterator[RecipePair]:
    """Start the gateway, and `postfix` with what the command prints for that gateway, first one recipe, then the other.

    `wanted` names the ports, `options` are the command's, `more_config` is for the gateway.
    """
    queue = on_free_ports(AfterQueueLmtp, ports)
    merged = merge(parts(queue.render())["stellwerk.toml"], parts(wanted.render())["stellwerk.toml"])
    (directory / "plugins").mkdir()
    (directory / "plugins" / "refuses_ghosts.py").write_text(_PLUGIN)
    gateway = GatewayProcess(directory, _CONFIG + merged + more_config)
    postfix.write_mailboxes([*MAILBOXES, "team"])
    postfix.write_aliases(ALIASES)
    postfix.write_transports({LATE: "smtp:[127.0.0.1]:1"})
    await postfix.apply(parts(await gateway.command("postfix", "recipe", queue.name)))
    before = comparable(await postfix.configuration())
    printed = parts(await gateway.command("postfix", "recipe", wanted.name, *options))
    await postfix.apply(printed)
    if complaints := await postfix.check():
        raise AssertionError(complaints)
    async with Sink() as elsewhere:
        await gateway.start()
        try:
            await postfix.start()
            yield RecipePair(postfix, gateway, elsewhere, wanted.name, tuple(options), printed, before)
        finally:
            await postfix.stop()
            await gateway.stop()


async def last_story(pair: RecipePair, recipient: str) -> dict[str, Any]:
    """The trace of the transaction in which the gateway took Postfix's last message to `recipient`."""
    await pair.postfix.wait_until_queue_is_empty()
    return await pair.gateway.trace(
        transaction_id(pair.postfix.log_lines(rf"postfix/lmtp.*to=<{recipient}>.*status=sent")[-1])
    )


async def is_taken_out_beside(pair: RecipePair) -> None:
    """Paste the recipe's own way back, the gateway running: after-queue-lmtp is left, and all mail passes by it."""
    before = pair.postfix.count_delivered()
    await pair.postfix.inject(message(5), SENDER, [LATE])
    await pair.postfix.wait_until_deferred(1)
    await pair.turn_off()
    await pair.postfix.inject(message(7), SENDER, ["anna@example.test"])
    await pair.postfix.wait_until_delivered(before + 1)

    async def is_told() -> bool:
        """A story is written a second after its message at the latest: until then the newest is an older one."""
        return listener_of((await pair.stories("anna@example.test"))[0]) == ("after-queue", "inbound")

    await until(is_told, "the trace tells that it came by after-queue")
    # what had passed the gateway before is not sent there again
    await pair.postfix.wait_until_deferred(1)
    pair.postfix.write_transports({})
    await pair.postfix.reload()
    await pair.postfix.flush()
    await pair.postfix.wait_until_delivered(before + 2)
    await pair.postfix.wait_until_queue_is_empty()
    assert len(await pair.stories(LATE)) == 1


def listener_of(story: dict[str, Any]) -> tuple[str, str]:
    """By which listener the message came, and what direction it has."""
    return story["session"]["listener"], story["session"]["direction"]
