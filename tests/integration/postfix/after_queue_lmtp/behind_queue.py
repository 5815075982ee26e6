"""Postfix with the gateway behind its queue, put together from nothing but what the command `postfix recipe` prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.postfix_recipes.after_queue import Aliases
from gateway.postfix_recipes.fitting import STANDARD_MAX_MESSAGE_BYTES
from gateway.postfix_recipes.recipe import parts
from tests.integration.gateway_process import GatewayProcess
from tests.integration.postfix.instance import PostfixInstance

_CONFIG = """\
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "state"

[store]
url = "sqlite:///state/stellwerk.db"
auto_upgrade = true

[hosted."example.test"]
mailboxes = [{mailboxes}]

"""

_REPLY_OF_THE_GATEWAY = re.compile(
    r"postfix/lmtp\[\d+\]: (?P<queue_id>\w+): to=<(?P<to>[^>]*)>.*? dsn=(?P<dsn>[\d.]+), "
    r"status=(?P<status>\w+) \((?P<reply>.*)\)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class GatewayReply:
    """One line of Postfix's log: what the gateway said to one recipient."""

    queue_id: str
    to: str
    dsn: str
    status: str
    reply: str

    @property
    def transaction(self) -> str:
        """The gateway's id of the transaction, empty when its reply named none."""
        found = re.search(r"\[(\w+)\](?: \(in reply to .*\))?$", self.reply)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class BehindQueue:
    """A running pair. `postfix` takes the mail, `gateway` sits behind its queue, Maildirs of `postfix` are the end.

    `way_back` is the `host:port` at which Postfix takes the mail back.
    """

    postfix: PostfixInstance
    gateway: GatewayProcess
    way_back: str

    def replies(self) -> list[GatewayReply]:
        """What the gateway answered, recipient by recipient, in the order of the mail log."""
        found = _REPLY_OF_THE_GATEWAY.finditer(self.postfix.log)
        return [GatewayReply(**match.groupdict()) for match in found]

    def replies_to(self, recipient: str) -> list[GatewayReply]:
        return [reply for reply in self.replies() if reply.to == recipient]


class StartBehindQueue(Protocol):
    """The fixture `behind_queue` (conftest.py)."""

    async def __call__(
        self,
        mailboxes: Sequence[str],
        *,
        postfix_only: Sequence[str] = (),
        aliases_in: Aliases = "stellwerk",
        change_main_cf: Callable[[str], str] = str,
        change_config: Callable[[str], str] = str,
        max_message_bytes: int = STANDARD_MAX_MESSAGE_BYTES,
    ) -> BehindQueue: ...


def gateway_config(recipe: str, mailboxes: Iterable[str]) -> str:
    """A whole configuration around the part of the recipe that is for the gateway."""
    names = ", ".join(f'"{name}"' for name in mailboxes)
    return _CONFIG.format(mailboxes=names) + parts(recipe)["stellwerk.toml"]


async def printed_recipe(gateway: GatewayProcess, aliases: Aliases) -> str:
    """What the command prints for the ports in this gateway's own configuration."""
    return await gateway.command("postfix", "recipe", "after-queue-lmtp", "--aliases", aliases)
