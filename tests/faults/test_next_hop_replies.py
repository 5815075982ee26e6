"""Next hops that do not answer, answer badly, or answer too much (fault catalogue N1-N8, N10, N13, N15)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from gateway.delivery.transport import Outcome, Results
from gateway.mail.reply import NEXT_HOP_BROKE_OFF, NEXT_HOP_DOWN, Reply
from gateway.testing.sink import KEYWORDS, XFORWARD, Answer, Sink
from tests.core.delivery.batches import ANNA, BO, CLEO, MESSAGE, batch, next_hop, soon

SERIAL = tuple(keyword for keyword in KEYWORDS if keyword != "PIPELINING")
both_ways = pytest.mark.parametrize("keywords", [KEYWORDS, SERIAL], ids=["pipelining", "serial"])


async def handed_to(sink: Sink, **settings: float) -> tuple[Outcome, Reply]:
    """The result for one recipient on a connection of its own."""
    async with next_hop(sink, **settings) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    return result.outcome, result.reply


@contextmanager
def silent_port() -> Iterator[str]:
    """A port that takes no connection: its backlog is full, as when a filter drops the SYN."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        for each in waiting:
            each.close()


# N1


async def test_n1_a_refused_connection_is_451() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with next_hop(f"127.0.0.1:{port}") as hop:
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
        assert {(result.outcome, result.reply) for result in results} == {(Outcome.DEFERRED, NEXT_HOP_DOWN)}
        assert results[0].where.endswith("Connection refused")
        assert await hop.probe() == f"next hop 'hop' (smtp 127.0.0.1:{port}) takes no mail: Connection refused"


async def test_n1_an_unreachable_address_is_451() -> None:
    # A network that must never be routed (RFC 6890), so the system says no by itself or the time limit does.
    async with next_hop("240.0.0.1:25", connect_timeout_seconds=0.2) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


async def test_n1_a_missing_unix_socket_is_451() -> None:
    async with next_hop("unix:/nonexistent/lmtp.sock", protocol="lmtp") as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


async def test_n1_a_filtered_port_is_451_at_the_connect_timeout() -> None:
    with silent_port() as address:
        async with next_hop(address, connect_timeout_seconds=0.2) as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_DOWN)
    assert "did not answer in time" in result.where


@pytest.mark.parametrize("point", ["CONNECT", "EHLO"])
async def test_n1_a_hop_that_connects_but_is_silent_is_451_too(point: Literal["CONNECT", "EHLO"]) -> None:
    async with Sink() as sink:
        sink.answer(point, Answer(after=asyncio.Event()))
        assert await handed_to(sink, connect_timeout_seconds=0.2) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


async def test_n1_that_the_hop_is_down_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.delivery")
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("CONNECT", *["421 4.3.2 later"] * 3)
        for _ in range(5):
            await hop.deliver(batch(), deadline=soon())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "answers again" in caplog.text


# N2


@pytest.mark.parametrize("banner", ["554 5.7.1 no", "421 4.3.2 not now", "250 hm", b"SSH-2.0-x\r\n", b"\r\n"])
async def test_n2_a_greeting_that_is_not_220_is_451(banner: str | bytes) -> None:
    async with Sink() as sink:
        sink.answer("CONNECT", banner)
        assert await handed_to(sink) == (Outcome.DEFERRED, NEXT_HOP_DOWN)
        assert sink.commands == []


@pytest.mark.parametrize("refusal", ["502 5.5.1 what", "500 what", "504 no"])
async def test_n2_where_ehlo_is_unknown_helo_serves(refusal: str) -> None:
    async with Sink() as sink:
        sink.answer("EHLO", refusal)
        assert (await handed_to(sink))[0] is Outcome.DONE
        assert sink.commands[:3] == [
            "EHLO gw.example.test",
            "HELO gw.example.test",
            "MAIL FROM:<sender@example.com>",
        ]


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_n2_where_nothing_is_known_it_is_451(protocol: Literal["smtp", "lmtp"]) -> None:
    async with Sink(protocol=protocol) as sink:
        for verb in ("EHLO", "HELO", "LHLO"):
            sink.answer(verb, "502 5.5.1 what")
        assert await handed_to(sink) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


