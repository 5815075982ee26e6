"""How replies are read from the wire, however they are cut."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.connection import Connection, ConnectionLost, HopReply, OutOfStep


def read(*pieces: bytes) -> Connection:
    loop = asyncio.new_event_loop()
    try:
        connection = Connection(loop)
        for piece in pieces:
            connection.data_received(piece)
        return connection
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("wire", "replies"),
    [
        (b"250 2.1.0 ok\r\n", [HopReply(250, "2.1.0 ok")]),
        (b"250\r\n", [HopReply(250, "")]),
        (b"250 \r\n", [HopReply(250, "")]),
        (b"250 ok\n", [HopReply(250, "ok")]),
        (b"250-a\r\n250-b\r\n250 c\r\n", [HopReply(250, "a\nb\nc")]),
        (b"250-a\r\n250\r\n", [HopReply(250, "a\n")]),
        (b"250 a\r\n550 b\r\n354 c\r\n", [HopReply(250, "a"), HopReply(550, "b"), HopReply(354, "c")]),
        (b"250 \xff\r\n", [HopReply(250, "\ufffd")]),
    ],
)
def test_replies(wire: bytes, replies: list[HopReply]) -> None:
    whole = read(wire)
    assert whole.failure is None
    assert whole.received == replies
    by_byte = read(*(wire[index : index + 1] for index in range(len(wire))))
    assert by_byte.received == replies
    assert by_byte.failure is None


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n",
        b"\r\n",
        b"25\r\n",
        b"250x\r\n",
        b"100 continue\r\n",
        b"600 what\r\n",
        "²50 ok\r\n".encode(),
        b"250-a\r\n550 b\r\n",
        b"250-a\r\nhello\r\n",
        b"250-x\r\n" * 1000 + b"250 x\r\n",
        b"2" * 100_000,
        b"250-" + b"x" * 70_000 + b"\r\n",
        b"250 ok\r\n" * 30_000,
    ],
)
def test_n8_what_is_no_reply_ends_the_connection(wire: bytes) -> None:
    assert isinstance(read(wire).failure, OutOfStep)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_nothing_a_hop_says_is_an_exception(pieces: list[bytes]) -> None:
    connection = read(*pieces)
    assert connection.failure is None or isinstance(connection.failure, OutOfStep)
    assert connection.leftover.isascii()


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (HopReply(250, "2.0.0 ok"), "250 2.0.0 ok"),
        (HopReply(250, "ok"), "250 ok"),
        (HopReply(550, "5.1.1 no\n5.1.1 such\n5.1.1 user"), "550 5.1.1 no such user"),
        (HopReply(550, "4.1.1 odd"), "550 4.1.1 odd"),
        (HopReply(450, "4.2.0 a\tb\x1b[31m\u202e"), "450 4.2.0 a b [31m"),
    ],
)
def test_a_reply_is_cleaned_to_be_passed_on(reply: HopReply, text: str) -> None:
    assert str(reply.cleaned()) == text


def test_a_ten_kilobyte_reply_is_read_and_cut() -> None:
    (reply,) = read(b"550 5.7.1 " + b"x" * 10_000 + b"\r\n").received
    assert reply.cleaned().enhanced == "5.7.1"
    assert len(str(reply.cleaned())) < 512


async def test_a_reply_that_came_before_the_end_is_still_read() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.data_received(b"421 4.3.2 bye\r\n")
    connection.connection_lost(None)
    assert await connection.replies(1, until=0) == [HopReply(421, "4.3.2 bye")]
    with pytest.raises(ConnectionLost):
        connection.write(b"x")


async def test_a_421_ends_the_wait_for_more() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.data_received(b"250 ok\r\n421 4.3.2 bye\r\n")
    until = asyncio.get_running_loop().time() + 30
    assert [reply.code for reply in await connection.replies(5, until=until)] == [250, 421]
    assert not connection.usable


async def test_each_reply_in_time_is_in_time() -> None:
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    for number in range(1, 5):
        loop.call_later(0.06 * number, connection.data_received, b"250 ok\r\n")
    # Together they take longer than one may.
    assert len(await connection.replies(4, step_seconds=0.2, until=loop.time() + 30)) == 4
    with pytest.raises(TimeoutError):
        await connection.replies(1, step_seconds=0.05, until=loop.time() + 30)


async def test_speaking_unasked_ends_an_idle_connection() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.rest()
    connection.data_received(b"421 4.4.2 idle too long\r\n")
    assert isinstance(connection.failure, OutOfStep)
