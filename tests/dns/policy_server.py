"""A small HTTPS server that has one policy file, for tests of MTA-STS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.certificates import Authority


@asynccontextmanager
async def policy_server(
    authority: Authority, name: str, status: int, policy: str | None, *, more: str = ""
) -> AsyncIterator[int]:
    """The port. Every request gets `status`, the headers `more` (each with its line end), and `policy` as it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue(name).configure_cert(context)
    body = (policy or "").encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            location = "Location: https://elsewhere.test/\r\n" if 300 <= status < 400 else ""
            writer.write(f"HTTP/1.1 {status} x\r\n{location}{more}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            pass  # the client has seen enough
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
