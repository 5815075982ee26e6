"""Fixtures of the tests of the recipe after-queue-lmtp."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gateway.postfix_recipes.after_queue import Aliases
from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from gateway.postfix_recipes.fitting import STANDARD_MAX_MESSAGE_BYTES
from gateway.postfix_recipes.recipe import parts
from tests.integration.gateway_process import StartGateway
from tests.integration.ports import PortReservation
from tests.integration.postfix.after_queue_lmtp.behind_queue import (
    BehindQueue,
    StartBehindQueue,
    gateway_config,
    printed_recipe,
)
from tests.integration.postfix.instance import PostfixInstance


@pytest.fixture
def behind_queue(postfix: PostfixInstance, ports: PortReservation, gateway_process: StartGateway) -> StartBehindQueue:
    """Start the gateway, and Postfix in front of it with exactly the lines that the command prints for that gateway.

    `mailboxes` exist on both sides, `postfix_only` are unknown to the gateway. `change_main_cf` and `change_config`
    edit the printed parts, for the few tests of what happens without a line of them.
    """

    async def start(
        mailboxes: Sequence[str],
        *,
        postfix_only: Sequence[str] = (),
        aliases_in: Aliases = "stellwerk",
        change_main_cf: Callable[[str], str] = str,
        change_config: Callable[[str], str] = str,
        max_message_bytes: int = STANDARD_MAX_MESSAGE_BYTES,
    ) -> BehindQueue:
        wanted = AfterQueueLmtp(
            gateway=f"127.0.0.1:{ports.take()}",
            reinjection=f"127.0.0.1:{ports.take()}",
            max_message_bytes=max_message_bytes,
            aliases=aliases_in,
        )
        gateway = await gateway_process(change_config(gateway_config(wanted.render(), mailboxes)))
        printed = parts(await printed_recipe(gateway, aliases_in))
        postfix.write_mailboxes([*mailboxes, *postfix_only])
        postfix.append(main_cf=change_main_cf(printed["main.cf"]), master_cf=printed["master.cf"])
        await postfix.start()
        return BehindQueue(postfix, gateway, wanted.reinjection)

    return start