async def test_n2_more_than_one_greeting_is_out_of_step() -> None:
    async with Sink() as sink:
        sink.answer("CONNECT", b"220 one\r\n220 two\r\n")
        assert await handed_to(sink) == (Outcome.DEFERRED, NEXT_HOP_DOWN)


# N3


@both_ways
@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize(
    ("said", "passed_on", "outcome"),
    [
        ("450 4.2.1 mailbox busy", "450 4.2.1 mailbox busy", Outcome.DEFERRED),
        ("550 5.7.1 not \x1b[31mwanted\x07", "550 5.7.1 not  [31mwanted", Outcome.REFUSED),
        ("550-5.7.1 two\r\n550 5.7.1 lines", "550 5.7.1 two lines", Outcome.REFUSED),
        ("554 plain", "554 plain", Outcome.REFUSED),
    ],
)
async def test_n3_a_refusal_keeps_its_class_and_code(
    point: Literal["MAIL", "RCPT", "DATA", "DOT"],
    said: str,
    passed_on: str,
    outcome: Outcome,
    keywords: tuple[str, ...],
) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer(point, said)
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, str(result.reply)) == (outcome, passed_on)
        assert not result.dsn_passed_on
        (after,) = await hop.deliver(batch(), deadline=soon())
        assert after.outcome is Outcome.DONE, "the connection is in order"
        assert sink.connections == 1


@both_ways
@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_n3_a_421_is_passed_on_and_ends_the_connection(
    point: Literal["MAIL", "RCPT", "DATA", "DOT"], keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer(point, Answer("421 4.3.2 going down", then="close"))
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, str(result.reply)) == (Outcome.DEFERRED, "421 4.3.2 going down")
        (after,) = await hop.deliver(batch(), deadline=soon())
        assert after.outcome is Outcome.DONE
        assert sink.connections == 2


# N4, N5


@both_ways
async def test_n4_each_recipient_has_its_own_answer(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "450 4.2.1 busy", to=str(ANNA))
        sink.answer("RCPT", "550 5.1.1 unknown", to=str(CLEO))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO, CLEO), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.DEFERRED, Outcome.DONE, Outcome.REFUSED]
    assert sink.messages[0].to == (str(BO),)


@both_ways
async def test_n4_when_all_are_refused_no_data_is_sent(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "550 5.1.1 unknown", "450 4.2.1 busy")
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.REFUSED, Outcome.DEFERRED]
    assert sink.received == []


@both_ways
async def test_n5_lmtp_answers_the_dot_for_each_recipient(keywords: tuple[str, ...]) -> None:
    async with Sink(protocol="lmtp", keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "550 5.1.1 unknown", to=str(ANNA))
        sink.answer("DOT", "452 4.2.2 over quota", to=str(CLEO))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO, CLEO), deadline=soon())
        assert [result.outcome for result in results] == [Outcome.REFUSED, Outcome.DONE, Outcome.DEFERRED]
        assert str(results[2].reply) == "452 4.2.2 over quota"
        assert sink.messages[0].to == (str(BO), str(CLEO))
        await hop.deliver(batch(), deadline=soon())
        assert sink.connections == 1


async def test_n5_what_lmtp_answered_before_it_broke_counts() -> None:
    async with Sink(protocol="lmtp") as sink, next_hop(sink) as hop:
        sink.answer("DOT", Answer("250 2.0.0 ok", then="close"))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.UNKNOWN]


# N6, N7


@both_ways
@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA"])
async def test_n6_a_hang_before_the_dot_is_deferred(
    point: Literal["MAIL", "RCPT", "DATA"], keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer(point, Answer(after=asyncio.Event()))
        assert await handed_to(sink, reply_timeout_seconds=0.1) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
        assert sink.received == []


async def test_n6_a_hang_after_the_dot_is_unknown() -> None:
    async with Sink() as sink:
        sink.answer("DOT", Answer(after=asyncio.Event()))
        assert await handed_to(sink, data_done_timeout_seconds=0.1) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)
        assert len(sink.received) == 1


