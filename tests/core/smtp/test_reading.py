from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest.mock import create_autospec

import pytest

from gateway.smtp.reading import (
    HIGH_WATER,
    MAX_ENDLESS,
    MAX_LINE,
    EndlessLineError,
    Incoming,
    LineTooLongError,
)


@pytest.fixture
async def incoming() -> Incoming:
    return Incoming(asyncio.get_running_loop())


async def test_lines_come_out_as_they_were_sent(incoming: Incoming) -> None:
    for octet in b"NOOP\r\nRSET\nQUI":
        incoming.feed(bytes((octet,)))
    assert [incoming.take_line() for _ in range(3)] == [b"NOOP\r\n", b"RSET\n", None]
    assert (incoming.received, incoming.consumed, incoming.buffered) == (14, 11, 3)
    incoming.feed(b"T\r\nrest")
    assert incoming.take_line() == b"QUIT\r\n"
    assert incoming.take_line() is None
    assert incoming.first_octet == ord("r")


@pytest.mark.parametrize("size", [1, 100, 5000])
async def test_an_overlong_line_is_skipped_and_the_next_one_is_in_sync(incoming: Incoming, size: int) -> None:
    wire = b"x" * 70_000 + b"\r\nNOOP\r\n"
    lines: list[bytes | None] = []
    for start in range(0, len(wire), size):
        incoming.feed(wire[start : start + size])
        try:
            line = incoming.take_line()
        except LineTooLongError:
            lines.append(None)
            line = incoming.take_line()
        if line is not None:
            lines.append(line)
    assert lines == [None, b"NOOP\r\n"]
    assert incoming.buffered == 0


async def test_the_longest_line(incoming: Incoming) -> None:
    line = b"x" * (MAX_LINE - 2) + b"\r\n"
    incoming.feed(line + b"x" + line)
    assert incoming.take_line() == line
    with pytest.raises(LineTooLongError):
        incoming.take_line()
    assert incoming.take_line() is None


async def test_an_endless_line_is_given_up_and_nothing_is_kept(incoming: Incoming) -> None:
    def flood() -> None:
        for _ in range(MAX_ENDLESS // 1000 + 2):
            incoming.feed(b"x" * 1000)
            assert incoming.take_line() is None
            assert incoming.buffered <= MAX_LINE + 1000

    with pytest.raises(EndlessLineError):
        flood()


async def test_blocks_after_a_line_and_what_was_given_back(incoming: Incoming) -> None:
    incoming.feed(b"DATA\r\nfirst")
    incoming.feed(b"second")
    assert incoming.take_line() == b"DATA\r\n"
    assert [incoming.take_block() for _ in range(3)] == [b"first", b"second", None]
    incoming.feed(b"end.QUIT\r\n")
    assert incoming.take_block() == b"end.QUIT\r\n"
    incoming.give_back(b"QUIT\r\n")
    incoming.feed(b"NOOP\r\n")
    assert [incoming.take_line(), incoming.take_line(), incoming.take_line()] == [b"QUIT\r\n", b"NOOP\r\n", None]
    assert incoming.consumed == incoming.received


async def test_the_transport_pauses_while_nobody_reads(incoming: Incoming) -> None:
    transport = create_autospec(asyncio.Transport, instance=True)
    incoming.attach(transport)
    for _ in range(3):
        incoming.feed(b"x" * HIGH_WATER)
    transport.pause_reading.assert_called_once_with()
    while incoming.take_block():
        pass
    incoming.wait()
    transport.resume_reading.assert_called_once_with()


async def test_waiting_ends_with_input_eof_and_wake(incoming: Incoming) -> None:
    events: list[Callable[[], None]] = [lambda: incoming.feed(b"x"), incoming.feed_eof, incoming.wake]
    for happens in events:
        waiting = incoming.wait()
        happens()
        await waiting
    assert incoming.ended
