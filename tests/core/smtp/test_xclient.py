"""XCLIENT: what it may say, who may say it, and whose session it is afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mail.envelope import Client, Session
from gateway.smtp.limits import TrustedPeers
from gateway.smtp.parameters import ArgumentError
from gateway.smtp.xclient import impersonated, read_xclient
from tests.core.smtp.conftest import Edge, StartEdge

PEER = Client("127.0.0.1", 4242)
SESSION = Session("s", "mx", "smtp", "inbound", "inbound", PEER, PEER, "front.test", trusted=True, tags={"a.b": 1})
TRUSTED = TrustedPeers(["127.0.0.0/8"])
ALL = (
    "NAME=client.test ADDR=192.0.2.9 PORT=4711 PROTO=ESMTP HELO=[192.0.2.9] LOGIN=anna+40example.test "
    "DESTADDR=198.51.100.1 DESTPORT=25"
)


def test_the_session_is_that_of_the_client_named() -> None:
    found = impersonated(SESSION, read_xclient(ALL), TRUSTED)
    assert found.client == Client(
        "192.0.2.9", 4711, "client.test", "[192.0.2.9]", "ESMTP", forwarded=True, login="anna@example.test"
    )
    assert (found.peer, found.destination, found.helo, found.tags) == (PEER, "198.51.100.1:25", "", {})
    assert not found.trusted


def test_what_is_left_out_stays_and_what_is_unavailable_is_unknown() -> None:
    first = impersonated(SESSION, read_xclient(ALL), TRUSTED)
    second = impersonated(first, read_xclient("NAME=[UNAVAILABLE] PORT=[TEMPUNAVAIL]"), TRUSTED)
    assert second.client == Client("192.0.2.9", 0, "", "", "", forwarded=True, login="anna@example.test")
    assert second.destination == "198.51.100.1:25"
    assert impersonated(SESSION, read_xclient("ADDR=[UNAVAILABLE]"), TRUSTED).trusted is False
    assert impersonated(SESSION, read_xclient("LOGIN=anna"), TRUSTED).trusted is True
    assert impersonated(first, read_xclient("ADDR=127.0.0.5"), TRUSTED).trusted is True


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("addr=IPV6:2001:DB8::1", {"ADDR": "2001:db8::1"}),
        ("LOGIN=a+0D+0Ab+20c", {"LOGIN": "a??b c"}),
        ("HELO=" + "x" * 300, {"HELO": "x" * 255}),
        ("DESTADDR=IPV6:::1 DESTPORT=[UNAVAILABLE]", {"DESTADDR": "::1", "DESTPORT": ""}),
    ],
)
def test_p50_values(argument: str, values: dict[str, str]) -> None:
    assert read_xclient(argument) == values


@pytest.mark.parametrize(
    "argument",
    ["", "NAME", "IDENT=x", "ADDR=localhost", "PORT=65536", "DESTADDR=x", "DESTPORT=-1", "PROTO=HTTP", "SOURCE=LOCAL"],
)
def test_malformed(argument: str) -> None:
    with pytest.raises(ArgumentError, match=r"501 5\.5\.4 XCLIENT"):
        read_xclient(argument)


async def delivered(edge: Edge, client: Any) -> Session:
    await client.say("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA")
    assert (await client.tell(b"Subject: x\r\n\r\nx\r\n.\r\n")).startswith("250 ")
    return edge.pipeline.sessions[-1]


async def test_it_begins_again_and_lasts_for_the_session(start_edge: StartEdge) -> None:
    edge = await start_edge(trusted_peers=["127.0.0.1"], xclient=True)
    async with await edge.greeted() as client:
        assert "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in await client.say("EHLO front.test")
        assert (await client.say(f"XCLIENT {ALL}")).startswith("220 gw.example.test ESMTP")
        assert (await client.say("MAIL FROM:<a@b.test>")).startswith("503")  # back at the greeting
        # As Postfix: a stranger may not use XCLIENT; XFORWARD goes by the connection.
        offered = await client.say("EHLO other.test")
        assert ("XCLIENT" in offered, "XFORWARD" in offered) == (False, True)
        assert (await client.say("XCLIENT ADDR=127.0.0.1")).startswith("550 5.7.0")
        for _ in range(2):
            session = await delivered(edge, client)
            assert (session.client.address, session.client.login) == ("192.0.2.9", "anna@example.test")
            assert (session.client.helo, session.helo, session.trusted) == ("[192.0.2.9]", "other.test", False)
        assert (await client.say("XFORWARD ADDR=203.0.113.1")).startswith("250")
        assert (await delivered(edge, client)).client.address == "203.0.113.1"
        assert (await delivered(edge, client)).client.address == "192.0.2.9"


async def test_a_client_that_is_trusted_itself_may_go_on(start_edge: StartEdge) -> None:
    edge = await start_edge(trusted_peers=["127.0.0.0/8"], xclient=True)
    async with await edge.greeted() as client:
        assert (await client.say("XCLIENT ADDR=127.0.0.7 LOGIN=anna")).startswith("220 ")
        assert (await client.say("XCLIENT ADDR=127.0.0.8 LOGIN=[UNAVAILABLE]", "EHLO x.test")).startswith("250")
        session = await delivered(edge, client)
    assert (session.client.address, session.client.login, session.client.helo) == ("127.0.0.8", "", "x.test")


async def test_the_new_client_has_no_more_rights_than_if_it_had_come_itself(start_edge: StartEdge) -> None:
    edge = await start_edge(role="filter", trusted_peers=["127.0.0.0/8"], xclient=True)
    async with await edge.greeted() as client:
        assert (await client.say("XCLIENT ADDR=127.0.0.7")).startswith("220 ")
        assert (await client.say("EHLO x.test", "XCLIENT ADDR=192.0.2.9")).startswith("554 5.7.1")
        assert await client.is_closed()


async def test_p49_it_is_for_trusted_peers_where_it_is_allowed(start_edge: StartEdge) -> None:
    for settings in ({"xclient": True, "trusted_peers": ["127.0.0.2"]}, {"trusted_peers": ["127.0.0.1"]}):
        edge = await start_edge(**settings)
        async with await edge.greeted() as client:
            assert "XCLIENT" not in await client.say("EHLO client.test")
            assert (await client.say("XCLIENT ADDR=192.0.2.9")).startswith("550 5.7.0")
            assert (await delivered(edge, client)).client.address == "127.0.0.1"


async def test_not_within_a_transaction(start_edge: StartEdge) -> None:
    edge = await start_edge(trusted_peers=["127.0.0.1"], xclient=True)
    async with await edge.greeted() as client:
        assert (await client.say("MAIL FROM:<a@b.test>", "XCLIENT ADDR=192.0.2.9")).startswith("503 5.5.1")
        assert (await client.say("RSET", "XCLIENT ADDR=nonsense")).startswith("501 5.5.4")
        assert (await delivered(edge, client)).client.address == "127.0.0.1"


async def test_a_refusing_plugin_sees_the_new_client(start_edge: StartEdge) -> None:
    edge = await start_edge(trusted_peers=["127.0.0.1"], xclient=True)
    async with await edge.greeted() as client:
        edge.pipeline.failing.add("connect")
        assert (await client.say("XCLIENT ADDR=192.0.2.9")).startswith("451 4.3.0")
