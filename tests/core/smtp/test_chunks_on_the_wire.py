"""BDAT as clients send it: chunks in segments, sizes that lie, timers, and what becomes of the transaction."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from tests.core.smtp.client import Client
from tests.core.smtp.conftest import Edge, StartEdge

ENVELOPE = ("MAIL FROM:<x@sender.test>", "RCPT TO:<anna@example.test>")


async def named(edge: Edge, hello: str = "EHLO client.test") -> Client:
    """A client that has named a recipient."""
    client = await edge.greeted(hello)
    assert (await client.say(*ENVELOPE)).startswith("250 ")
    return client


def chunk(content: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n" % (len(content), b" LAST" if last else b"") + content


@pytest.mark.parametrize("spill_bytes", [4096, 10_000_000])
async def test_a_large_message_in_chunks_arrives_whole(start_edge: StartEdge, spill_bytes: int) -> None:
    edge = await start_edge(limits={"spill_bytes": spill_bytes})
    source = random.Random(7)
    lines = b"".join(b".%d\r\n" % source.getrandbits(200) for _ in range(40_000))
    marks = [0, *sorted(source.sample(range(len(lines)), 25)), len(lines)]
    parts = [lines[begin:end] for begin, end in itertools.pairwise(marks)]
    async with await named(edge) as client:
        sending = asyncio.create_task(client.send(b"".join(map(chunk, parts)) + chunk(b"", last=True) + b"NOOP\r\n"))
        replies = [await client.reply() for _ in range(len(parts) + 2)]
        await sending
        assert replies[:-2] == ["250 2.0.0 chunk taken"] * len(parts)
        assert replies[-2:] == ["250 2.0.0 accepted [t1]", "250 2.0.0 ok"]
    assert edge.pipeline.kept[0].data == lines


async def test_octets_in_segments_of_one(start_edge: StartEdge) -> None:
    edge = await start_edge()
    content = b"Subject: x\r\n\r\nQUIT\r\n.\r\n"
    async with await named(edge) as client:
        for octet in chunk(content[:7]) + chunk(content[7:], last=True):
            await client.send(bytes((octet,)))
            await asyncio.sleep(0)
        assert (await client.reply()).startswith("250 2.0.0 chunk taken")
        assert (await client.reply()).startswith("250 2.0.0 accepted")
    assert edge.pipeline.kept[0].data == content


async def test_a_message_over_the_limit_is_refused_at_the_chunk_that_passes_it(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_bytes=100_000, max_errors=2)
    async with await named(edge) as client:
        half = b"x" * 60_000
        await client.send(chunk(half) * 8 + chunk(b"", last=True) + b"NOOP\r\n")
        assert (await client.reply()).startswith("250 ")
        assert (await client.reply()).startswith("552 5.3.4 the message has 120000 octets, the limit is 100000 [t1]")
        for _ in range(7):  # RFC 3030 2: what was under way is taken and thrown away, and no error of the client's
            assert (await client.reply()).startswith("503 5.5.1 an earlier chunk")
        assert (await client.reply()).startswith("250 2.0.0 ok")
        await client.say(*ENVELOPE)
        assert (await client.tell(chunk(b"small\r\n", last=True))).startswith("250 2.0.0 accepted [t2]")
    assert [(each, reply.code) for each, reply, _ in edge.pipeline.refusals] == [("t1", 552)]
    assert [kept.data for kept in edge.pipeline.kept] == [b"small\r\n"]


async def test_an_unusable_spool_is_not_the_senders_fault(start_edge: StartEdge, tmp_path: Path) -> None:
    edge = await start_edge(spool=tmp_path / "missing", limits={"spill_bytes": 4096})
    async with await named(edge) as client:
        assert (await client.tell(chunk(b"x" * 1_000_000))).startswith("451 4.3.0")
        assert (await client.tell(chunk(b"x", last=True))).startswith("503 5.5.1")
    [told] = edge.pipeline.told
    assert [event["event"] for event in told] == ["spool"]


async def test_slow_chunks_are_broken_off_and_told(start_edge: StartEdge) -> None:
    edge = await start_edge(data_timeout_seconds=0.4)
    async with await named(edge) as client:
        await client.send(b"BDAT 1000\r\nx")
        assert (await client.reply()).startswith("421 4.4.2 too slow [t1]")
        assert await client.is_closed()
    [(_, reply, size)] = edge.pipeline.refusals
    assert (reply.code, size) == (421, 1)


async def test_a_pause_between_chunks_is_a_pause_in_the_data(start_edge: StartEdge) -> None:
    edge = await start_edge(data_timeout_seconds=0.2)
    async with await named(edge) as client:
        assert (await client.tell(chunk(b"x" * 600))).startswith("250 ")
        await asyncio.sleep(0.5)  # 600 octets are worth 1.2 s, but no credit is longer than the longest pause
        assert (await client.tell(chunk(b"\r\n", last=True))).startswith("421 4.4.2 too slow [t1]")
    assert edge.pipeline.kept == []


async def test_chunks_that_bring_next_to_nothing_end(start_edge: StartEdge) -> None:
    edge = await start_edge(max_idle_commands=20)
    async with await named(edge) as client:
        await client.send(b"BDAT 0\r\n" * 10 + b"BDAT 1\r\nx" * 50)
        replies: list[str] = []
        while not replies or replies[-1].startswith("250 "):
            replies.append(await client.reply())
        assert (len(replies), replies[-1][:9]) == (20, "421 4.7.0")


async def test_a_bug_while_a_chunk_is_taken_is_not_the_senders_fault(start_edge: StartEdge) -> None:
    edge = await start_edge()
    edge.pipeline.failing.add("refused")
    async with await named(edge) as client:
        assert (await client.tell(chunk(b"a\rb"))).startswith("451 4.3.0 local error")
        assert await client.is_closed()


@pytest.mark.parametrize("name", ["half_close", "reset"])
async def test_p61_a_connection_may_end_within_a_chunk(start_edge: StartEdge, name: str) -> None:
    edge = await start_edge()
    wire = chunk(b"0123456789") + chunk(b"\r\n", last=True)
    for offset in range(len(wire)):
        client = await named(edge)
        await client.send(wire[:offset])
        getattr(client, name)()
        await edge.idle()
        client.close()
    assert edge.pipeline.kept == []
    assert len(edge.pipeline.abandoned) == len(wire)


async def test_lmtp_answers_for_each_recipient_after_the_last_chunk_only(start_edge: StartEdge) -> None:
    edge = await start_edge(protocol="lmtp")
    async with await edge.greeted("LHLO client.test") as client:
        await client.say(*ENVELOPE, "RCPT TO:<bo@example.test>")
        await client.send(chunk(b"a\r\n") + chunk(b"", last=True))
        replies = [await client.reply() for _ in range(3)]
        assert replies == ["250 2.0.0 chunk taken"] + ["250 2.0.0 accepted [t1]"] * 2
        await client.say(*ENVELOPE, "RCPT TO:<bo@example.test>")
        await client.send(chunk(b"a\rb", last=True) + b"NOOP\r\n")
        replies = [await client.reply() for _ in range(3)]
        assert [reply[:9] for reply in replies] == ["550 5.6.0", "550 5.6.0", "250 2.0.0"]
        await client.say(*ENVELOPE, "RCPT TO:<bo@example.test>")
        await client.send(chunk(b"a\rb") + b"NOOP\r\n")
        replies = [await client.reply() for _ in range(2)]
        assert [reply[:9] for reply in replies] == ["550 5.6.0", "250 2.0.0"]
