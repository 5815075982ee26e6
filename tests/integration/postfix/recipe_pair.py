"""A gateway and a private Postfix, put together from nothing but what `stellwerk postfix recipe NAME` prints."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.postfix_recipes.recipe import Recipe, parts
from gateway.testing.sink import Sink
from tests.integration.gateway_process import GatewayProcess
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.waiting import until

MAILBOXES = ("anna", "bo", "cleo", "dora", "emil", "sender", "postmaster", "late")
# What is sent there waits in the queue, until the map of transports says otherwise.
LATE = "late@example.test"
ALIASES = {"team@example.test": ["team@example.test", "anna@example.test", "bo@example.test"]}

# The way back reloads and has queued mail taken in anew at the same time: trivial-rewrite is replaced while cleanup
# asks it, and cleanup asks again.
RELOADED = ["cleanup.*: warning: problem talking to service rewrite: "]
# A process that reads main.cf within a second of a change reads it again (Postfix's dict_load_file_xt), and warns of a
# setting that has another value by then.
_REPLACING = re.compile(r"# before Stellwerk: (\w+) =")
_CHANGED_WHILE_READ = r"warning: .*/main\.cf, line \d+: overriding earlier entry: {name}="

_CONFIG = """\
plugins = ["size_limit"]

[server]
hostname = "gw.example.test"
state_dir = "state"

[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true

[hosted."example.test"]
mailboxes = ["*"]

[next_hop.elsewhere]
kind = "smtp"
address = "{elsewhere}"

"""


@dataclass(frozen=True, slots=True)
class RecipePair:
    """A running pair. `printed` holds the parts of the recipe, `elsewhere` plays every domain but example.test.

    `before` is Postfix's configuration without the recipe; for one that stands beside another, with that other one.
    """

    postfix: PostfixInstance
    gateway: GatewayProcess
    elsewhere: Sink
    name: str
    options: tuple[str, ...]
    printed: dict[str, str]
    before: list[str]

    async def stories(self, recipient: str) -> list[dict[str, Any]]:
        """The traces of transactions to `recipient`, newest first; waits until there is one."""

        async def told() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = json.loads(
                await self.gateway.command("trace", "--to", recipient, "--json", "--last", "20")
            )
            return found

        return await until(told, f"the trace knows a message to {recipient}")

    async def turn_off(self) -> None:
        """Paste the recipe's own way back, as it was printed, and see that Postfix is configured as before."""
        await paste_way_back(self.postfix, self.printed["back"])
        assert comparable(await self.postfix.configuration()) == self.before


async def paste_way_back(postfix: PostfixInstance, commands: str) -> str:
    """Paste the commands into a running Postfix; what they print."""
    changed = [_CHANGED_WHILE_READ.format(name=name) for name in set(_REPLACING.findall(commands))]
    postfix.expected_trouble = [*postfix.expected_trouble, *RELOADED, *changed]
    return await postfix.paste(commands)


@asynccontextmanager
async def recipe_pair(
    directory: Path, ports: PortReservation, postfix: PostfixInstance, wanted: Recipe, options: Sequence[str] = ()
) -> AsyncIterator[RecipePair]:
    """Start the gateway with the recipe's part for it, and `postfix` with what the command prints for that gateway.

    `wanted` names the ports, `options` are the command's.
    """
    async with Sink() as elsewhere:
        config = _CONFIG.format(elsewhere=elsewhere.address) + parts(wanted.render())["stellwerk.toml"]
        gateway = GatewayProcess(directory, config.replace('outbound = "postfix"', 'outbound = "elsewhere"'))
        printed = parts(await gateway.command("postfix", "recipe", wanted.name, *options))
        postfix.write_mailboxes([*MAILBOXES, "team"])
        postfix.write_aliases(ALIASES)
        postfix.write_transports({LATE: "smtp:[127.0.0.1]:1"})
        before = comparable(await postfix.configuration())
        await postfix.apply(printed)
        if complaints := await postfix.check():
            raise AssertionError(complaints)
        await gateway.start()
        try:
            await postfix.start()
            yield RecipePair(postfix, gateway, elsewhere, wanted.name, tuple(options), printed, before)
        finally:
            await postfix.stop()
            await gateway.stop()


def comparable(configuration: list[str]) -> list[str]:
    """Without what a recipe may leave behind: the raised size limit, and a default that is written out."""
    return [line for line in configuration if not re.match(r"message_size_limit|\w+ =\Z", line)]


def transaction_id(text: str) -> str:
    """The id in brackets that ends a reply of the gateway, wherever Postfix quotes it. AssertionError without one."""
    found = re.search(r"\[([0-9a-z]{16,})\]", text)
    assert found, text
    return found[1]
