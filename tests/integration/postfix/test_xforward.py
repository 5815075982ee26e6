"""Who really sent it: Postfix's client reaches the gateway's trace, and is passed on to the way back."""

from __future__ import annotations

import pytest

from tests.integration.postfix.behind_queue import StartBehindQueue
from tests.integration.postfix.messages import message

pytestmark = pytest.mark.server("postfix")

CLIENTS = {
    "named": {"NAME": "client.example", "ADDR": "192.0.2.7", "HELO": "helo.client.example", "PROTO": "ESMTP"},
    "nameless": {"NAME": "[UNAVAILABLE]", "ADDR": "192.0.2.8", "HELO": "other.example", "PROTO": "SMTP"},
    "ipv6": {"NAME": "six.example", "ADDR": "IPV6:2001:db8::7", "HELO": "[IPv6:2001:db8::7]", "PROTO": "ESMTP"},
    "odd-helo": {"NAME": "client.example", "ADDR": "192.0.2.9", "HELO": "a+2Bb+3Dc", "PROTO": "ESMTP"},
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_client_of_postfix_is_in_the_trace(behind_queue: StartBehindQueue, client: dict[str, str]) -> None:
    pair = await behind_queue(["anna"])
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], xclient=client)
    await pair.postfix.wait_until_delivered(1, "anna")
    [reply] = pair.replies()
    session = (await pair.gateway.trace(reply.transaction))["session"]
    assert session["forwarded"] is True
    assert session["client"] == client["ADDR"].removeprefix("IPV6:")
    assert session.get("client_name", "[UNAVAILABLE]") == client["NAME"]
    assert session["client_protocol"] == client["PROTO"]
    assert session["helo"] == client["HELO"].replace("+2B", "+").replace("+3D", "=")
    assert session["source"] == "REMOTE"
    assert session["ident"] == reply.queue_id
    assert session["peer"] == "127.0.0.1"


async def test_client_stands_in_the_log_of_the_way_back(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    client = CLIENTS["named"]
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], xclient=client)
    await pair.postfix.wait_until_delivered(1, "anna")
    [reply] = pair.replies()
    assert pair.postfix.log_lines(
        rf"postfix/smtpd.*: client=localhost\[127\.0\.0\.1\], orig_queue_id={reply.queue_id}, "
        r"orig_client=client\.example\[192\.0\.2\.7\]"
    )
