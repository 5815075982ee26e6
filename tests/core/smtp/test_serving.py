"""Listening, and the end of it: drained connections, transactions that outlive their clients, UNIX sockets."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.core.smtp.client import Client, eventually
from tests.core.smtp.conftest import Edge, StartEdge


async def processing(edge: Edge, wire: bytes = b"x\r\n.\r\n") -> Client:
    """A client whose message is complete and being worked on."""
    edge.pipeline.hold = asyncio.Event()
    client = await edge.greeted()
    await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
    await client.send(wire)
    await eventually(lambda: edge.server.running_transactions)
    return client


def release(edge: Edge) -> None:
    assert edge.pipeline.hold is not None
    edge.pipeline.hold.set()


@pytest.mark.parametrize(("behind", "codes"), [(b"", ["250"]), (b"QUIT\r\n", ["250", "221"])])
async def test_p62_a_half_closed_client_gets_its_reply(start_edge: StartEdge, behind: bytes, codes: list[str]) -> None:
    edge = await start_edge()
    client = await processing(edge, b"x\r\n.\r\n" + behind)
    client.half_close()
    await asyncio.sleep(0.05)
    release(edge)
    assert [(await client.reply())[:3] for _ in codes] == codes
    assert await client.is_closed()
    client.close()
    assert len(edge.pipeline.kept) == 1
    assert edge.pipeline.confirmed == []


async def test_a_lost_client_does_not_end_its_transaction(start_edge: StartEdge) -> None:
    edge = await start_edge()
    client = await processing(edge)
    client.reset()
    await asyncio.sleep(0.05)
    assert edge.server.running_transactions == 1
    release(edge)
    await eventually(lambda: edge.pipeline.kept)
    assert edge.pipeline.kept[0].client_gone
    assert edge.pipeline.confirmed == edge.pipeline.abandoned == []
    await edge.idle()


async def test_no_timer_runs_while_a_message_is_worked_on(start_edge: StartEdge) -> None:
    edge = await start_edge(command_timeout_seconds=0.1, data_timeout_seconds=0.1)
    client = await processing(edge)
    await asyncio.sleep(0.5)
    release(edge)
    assert (await client.reply()).startswith("250 ")
    client.close()


async def test_drain_answers_each_as_far_as_it_is(start_edge: StartEdge) -> None:
    edge = await start_edge()
    idle = await edge.greeted()
    reading = await edge.greeted()
    await reading.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
    await reading.send(b"not yet complete\r\n")
    busy = await processing(edge)
    draining = asyncio.create_task(edge.server.drain(30))
    assert (await idle.reply()).startswith("421 4.3.2")
    assert await idle.is_closed()
    assert edge.server.running_transactions == 1
    release(edge)
    assert (await busy.reply()).startswith("250 ")
    assert (await busy.say("QUIT")).startswith("221 ")
    assert not draining.done()
    await reading.send(b"now it is\r\n.\r\n")
    assert (await reading.reply()).startswith("250 ")
    assert (await reading.say("MAIL FROM:<>")).startswith("421 4.3.2")
    assert await reading.is_closed()
    await draining
    assert edge.server.open_connections == 0
    assert sorted(edge.pipeline.confirmed) == ["t1", "t2"]
    assert edge.pipeline.abandoned == []
    for client in (idle, reading, busy):
        client.close()


async def test_a_message_that_is_not_complete_when_the_drain_ends_stays_with_its_sender(start_edge: StartEdge) -> None:
    edge = await start_edge()
    client = await edge.greeted()
    await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
    await client.send(b"not complete\r\n")
    await edge.server.drain(0.1)
    assert (await client.reply()).startswith("421 4.3.2")
    assert await client.is_closed()
    assert edge.pipeline.abandoned == ["t1"]
    client.close()


async def test_a_drained_client_gets_no_further_message_in(start_edge: StartEdge) -> None:
    edge = await start_edge()
    client = await processing(edge)
    draining = asyncio.create_task(edge.server.drain(30))
    await asyncio.sleep(0)
    release(edge)
    assert (await client.reply()).startswith("250 ")
    assert (await client.say("MAIL FROM:<>")).startswith("421 4.3.2")
    assert await client.is_closed()
    await draining
    assert edge.pipeline.confirmed == ["t1"]
    client.close()


async def test_a_transaction_that_outlasts_the_drain_goes_on_without_its_client(start_edge: StartEdge) -> None:
    edge = await start_edge()
    client = await processing(edge)
    await edge.server.drain(0.1)
    assert (await client.reply()).startswith("421 4.3.2")
    assert await client.is_closed()
    assert edge.server.running_transactions == 1
    release(edge)
    await eventually(lambda: edge.pipeline.kept)
    assert edge.pipeline.kept[0].client_gone
    client.close()


async def test_the_listening_socket_survives_a_drain(start_edge: StartEdge) -> None:
    edge = await start_edge()
    await edge.server.drain(1)
    with socket.create_connection(edge.address, timeout=5) as waiting:  # type: ignore[arg-type]
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)  # accepted by the kernel, left to whoever shares the socket


async def test_a_unix_socket_is_for_trusted_peers(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge(unix=tmp_path / "lmtp.sock", role="filter", protocol="lmtp", address="unix:/tmp/lmtp.sock")
    async with await edge.greeted("LHLO front.test") as client:
        assert (await client.say("XFORWARD ADDR=192.0.2.1")).startswith("250 ")
        await client.say("MAIL FROM:<>", "RCPT TO:<v@else.test>", "DATA")
        assert (await client.tell(b"x\r\n.\r\n")).startswith("250 ")
    [message] = edge.pipeline.kept
    assert (message.transaction.session.peer.address, message.transaction.session.client.address) == (
        "unix",
        "192.0.2.1",
    )


async def test_a_filter_listener_is_for_trusted_peers(start_edge: StartEdge) -> None:
    edge = await start_edge(role="filter", trusted_peers=["127.0.0.1/32"])
    async with await edge.connect("127.0.0.2") as stranger:
        assert (await stranger.reply()).startswith("554 5.7.1")
        assert await stranger.is_closed()
    async with await edge.connect() as trusted:
        assert (await trusted.reply()).startswith("220 ")


async def test_replies_are_not_held_back_by_the_kernel(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted():
        [conversation] = edge.server._conversations
        assert conversation.transport is not None
        connection = conversation.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