async def test_n6_a_hop_that_stops_reading_the_data_is_deferred() -> None:
    async with Sink() as sink, next_hop(sink, reply_timeout_seconds=0.3) as hop:
        sink.answer("BODY", Answer(after=asyncio.Event()))
        huge = batch(b"0123456789abcdef\r\n" * 1_500_000)
        (result,) = await hop.deliver(huge, deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
        assert sink.received == []


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_n7_a_break_after_the_dot_is_unknown_and_never_retried_by_itself(
    then: Literal["close", "reset"],
) -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        await hop.deliver(batch(), deadline=soon())
        sink.answer("DOT", Answer(then=then))
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)
        assert (len(sink.received), sink.connections) == (2, 1)


@both_ways
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA"])
async def test_n7_a_break_before_the_dot_is_deferred(
    point: Literal["MAIL", "RCPT", "DATA"], then: Literal["close", "reset"], keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer(point, Answer(then=then))
        assert await handed_to(sink) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)


async def test_n7_who_was_refused_before_the_break_stays_refused() -> None:
    async with Sink(keywords=SERIAL) as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "550 5.1.1 unknown", to=str(ANNA))
        sink.answer("RCPT", Answer(then="close"), to=str(BO))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.REFUSED, Outcome.DEFERRED]


# N8


@both_ways
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_n8_replies_in_pieces_of_one_byte(protocol: Literal["smtp", "lmtp"], keywords: tuple[str, ...]) -> None:
    async with Sink(protocol=protocol, keywords=(*keywords, XFORWARD)) as sink, next_hop(sink) as hop:
        usual = {"CONNECT": "220 x", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "DOT": "250 2.0.0 fine"}
        for point, reply in usual.items():
            sink.answer(point, Answer(reply, piece_bytes=1))  # type: ignore[arg-type]
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert (result.outcome, str(result.reply)) == (Outcome.DONE, "250 2.0.0 fine")


@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_n8_a_reply_of_ten_kilobytes_is_cut_to_a_line(point: Literal["MAIL", "RCPT", "DATA", "DOT"]) -> None:
    async with Sink() as sink:
        sink.answer(point, "550 5.7.1 " + "long " * 2_000)
        outcome, reply = await handed_to(sink)
        assert (outcome, reply.code, reply.enhanced) == (Outcome.REFUSED, 550, "5.7.1")
        assert len(str(reply)) < 512


@both_ways
@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n",
        b"\0\0\0\r\n",
        b"250-x\r\n" * 1_000 + b"250 x\r\n",
        b"250-x\r\n550 x\r\n",
        b"999 x\r\n",
        b"x" * 99_999,
    ],
    ids=["no code", "binary", "1000 lines", "two codes", "code 999", "endless"],
)
@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_n8_what_is_no_reply_ends_the_connection(
    point: Literal["MAIL", "RCPT", "DATA", "DOT"], garbage: bytes, keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        sink.answer(point, garbage)
        (result,) = await hop.deliver(batch(), deadline=soon())
        outcome = Outcome.UNKNOWN if point == "DOT" else Outcome.DEFERRED
        assert (result.outcome, result.reply) == (outcome, NEXT_HOP_BROKE_OFF)
        (after,) = await hop.deliver(batch(), deadline=soon())
        assert after.outcome is Outcome.DONE
        assert sink.connections == 2


@both_ways
@pytest.mark.parametrize(
    ("point", "reply"), [("MAIL", "354 go"), ("RCPT", "354 go"), ("DATA", "250 ok"), ("DOT", "354 go")]
)
async def test_n8_a_reply_of_the_wrong_class_ends_the_connection(
    point: Literal["MAIL", "RCPT", "DATA", "DOT"], reply: str, keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink:
        sink.answer(point, reply)
        outcome = Outcome.UNKNOWN if point == "DOT" else Outcome.DEFERRED
        assert await handed_to(sink) == (outcome, NEXT_HOP_BROKE_OFF)
        assert sink.messages == []


@pytest.mark.parametrize("early", ["250 2.0.0 ok", "452 4.3.1 full", "552 5.3.4 too big"])
async def test_n8_a_reply_before_the_dot_is_no_answer_to_it(early: str) -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("BODY", early)
        huge = batch(b"0123456789abcdef\r\n" * 1_500_000)
        (result,) = await hop.deliver(huge, deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
    assert early in result.where
    assert sink.received == []


@both_ways
async def test_n8_a_reply_too_many_before_the_data_stops_it(keywords: tuple[str, ...]) -> None:
    for point, reply in (
        ("MAIL", b"250 ok\r\n250 ok\r\n"),
        ("DATA", b"354 go\r\n250 ok\r\n"),
        ("RCPT", b"250 a\r\n550 b\r\n"),
    ):
        async with Sink(keywords=keywords) as sink:
            sink.answer(point, reply)  # type: ignore[arg-type]
            assert await handed_to(sink) == (Outcome.DEFERRED, NEXT_HOP_BROKE_OFF)
            assert sink.messages == []


# N10


async def test_n10_a_message_over_the_size_of_the_hop_is_refused_unsent() -> None:
    async with Sink(keywords=("PIPELINING", "SIZE 20")) as sink:
        outcome, reply = await handed_to(sink)
        assert (outcome, reply.code, reply.enhanced) == (Outcome.REFUSED, 552, "5.3.4")
        assert not any(command.startswith("MAIL") for command in sink.commands)


# N13


async def test_n13_a_connection_closed_while_idle_is_replaced() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        await hop.deliver(batch(), deadline=soon())
        sink.drop_connections()
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, sink.connections) == (Outcome.DONE, 2)


@both_ways
@pytest.mark.parametrize(
    "farewell",
    [Answer(then="close"), Answer(then="reset"), Answer("421 4.4.2 idle too long", then="close")],
    ids=["close", "reset", "421"],
)
async def test_n13_one_that_dies_before_mail_was_answered_is_retried_once(
    farewell: Answer, keywords: tuple[str, ...]
) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        await hop.deliver(batch(), deadline=soon())
        sink.answer("MAIL", farewell)
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, sink.connections, len(sink.messages)) == (Outcome.DONE, 2, 2)
        sink.answer("MAIL", farewell, farewell)
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, sink.connections, len(sink.messages)) == (Outcome.DEFERRED, 3, 2)


