"""TLS at the edge: STARTTLS, implicit TLS, and clients that do it wrong on purpose."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from typing import Any

import pytest

from tests.certificates import authority, tls_settings
from tests.core.smtp.client import Client, eventually
from tests.core.smtp.conftest import Edge, StartEdge
from tests.core.smtp.tls_client import TlsClient

MESSAGE = b"Subject: x\r\n\r\ntext\r\n.\r\n"


async def upgraded(edge: Edge) -> TlsClient:
    """A connection behind EHLO and STARTTLS."""
    plain = await edge.greeted()
    assert await plain.say("STARTTLS") == "220 2.0.0 ready to start TLS"
    return await TlsClient.over(plain, authority().client())


async def deliver(client: Client) -> str:
    for line in ("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA"):
        assert (await client.say(line))[0] in "23"
    return await client.tell(MESSAGE)


async def test_starttls(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    async with await edge.connect() as plain:
        await plain.reply()
        assert " STARTTLS" in await plain.say("EHLO client.test")
        assert (await plain.say("STARTTLS")).startswith("220 ")
        client = await TlsClient.over(plain, authority().client())
        offered = await client.say("EHLO client.test")
        assert offered.startswith("250-")
        assert "STARTTLS" not in offered
        assert (await deliver(client)).startswith("250 ")
        assert (await client.say("QUIT")).startswith("221 ")
        assert await client.is_closed()
    (session,) = edge.pipeline.sessions
    assert (session.tls, session.cipher) == client.tls.cipher()[1::-1]  # type: ignore[index]
    assert session.tls == "TLSv1.3"
    assert edge.pipeline.kept[0].data == MESSAGE[:-3]
    assert edge.pipeline.confirmed == ["t1"]
    await edge.idle()


async def test_implicit_tls(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings(tls="implicit"))
    async with await TlsClient.over(await edge.connect(), authority().client()) as client:
        assert (await client.reply()).startswith("220 ")
        assert "STARTTLS" not in await client.say("EHLO client.test")
        assert (await client.say("STARTTLS")).startswith("503 5.5.1")
        assert (await deliver(client)).startswith("250 ")
        assert (await client.say("QUIT")).startswith("221 ")
        assert await client.is_closed()
    assert edge.pipeline.sessions[0].tls == "TLSv1.3"
    await edge.idle()


async def test_p47_plaintext_behind_starttls_is_discarded(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    plain = await edge.greeted()
    injected = b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@b.test>\r\nRCPT TO:<anna@example.test>\r\n"
    assert (await plain.tell(injected)).startswith("220 ")
    async with await TlsClient.over(plain, authority().client()) as client:
        # What comes is the answer to this, and nobody has said EHLO yet.
        assert (await client.say("MAIL FROM:<a@b.test>")).startswith("503 5.5.1")
        assert (await client.say("RCPT TO:<anna@example.test>")).startswith("503 5.5.1")
        assert (await client.say("EHLO client.test")).startswith("250-")
        assert (await deliver(client)).startswith("250 ")
    assert [session.helo for session in edge.pipeline.sessions] == ["client.test"]


async def test_p47_an_open_transaction_does_not_survive(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    async with await edge.greeted() as plain:
        assert (await plain.say("MAIL FROM:<a@b.test>")).startswith("250 ")
        assert (await plain.say("STARTTLS")).startswith("503 5.5.1")
        assert (await plain.say("RSET", "STARTTLS")).startswith("220 ")
        client = await TlsClient.over(plain, authority().client())
        assert (await client.say("RCPT TO:<anna@example.test>")).startswith("503 5.5.1")


async def test_what_a_trusted_peer_forwarded_before_is_forgotten(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings(role="filter", trusted_peers=["127.0.0.1"], xclient=True))
    async with await edge.greeted() as plain:
        assert (await plain.say("XCLIENT ADDR=127.0.0.1 LOGIN=root")).startswith("220 ")
        assert (await plain.say("EHLO x.test", "XFORWARD ADDR=192.0.2.1")).startswith("250 ")
        assert (await plain.say("STARTTLS")).startswith("220 ")
        client = await TlsClient.over(plain, authority().client())
        assert "XCLIENT" in await client.say("EHLO client.test")
        assert (await deliver(client)).startswith("250 ")
    found = edge.pipeline.sessions[0].client
    assert (found.address, found.login, found.forwarded) == ("127.0.0.1", "", False)


async def test_p48_twice_and_with_an_argument(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    async with await edge.greeted() as plain:
        assert (await plain.say("STARTTLS now")).startswith("501 5.5.4")
    async with await upgraded(edge) as client:
        assert (await client.say("EHLO client.test")).startswith("250-")
        assert (await client.say("STARTTLS")).startswith("503 5.5.1")
        assert (await deliver(client)).startswith("250 ")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("garbage", [b"EHLO client.test\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 300, b"\0" * 5000])
async def test_p48_garbage_instead_of_a_handshake(start_edge: StartEdge, tls: str, garbage: bytes) -> None:
    edge = await start_edge(**tls_settings(tls=tls))
    async with await opened(edge, tls) as client:
        await client.send(garbage)
        assert b"250" not in await rest(client)
    await edge.idle()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_p48_a_hanging_handshake_frees_its_slot(start_edge: StartEdge, tls: str) -> None:
    edge = await start_edge(**tls_settings(tls=tls, tls_handshake_seconds=0.1, max_connections=1))
    async with await opened(edge, tls) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        await rest(client)
    await edge.idle()
    async with await opened(edge, tls) as again:
        await TlsClient.over(again, authority().client())


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_p48_a_client_that_goes_away_in_the_handshake(start_edge: StartEdge, tls: str) -> None:
    edge = await start_edge(**tls_settings(tls=tls))
    for how in ("close", "reset", "half_close"):
        client = await opened(edge, tls)
        await client.send(b"\x16\x03\x01\x02\x00\x01")
        getattr(client, how)()
        await edge.idle()
        client.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_p48_old_versions_are_refused(start_edge: StartEdge, tls: str) -> None:
    edge = await start_edge(**tls_settings(tls=tls))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = authority().client(version=ssl.TLSVersion.TLSv1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with await opened(edge, tls) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await TlsClient.over(client, old)
    async with await opened(edge, tls) as client:
        new = await TlsClient.over(client, authority().client(version=ssl.TLSVersion.TLSv1_2))
        assert new.tls.version() == "TLSv1.2"
        assert "ECDHE" in new.tls.cipher()[0]  # type: ignore[index]
    await edge.idle()


async def test_p48_a_client_that_names_nobody_gets_the_certificate(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings(tls="implicit"))
    context = authority().client()
    context.check_hostname = False
    async with await TlsClient.over(await edge.connect(), context, None) as client:
        assert (await client.reply()).startswith("220 ")


async def test_required_means_no_mail_before_it(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings(tls="required"))
    plain = await edge.greeted()
    for line in ("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA", "VRFY anna", "XFORWARD ADDR=192.0.2.1"):
        assert (await plain.say(line)).startswith("530 5.7.0 Must issue a STARTTLS command first")
    for line in ("NOOP", "RSET", "EHLO again.test"):
        assert (await plain.say(line)).startswith("250")
    assert (await plain.say("STARTTLS")).startswith("220 ")
    async with await TlsClient.over(plain, authority().client()) as client:
        assert (await client.say("EHLO client.test")).startswith("250")
        assert (await deliver(client)).startswith("250 ")


@pytest.mark.parametrize("tls", ["required", "implicit"])
async def test_a_client_without_the_demanded_certificate(start_edge: StartEdge, tls: str) -> None:
    edge = await start_edge(**tls_settings(tls=tls, tls_client_ca="given"))
    async with await opened(edge, tls) as client:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await said_hello(client)
    async with await opened(edge, tls) as client:
        known = authority().client(own=authority().issue("postfix.example.test"))
        somebody = await TlsClient.over(client, known)
        if tls == "implicit":
            await somebody.reply()
        assert (await somebody.say("EHLO client.test")).startswith("250")
    await edge.idle()


async def test_a_message_of_many_blocks(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings(), limits={"spill_bytes": 65_536})
    body = b"0123456789abcdef" * 4 + b"\r\n"
    async with await upgraded(edge) as client:
        await client.say("EHLO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA")
        for _ in range(40):
            await client.send(body * 1000)
        assert (await client.tell(b".\r\n")).startswith("250 ")
    assert edge.pipeline.kept[0].data == body * 40_000


async def test_a_client_that_closes_behind_its_message(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    edge.pipeline.hold = asyncio.Event()
    client = await upgraded(edge)
    await client.say("EHLO client.test", "MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>", "DATA")
    await client.send(MESSAGE)
    await eventually(lambda: edge.server.running_transactions)
    client.close()
    edge.pipeline.hold.set()
    await edge.idle()
    assert [kept.data for kept in edge.pipeline.kept] == [MESSAGE[:-3]]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_stopping_does_not_wait_for_a_handshake(start_edge: StartEdge, tls: str) -> None:
    edge = await start_edge(**tls_settings(tls=tls))
    async with await opened(edge, tls) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01")
        await eventually(lambda: edge.server.open_connections)
        await edge.server.drain(3600)
        await rest(client)
    assert not edge.server.open_connections


async def test_idle_connections_hear_that_the_server_stops(start_edge: StartEdge) -> None:
    edge = await start_edge(**tls_settings())
    async with await upgraded(edge) as client:
        await client.say("EHLO client.test")
        stopping = asyncio.create_task(edge.server.drain(3600))
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.is_closed()
    await stopping


async def test_a_listener_without_tls(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        assert (await client.say("STARTTLS")).startswith("502 5.5.1")


async def test_a_unix_socket(start_edge: StartEdge, tmp_path: Any) -> None:
    settings = tls_settings(protocol="lmtp", address="unix:/tmp/lmtp.sock", unix=tmp_path / "lmtp.sock")
    edge = await start_edge(**settings)
    plain = await edge.greeted("LHLO client.test")
    assert (await plain.say("STARTTLS")).startswith("220 ")
    async with await TlsClient.over(plain, authority().client()) as client:
        assert (await client.say("LHLO client.test")).startswith("250")
        assert (await deliver(client)).startswith("250 ")


async def said_hello(client: Client) -> None:
    """A handshake and a command: with TLS 1.3 a refusal comes behind the handshake."""
    await (await TlsClient.over(client, authority().client())).say("EHLO client.test")


async def opened(edge: Edge, tls: str) -> Client:
    """A connection at the moment when the handshake is due."""
    client = await edge.connect()
    if tls != "implicit":
        await client.reply()
        assert (await client.say("EHLO client.test", "STARTTLS")).startswith("220 ")
    return client


async def rest(client: Client) -> bytes:
    """What comes until the server closes."""
    said = b""
    try:
        while more := await client.read():
            said += more
    except ConnectionError:
        pass
    return said
