"""Who really sent it: Postfix's client reaches the gateway's trace, and is passed on to the way back."""

from __future__ import annotations

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message

pytestmark = pytest.mark.server("postfix")

CLIENTS = {
    "named": RemoteClient(),
    "nameless": RemoteClient(name="[UNAVAILABLE]", address="192.0.2.8"),
    "without-esmtp": RemoteClient(esmtp=False),
    "helo-that-needs-xtext": RemoteClient(helo="a+b=c"),
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_client_of_postfix_is_in_the_trace(behind_queue: StartBehindQueue, client: RemoteClient) -> None:
    pair = await behind_queue(["anna"])
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], client)
    await pair.postfix.wait_until_delivered(1, "anna")
    [reply] = pair.replies()
    session = (await pair.gateway.trace(reply.transaction))["session"]
    told = {key: session.get(key) for key in ("client", "client_name", "helo", "client_protocol", "source", "ident")}
    assert told == {
        "client": client.address,
        "client_name": None if client.name == "[UNAVAILABLE]" else client.name,
        "helo": client.helo,
        "client_protocol": "ESMTP" if client.esmtp else "SMTP",
        "source": "REMOTE",
        "ident": reply.queue_id,
    }
    assert (session["peer"], session["forwarded"]) == ("127.0.0.1", True)


async def test_client_stands_in_the_log_of_the_way_back(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(1, "anna")
    [reply] = pair.replies()
    assert pair.postfix.log_lines(
        rf"postfix/smtpd.*: client=localhost\[127\.0\.0\.1\], orig_queue_id={reply.queue_id}, "
        r"orig_client=client\.example\[192\.0\.2\.7\]"
    )
