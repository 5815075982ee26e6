"""The PROXY header: from whom it is taken, what it may look like, and what comes of it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.smtp import proxy_protocol
from gateway.smtp.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    missing,
    read_header,
    receive_header,
)
from tests.certificates import authority, tls_settings
from tests.core.smtp.client import Client, eventually
from tests.core.smtp.conftest import Edge, StartEdge
from tests.core.smtp.tls_client import TlsClient

V1 = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"
BEHIND_PROXY: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
FAR = ProxyHeader("192.0.2.9", 4711, "198.51.100.1:25")
FAR6 = ProxyHeader("2001:db8::9", 4711, "[2001:db8::1]:25")


def v2(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    announced = len(block) if length is None else length
    return SIGNATURE + bytes((command, family)) + announced.to_bytes(2, "big") + block


def tcp4(extensions: bytes = b"", command: int = 0x21) -> bytes:
    ports = (4711).to_bytes(2, "big") + (25).to_bytes(2, "big")
    return v2(command, 0x11, bytes((192, 0, 2, 9, 198, 51, 100, 1)) + ports + extensions)


def tcp6(source: str = "2001:db8::9") -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    return v2(0x21, 0x21, addresses + (4711).to_bytes(2, "big") + (25).to_bytes(2, "big"))


HEADERS = [
    pytest.param(V1, FAR, id="v1"),
    pytest.param(b"PROXY TCP6 2001:db8::9 2001:DB8::1 4711 25\r\n", FAR6, id="v1 IPv6"),
    pytest.param(b"PROXY UNKNOWN\r\n", ProxyHeader(), id="v1 unknown"),
    pytest.param(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxyHeader(), id="v1 unknown with addresses"),
    pytest.param(tcp4(), FAR, id="v2"),
    pytest.param(tcp6(), FAR6, id="v2 IPv6"),
    pytest.param(tcp6("::ffff:192.0.2.9"), ProxyHeader("192.0.2.9", 4711, "[2001:db8::1]:25"), id="v2 mapped"),
    pytest.param(tcp4(b"\x03\x00\x04abcd" + b"\x20\x00\x05\x01\0\0\0\0"), FAR, id="v2 with extensions"),
    pytest.param(v2(0x20, 0, b""), ProxyHeader(), id="v2 LOCAL"),
    pytest.param(tcp4(command=0x20), ProxyHeader(), id="v2 LOCAL with addresses"),
    pytest.param(v2(0x21, 0x31, b"/" * 216), ProxyHeader(), id="v2 UNIX socket"),
    pytest.param(v2(0x21, 0, b""), ProxyHeader(), id="v2 unspecified"),
]

MALFORMED = [
    pytest.param(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711\r\n", id="v1 garbage: a port is missing"),
    pytest.param(b"PROXY  TCP4 192.0.2.9 198.51.100.1 4711 25\r\n", id="v1 garbage: two spaces"),
    pytest.param(b"PROXY TCP4 192.0.2.900 198.51.100.1 4711 25\r\n", id="v1 garbage: no address"),
    pytest.param(b"PROXY TCP4 2001:db8::9 198.51.100.1 4711 25\r\n", id="v1 garbage: another family"),
    pytest.param(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 65536\r\n", id="v1 garbage: no port"),
    pytest.param(b"PROXY UDP4 192.0.2.9 198.51.100.1 4711 25\r\n", id="v1 garbage: no stream"),
    pytest.param(b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\n", id="v1 garbage: bare LF"),
    pytest.param(b"PROXY \xff\xff\r\n", id="v1 garbage: octets"),
    pytest.param(b"PROXY TCP4 " + b"1" * 100 + b"\r\n", id="v1 too long"),
    pytest.param(b"PROXY TCP4 " + b"1" * 500, id="v1 endless"),
    pytest.param(b"EHLO client.test\r\n", id="no header"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01", id="a handshake"),
    pytest.param(v2(0x21, 0x11, b"", length=65535), id="v2 length 65,535"),
    pytest.param(v2(0x21, 0x11, b"\0" * 11), id="v2 too short"),
    pytest.param(v2(0x22, 0x11, b"\0" * 12), id="v2 unknown command"),
    pytest.param(v2(0x11, 0x11, b"\0" * 12), id="v2 version 1"),
    pytest.param(b"\r\n\r\n\x00\r\nQUIX\n" + b"\0" * 4, id="v2 wrong signature"),
]


def take(raw: bytes) -> bytes:
    """As `receive_header` does, from a stream of which `raw` is the beginning."""
    taken = b""
    while wanted := missing(taken):
        if len(taken) + wanted > len(raw):
            raise ProxyHeaderError("incomplete")
        taken += raw[len(taken) : len(taken) + wanted]
    return taken


@pytest.mark.parametrize(("raw", "header"), HEADERS)
def test_headers(raw: bytes, header: ProxyHeader) -> None:
    taken = take(raw + b"EHLO client.test\r\n")
    assert (taken, read_header(taken)) == (raw, header)


@pytest.mark.parametrize("raw", MALFORMED)
def test_p51_malformed_headers(raw: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_header(take(raw + b"\r\n"))


def test_p51_nothing_can_make_it_read_without_end() -> None:
    assert missing(v2(0x21, 0x11, b"", length=MAX_V2)) == MAX_V2
    for raw in (v2(0x21, 0x11, b"", length=MAX_V2 + 1), b"PROXY " + b"x" * MAX_V1):
        with pytest.raises(ProxyHeaderError):
            missing(raw)


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_nothing_behind_the_header_is_taken(piece: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        for raw in (V1, tcp4(), tcp6()):
            receiving = asyncio.create_task(receive_header(ours))
            for start in range(0, len(raw), piece):
                theirs.send(raw[start : start + piece] + (b"more" if start + piece >= len(raw) else b""))
                await asyncio.sleep(0)
            assert (await receiving).port == 4711
            assert ours.recv(100) == b"more"


async def hello(client: Client) -> str:
    assert (await client.reply()).startswith("220 ")
    return await client.say("EHLO client.test")


async def delivered(edge: Edge, client: Client) -> Any:
    """Hand a message over; the session it came by."""
    await client.say("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA")
    assert (await client.tell(b"Subject: x\r\n\r\nx\r\n.\r\n")).startswith("250 ")
    return edge.pipeline.sessions[-1]


@pytest.mark.parametrize(
    ("header", "address"),
    [(V1, "192.0.2.9"), (tcp4(), "192.0.2.9"), (tcp6(), "2001:db8::9"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")],
)
async def test_the_client_is_whom_the_header_names(start_edge: StartEdge, header: bytes, address: str) -> None:
    edge = await start_edge(**BEHIND_PROXY, trusted_peers=["127.0.0.1"])
    async with await edge.connect() as client:
        await client.send(header)
        offered = await hello(client)
        # The balancer may be a trusted peer; whoever comes through it is not.
        assert ("XFORWARD" in offered) == (address == "127.0.0.1")
        session = await delivered(edge, client)
    assert (session.peer.address, session.client.address, session.proxy) == (address, address, "127.0.0.1")


async def test_p51_local_keeps_the_socket_address(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(tcp4(command=0x20))
        await hello(client)
        session = await delivered(edge, client)
    assert (session.client.address, session.client.port) == client_of(session)
    assert (session.client.address, session.destination) == ("127.0.0.1", "")


def client_of(session: Any) -> tuple[str, int]:
    assert session.peer.port != 4711
    return session.peer.address, session.peer.port


async def test_p51_from_an_address_that_is_no_trusted_proxy(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect("127.0.0.2") as client:
        await client.send(V1)
        assert await client.is_closed()
    await edge.idle()


@pytest.mark.parametrize("raw", MALFORMED)
async def test_p51_a_malformed_header_is_closed_without_a_word(
    start_edge: StartEdge, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_protocol, "HEADER_SECONDS", 0.2)
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(raw)
        assert await client.is_closed()
    await edge.idle()


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 192.0.2.9", SIGNATURE])
async def test_p51_none_in_time(start_edge: StartEdge, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_protocol.HEADER_SECONDS <= 3
    monkeypatch.setattr(proxy_protocol, "HEADER_SECONDS", 0.05)
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(begun)
        assert await client.is_closed()
    await edge.idle()


@pytest.mark.parametrize("first", [V1, tcp4()])
@pytest.mark.parametrize("second", [V1, tcp4()])
@pytest.mark.parametrize("at_once", [True, False])
async def test_p51_twice(start_edge: StartEdge, first: bytes, second: bytes, at_once: bool) -> None:
    edge = await start_edge(**BEHIND_PROXY, greeting_delay_ms=10_000)
    async with await edge.connect() as client:
        await client.send(first + second if at_once else first)
        if not at_once:
            await asyncio.sleep(0.05)
            await client.send(second)
        assert await client.is_closed()
    await edge.idle()


async def test_p51_a_second_header_behind_the_greeting_ends_the_session(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(V1)
        await hello(client)
        assert (await client.tell(V1)).startswith("221 2.7.0")
        assert await client.is_closed()


async def test_a_header_and_commands_in_one_piece(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(tcp4() + b"EHLO client.test\r\n")
        assert (await client.reply()).startswith("220 ")
        assert (await client.reply()).startswith("250-")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("header", [V1, tcp4()])
async def test_with_tls(start_edge: StartEdge, tls: str, header: bytes) -> None:
    """The header precedes the handshake (specification 2), and may come in one piece with its beginning."""
    edge = await start_edge(**BEHIND_PROXY, **tls_settings(tls=tls))
    plain = await edge.connect()
    if tls == "implicit":
        client = TlsClient(plain, authority().client(), "gw.example.test")
        await client.shake_hands(in_front=header)
        await hello(client)
    else:
        await plain.send(header)
        await hello(plain)
        await plain.say("STARTTLS")
        client = await TlsClient.over(plain, authority().client())
        await client.say("EHLO client.test")
    async with client:
        session = await delivered(edge, client)
    assert (session.client.address, session.proxy, session.tls) == ("192.0.2.9", "127.0.0.1", "TLSv1.3")
    assert session.destination == "198.51.100.1:25"


async def test_limits_count_clients_and_not_the_proxy(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY, max_connections_per_client=1)
    async with await edge.connect() as first, await edge.connect() as second, await edge.connect() as other:
        await first.send(V1)
        await hello(first)
        await second.send(V1)
        assert (await second.reply()).startswith("421 4.7.0")
        await other.send(V1.replace(b"192.0.2.9", b"192.0.2.10"))
        await hello(other)
    await edge.idle()


async def test_who_is_trusted_is_decided_by_the_header(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY, role="filter", trusted_peers=["192.0.2.9"])
    async with await edge.connect() as client, await edge.connect() as stranger:
        await client.send(V1)
        assert "XFORWARD" in await hello(client)
        await stranger.send(V1.replace(b"192.0.2.9", b"192.0.2.10"))
        assert (await stranger.reply()).startswith("554 5.7.1")


async def test_stopping_does_not_wait_for_a_header(start_edge: StartEdge) -> None:
    edge = await start_edge(**BEHIND_PROXY)
    async with await edge.connect() as client:
        await client.send(b"PROXY ")
        await eventually(lambda: edge.server._arriving)
        await edge.server.drain(3600)
        assert await client.is_closed()
