"""A client that does what it is told, octet by octet, and never helps the server out."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 30.0  # only ends a test that hangs


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for belongs to the server and has no event
            await asyncio.sleep(0.002)


class Client:
    """One connection, on a bare socket: a stream would forget what it has read when the connection is reset."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    @classmethod
    async def connect(cls, address: tuple[str, int] | str, source: str = "127.0.0.1") -> Self:
        """Connect to (host, port) from the address `source`, or to the UNIX socket of that path."""
        unix = isinstance(address, str)
        connection = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        connection.setblocking(False)
        if not unix:
            connection.bind((source, 0))
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    async def send(self, raw: bytes) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._loop.sock_sendall(self.connection, raw)

    async def read(self) -> bytes:
        """What comes next, however much it is; empty at the end. Raises ConnectionError when it was reset."""
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        return await asyncio.wait_for(self._loop.sock_recv(self.connection, 65536), PATIENCE_SECONDS)

    async def reply(self) -> str:
        """The next reply, its lines joined by a newline. Raises ConnectionError when there is none."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            while b"\r\n" not in self._unread:
                kept, self._unread = self._unread, b""
                more = await self.read()
                if not more:
                    raise ConnectionError(f"closed instead of a reply, after {lines}")
                self._unread = kept + more
            line, _, self._unread = self._unread.partition(b"\r\n")
            lines.append(line.decode("ascii"))
        return "\n".join(lines)

    async def say(self, *lines: str) -> str:
        """Send the lines together; the reply to the last one."""
        await self.send("".join(f"{line}\r\n" for line in lines).encode())
        for _ in lines[1:]:
            await self.reply()
        return await self.reply()

    async def tell(self, raw: bytes) -> str:
        """Send raw octets; the next reply."""
        await self.send(raw)
        return await self.reply()

    async def is_closed(self) -> bool:
        """Wait for the server to close; False when it says something instead."""
        try:
            return not await self.read()
        except ConnectionError:
            return True

    def half_close(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self) -> None:
        self.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
