"""A plain SMTP client for tests: no library stands between the test's bytes and the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


class NoReplyError(ConnectionError):
    """The connection ended where a reply was due."""


class Client:
    """One connection, after EHLO. A reply is given back as its last line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int) -> AsyncIterator[Client]:
        """A connection to a listener on loopback; it is closed without QUIT."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer)
        try:
            await client._expect("220")
            await client.say(b"EHLO client.test\r\n", "250")
            yield client
        finally:
            writer.close()

    async def send(self, sender: str, recipients: Sequence[str], content: bytes) -> str:
        """The reply to the final dot of a message whose recipients are all accepted."""
        await self.say(f"MAIL FROM:<{sender}>\r\n".encode(), "250")
        for recipient in recipients:
            await self.say(f"RCPT TO:<{recipient}>\r\n".encode(), "250")
        await self.say(b"DATA\r\n", "354")
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        return await self.say(stuffed + b".\r\n")

    async def say(self, data: bytes, code: str = "") -> str:
        """Write, and wait for one reply, which must begin with `code`."""
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise NoReplyError from error
        return await self._expect(code)

    async def _expect(self, code: str) -> str:
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError as error:
                raise NoReplyError from error
            if not line.endswith(b"\n"):
                raise NoReplyError
            if line[3:4] != b"-":
                reply = line.decode().strip()
                assert reply.startswith(code), reply
                return reply
