"""Sizes, times and numbers that a connection may reach; the rows of the fault catalogue that need more than a text."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import re
import resource
import sys
from pathlib import Path

import pytest

from tests.core.smtp.client import Client, eventually
from tests.core.smtp.conftest import Edge, StartEdge

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways


async def begin(edge: Edge) -> Client:
    """A client that may send data now."""
    client = await edge.greeted()
    assert (await client.say("MAIL FROM:<x@sender.test>", "RCPT TO:<anna@example.test>", "DATA")).startswith("354")
    return client


@pytest.mark.parametrize("octets", [100_000, 3_000_000])
async def test_a_large_message_arrives_whole_from_memory_and_from_disk(start_edge: StartEdge, octets: int) -> None:
    edge = await start_edge(limits={"spill_bytes": 1_000_000})
    body = b"x" + re.sub(rb"[\r\n\0]", b"x", random.Random(octets).randbytes(octets)) + b"\r\n..\r\n.x\r\n"
    async with await begin(edge) as client:
        assert (await client.tell(body.replace(b"\r\n.", b"\r\n..") + b".\r\n")).startswith("250 ")
    assert edge.pipeline.kept[0].data == body


async def test_p27_whose_mail_was_announced_too_big_is_told(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_bytes=100_000)
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<x@sender.test> SIZE=100001")
        reply = await client.say("RCPT TO:<anna@example.test>")
    assert reply == "552 5.3.4 a message of 100001 octets is announced, the limit is 100000 [t1]"
    await edge.idle()
    assert edge.pipeline.abandoned == ["t1"]


async def test_p28_a_message_over_the_limit_is_read_to_its_end(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_bytes=100_000, limits={"spill_bytes": 4096})
    async with await begin(edge) as client:
        reply = await client.tell(b"x" * 1_999_998 + b"\r\n.\r\n")
        assert reply == "552 5.3.4 the message has 2000000 octets, the limit is 100000 [t1]"
        assert (await client.say("NOOP")).startswith("250 ")
    assert edge.pipeline.kept == []
    [(transaction_id, refusal, size)] = edge.pipeline.refusals
    assert (transaction_id, refusal.code, size) == ("t1", 552, 2_000_000)


async def test_an_unusable_spool_is_not_the_senders_fault(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge(spool=tmp_path / "missing", limits={"spill_bytes": 4096})
    async with await begin(edge) as client:
        assert (await client.tell(b"x" * 1_000_000 + b"\r\n.\r\n")).startswith("451 4.3.0")
        await client.say("MAIL FROM:<x@sender.test>", "RCPT TO:<anna@example.test>", "DATA")
        assert (await client.tell(b"small\r\n.\r\n")).startswith("250 ")
    assert len(edge.pipeline.kept) == 1


async def test_an_unusable_spool_is_logged_once_a_change_and_told_in_each_trace(
    start_edge: StartEdge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "spool"
    edge = await start_edge(spool=spool, limits={"spill_bytes": 4096})
    large = b"x" * 100_000 + b"\r\n.\r\n"
    async with await begin(edge) as client:

        async def told() -> list[str]:
            caplog.clear()
            replies = [await client.tell(large)]
            for _ in range(2):
                await client.say("MAIL FROM:<x@sender.test>", "RCPT TO:<anna@example.test>", "DATA")
                replies.append(await client.tell(large))
            assert len({reply[:9] for reply in replies}) == 1
            await client.say("MAIL FROM:<x@sender.test>", "RCPT TO:<anna@example.test>", "DATA")
            return [f"{record.levelname} {record.getMessage()}" for record in caplog.records if "spool" in record.name]

        missing = f"the spool {spool} is missing (No such file or directory); `stellwerk serve` makes it when it starts"
        assert await told() == [f"ERROR mx: {missing}; mail larger than limits.spill_bytes is deferred"]
        assert edge.pipeline.told == [[{"event": "spool", "error": missing}]] * 3
        spool.write_text("")
        [line] = await told()
        assert f"the spool {spool} is no directory (Not a directory); move away" in line
        spool.unlink()
        spool.mkdir()
        assert await told() == ["WARNING mx: the spool takes messages again"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "452 4.3.1"),
        (errno.EDQUOT, "452 4.3.1"),
        (errno.EFBIG, "452 4.3.1"),
        (errno.EIO, "451 4.3.0"),
        (errno.EROFS, "451 4.3.0"),
        (errno.EACCES, "451 4.3.0"),
        (errno.EMFILE, "451 4.3.0"),
    ],
)
async def test_only_a_spool_without_room_is_said_to_have_none(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if not Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith(" (deleted)"):
            return real(descriptor, data)
        raise OSError(number, os.strerror(number))

    edge = await start_edge(limits={"spill_bytes": 4096})
    monkeypatch.setattr(os, "write", write)
    async with await begin(edge) as client:
        assert (await client.tell(b"x" * 100_000 + b"\r\n.\r\n")).startswith(code)
    [[event]] = edge.pipeline.told
    assert f"({os.strerror(number)}); " in event["error"]


@pytest.mark.parametrize(("length", "code"), [(998, "250"), (1001, "500")])
async def test_the_longest_line(start_edge: StartEdge, length: int, code: str) -> None:
    edge = await start_edge(limits={"max_line_bytes": 1000})
    async with await begin(edge) as client:
        assert (await client.tell(b"x" * length + b"\r\n.\r\n")).startswith(code)


async def test_what_was_normalised_is_told(start_edge: StartEdge) -> None:
    edge = await start_edge(role="filter", trusted_peers=["127.0.0.1/32"])
    async with await begin(edge) as client:
        assert (await client.tell(b"a\rb\nc\0d\n.\r\ne\r\n.\r\n")).startswith("250 ")
    [kept] = edge.pipeline.kept
    assert kept.data == b"a\r\nb\r\ncd\r\n.\r\ne\r\n"
    assert kept.transaction.events == [{"event": "normalised", "cr": 1, "lf": 2, "nul": 1}]


async def test_p19_an_endless_line_is_given_up(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        [conversation] = edge.server._conversations
        flood = asyncio.create_task(client.send(b"x" * 20 * 1024 * 1024))
        assert (await client.reply()).startswith("500 5.5.2")
        assert (await client.reply()).startswith("421 4.7.0")
        with pytest.raises(ConnectionError):
            await flood
        assert conversation.incoming.received <= 1024 * 1024


async def test_p22_an_octet_now_and_then_does_not_extend_a_command(start_edge: StartEdge) -> None:
    edge = await start_edge(command_timeout_seconds=0.5)
    async with await edge.greeted() as client:
        drip = asyncio.create_task(_drip(client, b"N"))
        try:
            assert (await client.reply()).startswith("421 4.4.2")
            assert await client.is_closed()
        finally:
            drip.cancel()


async def test_p23_slow_data_is_broken_off_and_told(start_edge: StartEdge) -> None:
    edge = await start_edge(data_timeout_seconds=0.5, min_data_bytes_per_second=500)
    async with await begin(edge) as client:
        drip = asyncio.create_task(_drip(client, b"a\r\n"))
        try:
            assert (await client.reply()).startswith("421 4.4.2")
            assert await client.is_closed()
        finally:
            drip.cancel()
    assert [(name, reply.code) for name, reply, _ in edge.pipeline.refusals] == [("t1", 421)]
    assert edge.pipeline.kept == []


async def _drip(client: Client, octets: bytes) -> None:
    while True:
        await client.send(octets)
        await asyncio.sleep(0.05)


async def test_p24_an_honest_slow_client_may_take_longer_than_any_timeout(start_edge: StartEdge) -> None:
    edge = await start_edge(command_timeout_seconds=1, data_timeout_seconds=1, min_data_bytes_per_second=500)
    line = b"x" * 98 + b"\r\n"
    async with await begin(edge) as client:
        for _ in range(20):
            await client.send(line)
            await asyncio.sleep(0.08)  # 1,250 octets a second, for longer than every timeout
        assert (await client.tell(b".\r\n")).startswith("250 ")
    assert edge.pipeline.kept[0].data == line * 20


async def test_p25_a_crowd_from_one_address_does_not_lock_others_out(start_edge: StartEdge) -> None:
    edge = await start_edge(max_connections_per_client=20, max_connections=200, trusted_peers=["127.0.0.9/32"])
    crowd = [await edge.connect("127.0.0.2") for _ in range(300)]
    try:
        greetings = [await client.reply() for client in crowd]
        assert sum(greeting.startswith("220 ") for greeting in greetings) == 20
        assert sum(greeting.startswith("421 4.7.0") for greeting in greetings) == 280
        assert edge.server.open_connections == 20
        others = [await edge.connect(f"127.0.1.{number}") for number in range(1, 201)]
        crowd += others
        assert sum([(await client.reply()).startswith("220 ") for client in others]) == 170
        # The listener is full; a twentieth is kept for the servers beside us.
        async with await edge.connect("127.0.0.9") as trusted:
            assert (await trusted.reply()).startswith("220 ")
    finally:
        for client in crowd:
            client.close()
    await edge.idle()
    async with await edge.connect("127.0.0.2") as client:
        assert (await client.reply()).startswith("220 ")


async def test_p26_running_out_of_descriptors_is_survived() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.core.smtp.fake_server",
        "--set",
        "max_connections_per_client = 1000",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        address = ("127.0.0.1", int(await process.stdout.readline()))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (32, 32))
        crowd = [await Client.connect(address) for _ in range(60)]
        assert (await crowd[0].reply()).startswith("220 ")
        for client in crowd:
            client.close()
        async with await Client.connect(address) as client:
            assert (await client.reply()).startswith("220 ")
            await client.say("EHLO x", "MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
            assert (await client.say(".")).startswith("250 ")
    finally:
        process.kill()
        await process.wait()


async def test_naming_recipients_for_ever_ends(start_edge: StartEdge) -> None:
    edge = await start_edge(max_recipients=100, max_errors=5)
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>")
        await client.send(b"RCPT TO:<anna@example.test>\r\n" * 1000)
        codes = []
        while "421" not in codes:
            codes.append((await client.reply())[:3])
        assert codes == ["250"] * 200 + ["452"] * 5 + ["421"]


async def test_p61_a_connection_may_end_at_every_octet(start_edge: StartEdge) -> None:
    """Nothing is delivered before the final dot, exactly one message after it, and no connection stays behind."""
    edge = await start_edge(max_connections_per_client=1000)
    wire = (
        b"EHLO client.test\r\nMAIL FROM:<x@sender.test>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n.\r\nQUIT\r\n"
    )
    complete = wire.index(b".\r\nQUIT") + 3
    for end in (Client.half_close, Client.reset):
        for offset in range(len(wire) + 1):
            edge.pipeline.kept.clear()
            client = await edge.connect()
            await client.send(wire[:offset])
            if offset >= complete:
                while not (await client.reply()).startswith("250 2.0.0 accepted"):
                    pass
            end(client)
            await edge.idle()
            client.close()
            assert len(edge.pipeline.kept) == (offset >= complete), (end, wire[:offset])


async def test_p64_a_client_that_never_reads_is_dropped(start_edge: StartEdge) -> None:
    edge = await start_edge(command_timeout_seconds=0.5, max_idle_commands=10_000_000)
    client = await edge.greeted()
    flood = asyncio.create_task(client.send(b"NOOP\r\n" * 10_000_000))
    await edge.idle()
    with pytest.raises(ConnectionError):
        await flood
    client.close()


async def test_what_comes_while_the_client_does_not_read_is_answered_once_it_does(start_edge: StartEdge) -> None:
    edge = await start_edge(max_idle_commands=10_000_000)
    async with await edge.greeted() as client:
        [conversation] = edge.server._conversations
        incoming = conversation.incoming
        sent = incoming.received
        awaited = 0
        while conversation._writable is None:
            await client.send(b"NOOP\r\n" * 10_000)
            sent += 60_000
            awaited += 10_000 * len(b"250 2.0.0 ok\r\n")
            await eventually(lambda: incoming.consumed == sent)  # noqa: B023 - awaited before the next turn
            await asyncio.sleep(0)
        await client.send(b"RSET\r\n")
        await eventually(lambda: incoming.received > sent)
        last = b"250 2.0.0 flushed\r\n"
        awaited += len(last)
        while awaited > 0:
            said = await client.read()
            awaited -= len(said)
        assert said.endswith(last)


async def test_memory_stays_flat_while_twenty_large_messages_come_in(start_edge: StartEdge) -> None:
    edge = await start_edge(limits={"spill_bytes": 1_000_000})
    edge.pipeline.keep_bodies = False
    clients = [await begin(edge) for _ in range(20)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = (b"x" * 98 + b"\r\n") * 1000
    for _ in range(100):
        for client in clients:
            await client.send(block)
    replies = [await client.tell(b".\r\n") for client in clients]
    assert all(reply.startswith("250 ") for reply in replies)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 60 * 1024
    for client in clients:
        client.close()
