"""A TCP proxy on loopback that stands for a bad network: it forwards, slowly or for a while, and counts."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to `target` ("host:port"), which may be set later. `address` is where it listens.

    All connections share one line that carries `bytes_per_second` each way, in pieces of `piece_bytes` which arrive
    `delay_seconds` later. A piece is lost with probability `loss_rate`; then it, and what is behind it on its
    connection, arrives `resend_seconds` later, twice that when it is lost again, and so on: that is what of a lost
    packet reaches those who talk over TCP. Each connection breaks with probability `break_rate`, after a random number
    of pieces. `seed` makes a run repeatable.
    """

    def __init__(
        self,
        target: str = "",
        *,
        piece_bytes: int = 65_536,
        bytes_per_second: float = float("inf"),
        delay_seconds: float = 0.0,
        loss_rate: float = 0.0,
        resend_seconds: float = 1.0,
        break_rate: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.target = target
        self.address = ""
        self.connections = 0
        self.broken = 0
        self.lost = 0
        self._piece_bytes = piece_bytes
        self._bytes_per_second = bytes_per_second
        self._delay_seconds = delay_seconds
        self._loss_rate = loss_rate
        self._resend_seconds = resend_seconds
        self._free_at = {"there": 0.0, "back": 0.0}
        self._break_rate = break_rate
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._forward(reader, writer)
        except OSError:
            self.broken += 1
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        breaks = self._random.random() < self._break_rate
        pieces = self._random.randint(1, 40) if breaks else -1
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(reader, far_writer, "there", pieces))
                both.create_task(self._copy(far_reader, writer, "back", -1))
        except* OSError:
            self.broken += 1
        finally:
            far_writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str, pieces: int) -> None:
        while data := await reader.read(self._piece_bytes):
            if pieces == 0:
                raise ConnectionResetError
            pieces -= 1
            await asyncio.sleep(self._takes_seconds(len(data), way))
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    def _takes_seconds(self, octets: int, way: str) -> float:
        """Waiting for the line, going over it, and being sent again."""
        now = asyncio.get_running_loop().time()
        self._free_at[way] = max(now, self._free_at[way]) + octets / self._bytes_per_second
        seconds = self._free_at[way] - now + self._delay_seconds
        resend = self._resend_seconds
        while self._random.random() < self._loss_rate:
            self.lost += 1
            seconds += resend
            resend *= 2
        return seconds
