"""The client of `client`, encrypted: TLS by hand over the same bare socket."""

from __future__ import annotations

import asyncio
import ssl

from tests.core.smtp.client import PATIENCE_SECONDS, Client


class TlsClient(Client):
    """One connection on which TLS has begun."""

    def __init__(self, plain: Client, context: ssl.SSLContext, name: str | None) -> None:
        super().__init__(plain.connection)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    @classmethod
    async def over(cls, plain: Client, context: ssl.SSLContext, name: str | None = "gw.example.test") -> TlsClient:
        """Shake hands. Raises `ssl.SSLError`, or `ConnectionError` when the server closes instead."""
        client = cls(plain, context, name)
        await client.shake_hands()
        return client

    async def shake_hands(self, *, in_front: bytes = b"") -> None:
        """`in_front`: octets that go out in one piece with the beginning of the handshake. Raises as `over`."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await Client.send(self, in_front + self._outgoing.read())
                in_front = b""
                await self._feed()
            else:
                await self._flush()
                return

    async def send(self, raw: bytes) -> None:
        self.tls.write(raw)
        await self._flush()

    async def read(self) -> bytes:
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._feed()
            except ssl.SSLZeroReturnError:
                return b""

    async def _flush(self) -> None:
        await super().send(self._outgoing.read())

    async def _feed(self) -> None:
        raw = await asyncio.wait_for(self._loop.sock_recv(self.connection, 65536), PATIENCE_SECONDS)
        if not raw:
            raise ConnectionError("closed within TLS")
        self._incoming.write(raw)
