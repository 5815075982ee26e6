"""The relay one writes first with aiosmtpd and a pool of aiosmtplib connections. A yardstick; nothing here is tuned."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session

MAX_MESSAGE_BYTES = 100 * 1024 * 1024


class Pool:
    """At most `size` connections to the next hop; a connection that failed is closed and never handed out again."""

    def __init__(self, host: str, port: int, size: int) -> None:
        self._host = host
        self._port = port
        self._slots = asyncio.Semaphore(size)
        self._idle: list[aiosmtplib.SMTP] = []

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        async with self._slots:
            client = self._idle.pop() if self._idle else await self._connect()
            try:
                yield client
            except BaseException:
                client.close()
                raise
            self._idle.append(client)

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(hostname=self._host, port=self._port, start_tls=False, local_hostname="bench.example")
        await client.connect()
        return client

    async def close(self) -> None:
        for client in self._idle:
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit()


class Relay:
    """The aiosmtpd handler: 250 only after the next hop took the message."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        try:
            async with self._pool.connection() as client:
                sender, content = envelope.mail_from or "", envelope.content or b""
                refused, _ = await client.sendmail(sender, envelope.rcpt_tos, content)
        except (aiosmtplib.SMTPException, OSError) as error:
            return f"451 4.4.1 next hop: {type(error).__name__}"
        return "451 4.4.1 the next hop refused a recipient" if refused else "250 2.0.0 relayed"


async def serve(port: int, next_hop_port: int, connections: int) -> None:
    pool = Pool("127.0.0.1", next_hop_port, connections)
    handler = Relay(pool)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="bench.example", data_size_limit=MAX_MESSAGE_BYTES, loop=loop),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    async with server:
        await stop.wait()
    await pool.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--next-hop-port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=20)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.next_hop_port, arguments.connections))


if __name__ == "__main__":
    main()
