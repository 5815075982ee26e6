"""What the recipe relies on in Postfix, with a recording server in the gateway's place."""

from __future__ import annotations

import pytest

from gateway.postfix_recipes.before_queue_proxy import BeforeQueueProxy
from gateway.postfix_recipes.recipe import parts
from gateway.testing.sink import XFORWARD, Sink
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance, RemoteClient
from tests.integration.postfix.messages import message

pytestmark = pytest.mark.server("postfix")


async def test_gateway_on_a_unix_socket(postfix: PostfixInstance, ports: PortReservation) -> None:
    socket = postfix.base / "proxy.sock"
    postfix.write_mailboxes(["anna"])
    async with Sink(keywords=("8BITMIME", XFORWARD), unix_path=socket) as sink:
        # the real one is 0660, and Postfix's user in its group
        socket.chmod(0o666)
        recipe = BeforeQueueProxy(sink.address, f"127.0.0.1:{ports.take()}", service=postfix.front)
        await postfix.apply(parts(recipe.render()))
        await postfix.start()
        await postfix.inject(message(), "cleo@client.example", ["anna@example.test"], RemoteClient())
        [received] = sink.messages
        assert received.to == ("anna@example.test",)
        assert received.xforward["ADDR"] == "192.0.2.7"
        await postfix.stop()