async def test_n13_once_mail_was_answered_nothing_is_retried_here() -> None:
    async with Sink(keywords=SERIAL) as sink, next_hop(sink) as hop:
        await hop.deliver(batch(), deadline=soon())
        sink.answer("RCPT", Answer(then="close"))
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, sink.connections) == (Outcome.DEFERRED, 1)


async def test_n13_a_new_connection_that_dies_is_not_retried() -> None:
    async with Sink() as sink:
        sink.answer("MAIL", Answer(then="close"))
        assert (await handed_to(sink))[0] is Outcome.DEFERRED
        assert sink.connections == 1


# N15


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
async def test_n15_more_replies_than_messages_make_the_outcome_unknown(
    protocol: Literal["smtp", "lmtp"], caplog: pytest.LogCaptureFixture
) -> None:
    async with Sink(protocol=protocol) as sink, next_hop(sink) as hop:
        sink.answer("DOT", b"250 2.0.0 ok\r\n250 2.1.0 smuggled\r\n")
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)
        assert "more replies than messages: 250 2.1.0 smuggled" in caplog.text
        await hop.deliver(batch(), deadline=soon())
        assert sink.connections == 2


async def test_n15_a_reply_to_nothing_ends_the_idle_connection() -> None:
    async def one_too_many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 PIPELINING\r\n")
        await reader.readuntil(b"DATA\r\n")
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n")
        await later.wait()
        writer.write(b"250 another one\r\n")
        ended.set_result(await reader.read())
        writer.close()

    later = asyncio.Event()
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(one_too_many, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, next_hop(f"127.0.0.1:{port}") as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE
        later.set()
        assert await ended == b"", "the client left without another word"


async def test_n15_fewer_replies_than_recipients_leave_the_rest_unknown() -> None:
    async with Sink(protocol="lmtp") as sink, next_hop(sink, data_done_timeout_seconds=0.2) as hop:
        sink.answer("DOT", "250 2.0.0 ok", Answer())
        results: Results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
        assert [result.outcome for result in results] == [Outcome.DONE, Outcome.UNKNOWN]


async def test_n15_a_421_behind_the_reply_takes_nothing_back() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("DOT", Answer(b"250 2.0.0 ok\r\n421 4.3.2 going down\r\n", then="close"))
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE
        (after,) = await hop.deliver(batch(), deadline=soon())
        assert (after.outcome, sink.connections) == (Outcome.DONE, 2)
