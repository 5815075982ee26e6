from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.smtp.client import Client, eventually
from tests.security.conftest import MANY_CONNECTIONS, Playground

pytestmark = pytest.mark.asyncio(loop_scope="package")


def conversation(sender: str) -> bytes:
    return (
        f"EHLO client.example\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n"
        "Subject: x\r\n\r\n.\r\nQUIT\r\n"
    ).encode()


@pytest.mark.parametrize(("name", "end"), [("half-close", Client.half_close), ("reset", Client.reset)])
async def test_p61_a_connection_may_end_at_every_octet(
    playground: Playground, name: str, end: Callable[[Client], None]
) -> None:
    """Nothing is delivered before the final dot, exactly one message after it."""
    address = playground.addresses["inbound", *MANY_CONNECTIONS]
    before = len(playground.sink.messages)
    wire = conversation(f"{name}-000@p61.example")
    complete = wire.index(b".\r\nQUIT") + 3
    delivered = []
    for offset in range(len(wire) + 1):
        sender = f"{name}-{offset:03}@p61.example"
        async with await Client.connect(address) as client:
            await client.send(conversation(sender)[:offset])
            if offset >= complete:
                replies = [await client.reply() for _ in range(6)]
                assert replies[-1].startswith("250 2.0.0"), replies
                delivered.append(sender)
            end(client)
    await eventually(lambda: len(playground.sink.messages) >= before + len(delivered))
    async with await Client.connect(address) as client:
        assert (await client.reply()).startswith("220 ")
    assert [message.sender for message in playground.sink.messages[before:]] == delivered
