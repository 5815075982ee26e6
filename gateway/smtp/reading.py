"""What a client has sent and nobody has looked at yet: blocks go in, command lines or blocks of message data come out.

Nothing here knows an SMTP command.
"""

from __future__ import annotations

import asyncio
from collections import deque

MAX_LINE = 2048  # the longest command line that any verb may have, its line end included
MAX_ENDLESS = 256 * 1024  # a line that has not ended by then never will
HIGH_WATER = 256 * 1024  # above this the transport stops reading until somebody asks for more


class LineTooLongError(Exception):
    """A line was longer than it may be. It was skipped to its end: the next line is a command again."""


class EndlessLineError(Exception):
    """`MAX_ENDLESS` octets came without a line feed."""


class Incoming:
    """The input buffer of one connection. `received` and `consumed` count octets since its beginning."""

    __slots__ = (
        "_blocks",
        "_head",
        "_loop",
        "_overlong",
        "_paused",
        "_position",
        "_transport",
        "_waiter",
        "buffered",
        "ended",
        "received",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.ReadTransport | None = None
        self._head = b""
        self._position = 0
        self._blocks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._overlong = 0
        self.buffered = 0
        self.received = 0
        self.ended = False
        """No more will come: the client closed its side, or the connection is lost."""

    def attach(self, transport: asyncio.ReadTransport) -> None:
        """Take the transport that is to pause while nobody reads."""
        self._transport = transport

    @property
    def consumed(self) -> int:
        return self.received - self.buffered

    @property
    def first_octet(self) -> int:
        """The next octet, or -1."""
        return self._head[self._position] if self._position < len(self._head) else -1

    def feed(self, block: bytes) -> None:
        self.received += len(block)
        self.buffered += len(block)
        if self._position == len(self._head) and not self._blocks:
            self._head = block
            self._position = 0
        else:
            self._blocks.append(block)
        if self.buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self.wake()

    def begin_anew(self) -> None:
        """Forget what nobody has looked at; what comes next comes from another transport. The counts go on."""
        self._blocks.clear()
        self._head, self._position = b"", 0
        self.buffered = self._overlong = 0
        self._paused = False
        self._transport = None

    def feed_eof(self) -> None:
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Let `wait` return, whether or not something came."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Done when something has come, the input has ended, or `wake` was called. One waiter at a time."""
        if self._paused and not self.ended and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        return self._waiter

    def take_line(self, most: int = MAX_LINE) -> bytes | None:
        """The next line with its line feed, or None while it is incomplete.

        Raises `LineTooLongError` once for each line that is longer than `most`, and `EndlessLineError`.
        """
        while self.buffered:
            head, start = self._head, self._position
            end = head.find(b"\n", start) + 1
            if end:
                line = head[start:end]
                self._position = end
                self.buffered -= len(line)
                if self._overlong or len(line) > most:
                    self._overlong = 0
                    raise LineTooLongError
                return line
            partial = len(head) - start
            if self._overlong or partial > most:
                self._overlong += partial
                self.buffered -= partial
                self._head, self._position = b"", 0
                if self._overlong > MAX_ENDLESS:
                    raise EndlessLineError
            if not self._blocks:
                break
            self._head = self._head[self._position :] + self._blocks.popleft()
            self._position = 0
        return None

    def take_block(self) -> bytes | None:
        """Whatever comes next, at least one octet, or None when nothing is here."""
        if self._position < len(self._head):
            block = self._head[self._position :] if self._position else self._head
            self._head, self._position = b"", 0
        elif self._blocks:
            block = self._blocks.popleft()
        else:
            return None
        self.buffered -= len(block)
        return block

    def take_octets(self, most: int) -> bytes | None:
        """As `take_block`, but no more than `most` octets (at least one)."""
        if self._position == len(self._head):
            if not self._blocks:
                return None
            self._head, self._position = self._blocks.popleft(), 0
        end = self._position + most
        block = self._head[self._position : end]
        if end < len(self._head):
            self._position = end
        else:
            self._head, self._position = b"", 0
        self.buffered -= len(block)
        return block

    def give_back(self, block: bytes) -> None:
        """Put the rest of the block that was just taken in front again."""
        if block:
            self._head, self._position = block, 0
            self.buffered += len(block)
