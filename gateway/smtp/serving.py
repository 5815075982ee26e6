"""A listener at work: accepts connections, watches their deadlines, drains. It knows no command of SMTP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.listener import ListenerConfig
from gateway.config.models import LimitsConfig
from gateway.mail.envelope import Client
from gateway.mail.reply import Reply
from gateway.metrics.snapshot import Snapshot
from gateway.smtp.admission import Admission
from gateway.smtp.connection import LINGER_SECONDS, NEVER, TLS_FAREWELL_SECONDS
from gateway.smtp.lmtp import LmtpServer
from gateway.smtp.proxy_protocol import ProxyHeader, ProxyHeaderError, begins_header, receive_header
from gateway.smtp.server import SmtpServer
from gateway.smtp.session import Service, peer_client

if TYPE_CHECKING:
    from gateway.pipeline import Pipeline

log = logging.getLogger(__name__)

BACKLOG = 1024
_ACCEPT_BATCH = 32  # then the connections we have get their turn
_ACCEPT_RETRY_SECONDS = 1.0
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SPOOL_THREADS = 4


async def serve(
    listener: ListenerConfig,
    limits: LimitsConfig,
    spool: Path,
    hostname: str,
    sock: socket.socket,
    pipeline: Pipeline,
    tls: ssl.SSLContext | None = None,
) -> ListenerServer:
    """Take mail on `sock`, a bound stream socket that stays the caller's, and hand it to `pipeline`.

    `tls`: what a listener with TLS shows its clients (`certificates.server_context`).
    """
    threads = ThreadPoolExecutor(_SPOOL_THREADS, thread_name_prefix=f"spool-{listener.name}")
    server = ListenerServer(Service(listener, limits, spool, hostname, pipeline, threads, tls), sock, threads)
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        # Inherited by every connection. asyncio sets it only where the socket object happens to know its protocol.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.listen(BACKLOG)
    server.start()
    return server


class ListenerServer:
    """The connections of one listener in this process. It owns their tasks: no disconnect cancels a transaction."""

    def __init__(self, service: Service, sock: socket.socket, threads: ThreadPoolExecutor) -> None:
        self._service = service
        self._sock = sock
        self._threads = threads
        self._loop = service.loop
        self._conversations: dict[SmtpServer, asyncio.Task[None]] = {}
        # Connections that have said nothing yet of what they are here for: a PROXY header or a handshake is awaited.
        self._arriving: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._timer: asyncio.TimerHandle | None = None
        shortest = min(service.under_stress.command_seconds, service.under_stress.data_seconds)
        self._sweep_seconds = min(1.0, max(0.05, shortest / 8))

    @property
    def open_connections(self) -> int:
        return len(self._conversations)

    @property
    def running_transactions(self) -> int:
        return sum(conversation.processing is not None for conversation in self._conversations)

    def put(self, snapshot: Snapshot) -> None:
        """Add the numbers of this listener."""
        self._service.counts.open = self.open_connections
        self._service.counts.put(snapshot)

    def start(self) -> None:
        self._accepting = True
        self._loop.add_reader(self._sock, self._accept)
        self._sweep()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                connection, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                log.warning("%s: cannot accept connections: %s", self._service.listener.name, error.strerror)
                self._stop_accepting()
                self._loop.call_later(_ACCEPT_RETRY_SECONDS, self._accept_again)
                return
            self._take(connection, peer_client(address))

    def _accept_again(self) -> None:
        if self._accepting:
            self._loop.add_reader(self._sock, self._accept)

    def _stop_accepting(self) -> None:
        self._loop.remove_reader(self._sock)

    def _take(self, connection: socket.socket, peer: Client) -> None:
        proxies = self._service.proxies
        if proxies is None:
            self._admit(connection, peer)
        elif peer.address in proxies:
            connection.setblocking(False)
            task = self._loop.create_task(self._arrive(connection, peer))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
        else:
            self._turn_away(connection, peer, "it is not one of trusted_proxies")

    async def _arrive(self, connection: socket.socket, proxy: Client) -> None:
        """Read the PROXY header; whoever it names is the client from here on."""
        try:
            header = await receive_header(connection)
            if begins_header(_at_hand(connection)):
                raise ProxyHeaderError("a second header")
        except (ProxyHeaderError, OSError) as error:
            why = "no PROXY header in time" if isinstance(error, TimeoutError) else str(error)
            self._turn_away(connection, proxy, why)
        except BaseException:
            connection.close()
            raise
        else:
            self._admit(connection, Client(header.address, header.port) if header.address else proxy, proxy, header)

    def _turn_away(self, connection: socket.socket, peer: Client, why: str) -> None:
        """Without a word: who comes here by mistake or by stealth is not to learn what listens."""
        connection.close()
        self._service.counts.refused["proxy"] += 1
        log.info("%s: %s: closed, %s", self._service.listener.name, peer.address, why)

    def _admit(
        self,
        connection: socket.socket,
        client: Client,
        proxy: Client | None = None,
        header: ProxyHeader | None = None,
    ) -> None:
        service = self._service
        admission = service.connections.admit(client.address, trusted=client.address in service.trusted)
        if isinstance(admission, Reply):
            service.counts.turned_away(client.address, admission)
            with connection, contextlib.suppress(OSError):
                connection.send(f"{admission}\r\n".encode())
            return
        service.counts.accepted += 1
        conversation = (LmtpServer if service.listener.protocol == "lmtp" else SmtpServer)(service, client)
        if proxy is not None and header is not None:
            conversation.came_through(proxy.address, header.destination)
        self._conversations[conversation] = self._loop.create_task(self._converse(conversation, connection, admission))

    async def _converse(self, conversation: SmtpServer, connection: socket.socket, admission: Admission) -> None:
        try:
            if self._service.offers_tls or self._service.tls is None:
                await self._loop.connect_accepted_socket(lambda: conversation, connection)
            else:
                await self._shake_hands(conversation, connection)
            await conversation.converse()
        except OSError as error:
            connection.close()
            log.info("%s: connection lost at once: %s", conversation.mail_session.id, error.strerror or error)
        finally:
            admission.release()
            del self._conversations[conversation]

    async def _shake_hands(self, conversation: SmtpServer, connection: socket.socket) -> None:
        """Implicit TLS. Raises `OSError` when the handshake fails, `CancelledError` when the server stops meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        self._arriving.add(task)
        try:
            await self._loop.connect_accepted_socket(
                lambda: conversation,
                connection,
                ssl=self._service.tls,
                ssl_handshake_timeout=conversation.handshake_seconds,
                ssl_shutdown_timeout=TLS_FAREWELL_SECONDS,
            )
        except BaseException:
            connection.close()
            raise
        finally:
            self._arriving.discard(task)

    def _sweep(self) -> None:
        """One timer for all connections: a timer each, moved at every command, costs more than all their checks."""
        now = self._loop.time()
        service = self._service
        latest = now + service.under_stress.command_seconds if service.connections.stressed else NEVER
        for conversation in self._conversations:
            if conversation.deadline > latest:
                conversation.hurry(latest)
            elif conversation.deadline < now:
                conversation.expire()
        self._timer = self._loop.call_later(self._sweep_seconds, self._sweep)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, say 421 to whoever has no transaction open, give the others `seconds` to finish theirs.

        The socket stays open and listening for whoever shares it. Messages that are complete by then lose their client
        (421) and go on; their tasks end with the event loop.
        """
        if self._accepting:
            self._accepting = False
            self._stop_accepting()
        for task in self._arriving:
            task.cancel()
        for conversation in self._conversations:
            conversation.drain()
        await self._wait(seconds, list(self._conversations.values()))
        for conversation in self._conversations:
            conversation.cut()
        rest = [task for conversation, task in self._conversations.items() if conversation.processing is None]
        await self._wait(LINGER_SECONDS + 1, rest)
        for conversation in self._conversations:
            conversation.abort()
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown(wait=False)

    @staticmethod
    async def _wait(seconds: float, tasks: list[asyncio.Task[None]]) -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


def _at_hand(connection: socket.socket) -> bytes:
    """What has come already and nobody has read, without taking it."""
    try:
        return connection.recv(64, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
