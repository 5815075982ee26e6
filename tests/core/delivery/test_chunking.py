"""Messages that go by BDAT (RFC 3030): byte-exact, every reply counted, and no doubt about who has what."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

import pytest

from gateway.delivery.transport import Batch, Outcome, Results
from gateway.mail.body import CHUNK, MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.reply import INTERNAL_ERROR, NEXT_HOP_BROKE_OFF
from gateway.testing.sink import KEYWORDS, Answer, Sink
from tests.core.delivery.batches import ANNA, BO, CLEO, MESSAGE, batch, next_hop, soon, spilled

PIPELINING = (*KEYWORDS, "CHUNKING")
SERIAL = tuple(keyword for keyword in PIPELINING if keyword != "PIPELINING")
both_ways = pytest.mark.parametrize("keywords", [PIPELINING, SERIAL], ids=["pipelining", "serial"])

LINES = b"." + os.urandom(30).hex().encode() + b"\r\n.\r\n"
LARGE = b"Subject: large\r\n\r\n" + LINES * (4 * CHUNK // len(LINES))
DOTS = b"Subject: dots\r\n\r\n" + b".\r\n" * CHUNK
UNENDED = b"Subject: no line end\r\n\r\n" + b"x" * 2 * CHUNK


async def handed_to(sink: Sink, sent: Batch, **settings: object) -> Results:
    async with next_hop(sink, **settings) as hop:
        return await hop.deliver(sent, deadline=soon())


def data_commands(sink: Sink) -> list[str]:
    return [command for command in sink.commands if command.startswith(("BDAT", "DATA"))]


@both_ways
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
@pytest.mark.parametrize("data", [LARGE, DOTS, UNENDED], ids=["large", "dots", "unended"])
async def test_large_messages_arrive_as_they_are(
    keywords: tuple[str, ...], protocol: Literal["smtp", "lmtp"], data: bytes
) -> None:
    async with Sink(protocol=protocol, keywords=keywords) as sink, next_hop(sink) as hop:
        edits = Edits(("X-Note: added",), (Splice(0, 9, "Subject: replaced"),))
        for sent in (batch(spilled(data), ANNA, BO), batch(data, ANNA), batch(spilled(data), edits=edits)):
            results = await hop.deliver(sent, deadline=soon())
            assert {result.outcome for result in results} == {Outcome.DONE}
            assert sink.messages[-1].data == sent.edits.render(sent.body)
            assert sink.messages[-1].chunks == (len(sink.messages[-1].data),)
        assert sink.connections == 1
        assert "DATA" not in sink.commands


@pytest.mark.parametrize(
    ("chunking", "small", "large"), [("never", "DATA", "DATA"), ("large", "DATA", "BDAT"), ("always", "BDAT", "BDAT")]
)
async def test_which_messages_go_by_bdat(chunking: str, small: str, large: str) -> None:
    async with Sink(keywords=PIPELINING) as sink:
        for data, expected in ((MESSAGE, small), (LARGE, large)):
            (result,) = await handed_to(sink, batch(data), chunking=chunking)
            assert result.outcome is Outcome.DONE
            assert data_commands(sink)[-1][:4] == expected
            assert sink.messages[-1].data == data


async def test_a_small_message_is_one_chunk() -> None:
    async with Sink(keywords=PIPELINING) as sink:
        (result,) = await handed_to(sink, batch(MESSAGE, edits=Edits(("X-Note: added",))), chunking="always")
        assert result.outcome is Outcome.DONE
        assert data_commands(sink) == [f"BDAT {len(MESSAGE) + 15} LAST"]


async def test_where_it_is_not_offered_data_serves() -> None:
    async with Sink() as sink:
        (result,) = await handed_to(sink, batch(LARGE), chunking="always")
        assert result.outcome is Outcome.DONE
        assert data_commands(sink) == ["DATA"]


@both_ways
async def test_the_chunk_may_be_refused(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("DOT", "554 5.6.0 no")
        (result,) = await hop.deliver(batch(spilled(LARGE)), deadline=soon())
        assert (result.outcome, str(result.reply)) == (Outcome.REFUSED, "554 5.6.0 no")
        (after,) = await hop.deliver(batch(spilled(LARGE)), deadline=soon())
        assert after.outcome is Outcome.DONE
        assert sink.connections == 1


@both_ways
async def test_lmtp_answers_the_chunk_for_each_recipient(keywords: tuple[str, ...]) -> None:
    async with Sink(protocol="lmtp", keywords=keywords) as sink:
        sink.answer("RCPT", "550 5.1.1 unknown", to=str(ANNA))
        sink.answer("DOT", "452 4.2.2 over quota", to=str(CLEO))
        results = await handed_to(sink, batch(spilled(LARGE), ANNA, BO, CLEO))
        assert [result.outcome for result in results] == [Outcome.REFUSED, Outcome.DONE, Outcome.DEFERRED]


@both_ways
async def test_when_all_are_refused_no_chunk_is_sent(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "550 5.1.1 unknown")
        (result,) = await hop.deliver(batch(spilled(LARGE)), deadline=soon())
        assert result.outcome is Outcome.REFUSED
        assert data_commands(sink) == []
        (after,) = await hop.deliver(batch(spilled(LARGE)), deadline=soon())
        assert (after.outcome, sink.connections) == (Outcome.DONE, 1)


@both_ways
async def test_n7_a_break_after_the_last_chunk_is_unknown(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer("DOT", Answer(then="close"))
        (result,) = await handed_to(sink, batch(spilled(LARGE)))
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)


@both_ways
async def test_n6_a_hang_after_the_last_chunk_is_unknown(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer("DOT", Answer(after=asyncio.Event()))
        (result,) = await handed_to(sink, batch(spilled(LARGE)), data_done_timeout_seconds=0.1)
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)


@both_ways
async def test_n6_a_hop_that_stops_reading_the_chunk_is_deferred(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer("BODY", Answer(after=asyncio.Event()))
        (result,) = await handed_to(sink, batch(b"0123456789abcdef\r\n" * 1_500_000), reply_timeout_seconds=0.3)
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
        assert sink.received == []


@both_ways
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_n7_a_break_within_the_chunk_is_deferred(
    keywords: tuple[str, ...], then: Literal["close", "reset"]
) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer("BODY", Answer(then=then))
        (result,) = await handed_to(sink, batch(spilled(LARGE * 8)))
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
        assert sink.received == []


@both_ways
@pytest.mark.parametrize("early", ["250 2.0.0 ok", "550 5.7.1 no", "354 go on", "what"])
async def test_n8_a_reply_before_the_end_of_the_chunk_is_out_of_step(keywords: tuple[str, ...], early: str) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("BODY", early)
        (result,) = await hop.deliver(batch(spilled(LARGE * 8)), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
        assert sink.received == []
        await hop.deliver(batch(), deadline=soon())
        assert sink.connections == 2, "that connection is of no use any more"


@both_ways
@pytest.mark.parametrize("replies", [b"250 2.0.0 ok\r\n250 2.0.0 ok\r\n", b"354 go on\r\n", b"what\r\n"])
async def test_n15_replies_that_do_not_match_the_chunk(keywords: tuple[str, ...], replies: bytes) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("DOT", replies)
        (result,) = await hop.deliver(batch(spilled(LARGE)), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)
        await hop.deliver(batch(), deadline=soon())
        assert sink.connections == 2


async def test_a_421_ends_it() -> None:
    async with Sink(keywords=PIPELINING) as sink:
        sink.answer("DOT", Answer("421 4.3.2 going down", then="close"))
        (result,) = await handed_to(sink, batch(spilled(LARGE)))
        assert (result.outcome, str(result.reply)) == (Outcome.DEFERRED, "421 4.3.2 going down")


async def test_a_count_that_is_not_right_is_never_sent() -> None:
    class Shorter(MemoryBody):
        def __len__(self) -> int:
            return 4 * CHUNK

    async with Sink(keywords=PIPELINING) as sink:
        (result,) = await handed_to(sink, batch(Shorter(b"x\r\n" * CHUNK)))
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
        assert sink.received == []
