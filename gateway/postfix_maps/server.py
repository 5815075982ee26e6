"""The socketmap: Postfix asks, the directory answers (socketmap_table(5)). What it answers is in answers.py.

Postfix keeps a connection for many questions. Whatever goes wrong here is TEMP: a mailbox that cannot be found because
something is broken is not a mailbox that does not exist.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol

from gateway.errors import StoreUnavailable
from gateway.postfix_maps.answers import MAPS, MapName
from gateway.postfix_maps.netstring import NetstringError, netstring, read_netstring

log = logging.getLogger("stellwerk.socketmap")

MAX_REQUEST_BYTES = 4096
"""A line of SMTP has at most 2048 in Postfix (line_length_limit), and a key is a part of one."""
MAX_CONNECTIONS = 1000
"""Each smtpd, cleanup, trivial-rewrite and qmgr keeps one for each map; Postfix has 100 of a kind by default."""
ANSWER_SECONDS = 10.0
WRITE_SECONDS = 10.0
IDLE_SECONDS = 300.0
"""Postfix itself closes after 10 seconds without a question, and after 100 in any case."""
_BACKLOG = 1024
_ACCEPT_RETRY_SECONDS = 1.0


class Answers(Protocol):
    """`MapAnswers`, for those who only ask."""

    async def answer(self, name: MapName, key: str) -> str | None: ...


class SocketmapServer:
    """Answers on `sock`, a bound stream socket that stays the caller's."""

    def __init__(self, answers: Answers, sock: socket.socket) -> None:
        self._answers = answers
        self._sock = sock
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        self._sock.setblocking(False)
        self._sock.listen(_BACKLOG)
        self._accepting = asyncio.create_task(self._accept(), name="socketmap")

    async def stop(self) -> None:
        """Accept nobody any more, give the answers that are being worked out, close. Others may share the socket."""
        self._stopping = True
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait({self._accepting})
        for task in self._idle:
            task.cancel()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=ANSWER_SECONDS)
            for task in late:
                task.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._sock)
            except OSError as error:
                log.warning("cannot accept connections: %s", error.strerror)
                await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
                continue
            if len(self._connections) >= MAX_CONNECTIONS:
                log.warning("closed a connection: %d are open", MAX_CONNECTIONS)
                connection.close()
                continue
            task = loop.create_task(self._converse(connection))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(MAX_REQUEST_BYTES, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            while not self._stopping and (request := await self._request(reader)) is not None:
                writer.write(netstring((await self._reply(request)).encode()))
                async with asyncio.timeout(WRITE_SECONDS):
                    await writer.drain()
        except NetstringError as error:
            log.warning("closed a connection that does not speak socketmap: %s", error)
        except (OSError, TimeoutError):
            log.debug("a connection was lost, or stood still")
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes | None:
        task = asyncio.current_task()
        assert task is not None
        self._idle.add(task)
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await read_netstring(reader, MAX_REQUEST_BYTES)
        finally:
            self._idle.discard(task)

    async def _reply(self, request: bytes) -> str:
        name, space, key = request.partition(b" ")
        asked = name.decode("utf-8", "replace")
        if not space or asked not in MAPS:
            return f"PERM there is no map {asked[:40]!r}; expected {', '.join(MAPS)}, a space and a key"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._answers.answer(asked, key.decode())
        except UnicodeDecodeError:  # no address, and no domain
            return "NOTFOUND "
        except StoreUnavailable as error:  # the watch over the directory has said so in the log, once
            return f"TEMP {error}"
        except TimeoutError:
            log.warning("%s: no answer within %g s", asked, ANSWER_SECONDS)
            return "TIMEOUT the directory answers too slowly"
        except Exception as error:  # a bug is neither "no such mailbox" nor the end of the connection
            log.error("%s failed", asked, exc_info=error)
            return "TEMP an error within the gateway; its log says more"
        return "NOTFOUND " if found is None else f"OK {found}"
