"""Mail that waits in Postfix's queue although the gateway has let it pass."""

from __future__ import annotations

from collections.abc import Awaitable

from tests.integration.postfix.recipe_pair import RecipePair
from tests.integration.waiting import until


async def with_mail_in_the_queue(pair: RecipePair, sending: Awaitable[None]) -> None:
    """Carry out `sending` while Postfix cannot deliver, and mend Postfix when the message is deferred."""
    restore = pair.postfix.snapshot()
    pair.postfix.set(virtual_transport="lmtp:inet:127.0.0.1:1")
    await pair.postfix.reload()
    await sending

    async def waits() -> bool:
        return [entry["queue_name"] for entry in await pair.postfix.queue()] == ["deferred"]

    await until(waits, "one message is deferred")
    restore()
    await pair.postfix.reload()
