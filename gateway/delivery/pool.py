"""A bounded set of connections to one next hop, reused while they are fit for it.

Knows nothing about messages: it lends a connection for one transaction and takes it back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from copy import copy

from gateway.delivery.connection import Connection, NextHopUnavailable

Opener = Callable[[float], Awaitable[Connection]]
QUIT_SECONDS = 2.0


class Pool:
    """Lends connections; who comes when all are lent waits in turn. No more than `connections` are ever open: lent,
    idle, or closing, since the hop counts one until it has seen the end of it.

    `opener` makes one within the loop time it is given. Idle ones are closed after `idle_seconds`, and each after
    `transactions_per_connection`. Use from one event loop.
    """

    def __init__(
        self, opener: Opener, *, connections: int, idle_seconds: float, transactions_per_connection: int
    ) -> None:
        self._opener = opener
        self._limit = connections
        self._idle_seconds = idle_seconds
        self._transactions = transactions_per_connection
        self._idle: deque[Connection] = deque()
        self._lent: set[Connection] = set()
        self._slots_taken = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._leaving: set[Connection] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def lent(self) -> int:
        """Those that are neither idle nor closed: lent, being opened, being closed."""
        return self._slots_taken

    async def acquire(self, until: float) -> Connection:
        """A connection ready for MAIL. Raises `NextHopUnavailable`, or TimeoutError when none came free in time."""
        if self._closed:
            raise NextHopUnavailable("the gateway is shutting down")
        if self._slots_taken < self._limit:
            self._slots_taken += 1
            while self._idle:
                connection = self._idle.pop()
                if connection.failure is None:  # whatever it may have said while at rest is one
                    return self._lend(connection)
                self._slots_taken += 1
                self._leave(connection)
        else:
            waiting = await self._turn(until)
            if waiting is not None:
                return waiting
        return await self._open(until)

    async def renew(self, broken: Connection, until: float) -> Connection:
        """A new connection in the place of one that turned out to be dead; errors as `acquire`."""
        self._lent.discard(broken)
        broken.abort()
        return await self._open(until, instead_of=broken)

    def release(self, connection: Connection) -> None:
        """Take a lent connection back: for the next in line, to rest, or to be closed when it is not fit any more."""
        self._lent.discard(connection)
        if self._closed or connection.transactions >= self._transactions or not connection.usable:
            self._leave(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._lend(connection)
                waiter.set_result(connection)
                return
        self._slots_taken -= 1
        connection.rest()
        self._idle.append(connection)
        if self._sweeper is None:
            self._plan_sweep()

    async def close(self) -> None:
        """Close what is idle, refuse who waits; lent connections close as they come back."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._refuse_waiting(NextHopUnavailable("the gateway is shutting down"))
        self._leave_idle(len(self._idle))
        leaving = [connection.closed for connection in self._leaving]
        if leaving:
            await asyncio.wait(leaving, timeout=QUIT_SECONDS)
        for connection in list(self._leaving):
            connection.abort()
            await connection.closed

    def _lend(self, connection: Connection) -> Connection:
        connection.resume()
        self._lent.add(connection)
        return connection

    async def _turn(self, until: float) -> Connection | None:
        """Wait in line: a connection, or None for the right to open one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except (asyncio.CancelledError, TimeoutError):
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # The turn came in the same moment: it goes to the next.
                given = waiter.result()
                if given is None:
                    self._free_slot()
                else:
                    self.release(given)
            raise

    async def _open(self, until: float, instead_of: Connection | None = None) -> Connection:
        try:
            if instead_of is not None:
                await asyncio.wait([instead_of.closed])
            connection = await self._opener(until)
        except BaseException as error:
            if isinstance(error, NextHopUnavailable) and not self._lent:
                # Nobody is connected, so each of those in line would only wait for the same answer.
                self._refuse_waiting(error)
            self._free_slot()
            raise
        return self._lend(connection)

    def _free_slot(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._slots_taken -= 1

    def _refuse_waiting(self, error: NextHopUnavailable) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(copy(error))  # with its reply; one error raised in several places mixes them up

    def _leave(self, connection: Connection) -> None:
        """Close what holds a slot, which is free once it is closed."""
        if connection.closed.done():
            self._free_slot()
            return
        self._leaving.add(connection)
        overdue = asyncio.get_running_loop().call_later(QUIT_SECONDS, connection.abort)

        def left(_: asyncio.Future[None]) -> None:
            overdue.cancel()
            self._leaving.discard(connection)
            self._free_slot()

        connection.closed.add_done_callback(left)
        if connection.usable:
            connection.quit()
        else:
            connection.abort()

    def _leave_idle(self, count: int) -> None:
        """Close those that have been idle for longest."""
        self._slots_taken += count
        for _ in range(count):
            self._leave(self._idle.popleft())

    def _plan_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_at(self._idle[0].idle_since + self._idle_seconds, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        rested_since = asyncio.get_running_loop().time() - self._idle_seconds
        while self._idle and (self._idle[0].idle_since <= rested_since or not self._idle[0].usable):
            self._leave_idle(1)
        if self._idle:
            self._plan_sweep()
