"""A TCP proxy on loopback that stands for a bad network: it forwards, slowly or for a while, and counts."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to `target` ("host:port"), which may be set later. `address` is where it listens.

    Data goes on in pieces of `piece_bytes` with up to `pause_seconds` between them; each connection breaks with
    probability `break_rate`, after a random number of pieces. `seed` makes a run repeatable.
    """

    def __init__(
        self,
        target: str = "",
        *,
        piece_bytes: int = 65_536,
        pause_seconds: float = 0.0,
        break_rate: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.target = target
        self.address = ""
        self.connections = 0
        self.broken = 0
        self._piece_bytes = piece_bytes
        self._pause_seconds = pause_seconds
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
                both.create_task(self._copy(reader, far_writer, pieces))
                both.create_task(self._copy(far_reader, writer, -1))
        except* OSError:
            self.broken += 1
        finally:
            far_writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: int) -> None:
        while data := await reader.read(self._piece_bytes):
            if pieces == 0:
                raise ConnectionResetError
            pieces -= 1
            if self._pause_seconds:
                await asyncio.sleep(self._random.random() * self._pause_seconds)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
