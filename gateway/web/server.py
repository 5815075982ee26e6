"""Runs the web server in the desk's event loop, on a socket of the supervisor's. Its trouble is never mail's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.app import Gateway
from gateway.metrics.backlog import Backlog
from gateway.metrics.node import NodeMetrics
from gateway.web.app import make_app
from gateway.web.health import HealthChecks

log = logging.getLogger("stellwerk.web")

MAX_CONNECTIONS = 100
REQUEST_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 5
STOP_SECONDS = 3
_MAX_HEADER_BYTES = 16_384
_AGAIN_SECONDS = 5.0


class WebServer:
    """`/metrics`, `/healthz` and `/livez` on `sock`, a listening socket. Use from the desk's event loop."""

    def __init__(self, gateway: Gateway, sock: socket.socket) -> None:
        self._socket = sock
        self._backlog = Backlog(gateway.store, gateway.clock)
        node = NodeMetrics(gateway, self._backlog)
        self._app = make_app(node, HealthChecks(gateway, node, self._backlog))
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._serve(), name="web server"),
            asyncio.create_task(self._read_backlog(), name="reading of the backlog"),
        ]

    async def stop(self) -> None:
        """Let answers that are being given finish, for some seconds."""
        serving, reading = self._tasks
        reading.cancel()
        if self._server is not None:
            self._server.should_exit = True
        _, late = await asyncio.wait({serving}, timeout=STOP_SECONDS + 1)
        for task in late:
            task.cancel()
        await asyncio.gather(serving, reading, return_exceptions=True)
        self._socket.close()

    async def _serve(self) -> None:
        """A server that fails is started anew: monitoring that needs a restart of the gateway is worth little."""
        while True:
            self._server = server = _Server(_settings(self._app))
            with self._socket.dup() as sock:
                try:
                    await server.serve(sockets=[sock])
                    return
                except (Exception, SystemExit) as error:
                    log.error("the web server failed, starting it anew", exc_info=error)
                finally:
                    server.stop_accepting()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _read_backlog(self) -> None:
        while True:
            try:
                await self._backlog.run()
            except Exception as error:
                log.error("reading journal and outbox for metrics failed", exc_info=error)
            await asyncio.sleep(_AGAIN_SECONDS)


class _Server(uvicorn.Server):
    """Signals are the worker's."""

    def stop_accepting(self) -> None:
        """What uvicorn does itself at an orderly end."""
        for one in getattr(self, "servers", []):
            one.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _ImpatientProtocol(H11Protocol):
    """uvicorn limits how long a connection may rest between requests, not how long the first may take to come."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(REQUEST_SECONDS, self._close_unless_asked)

    def _close_unless_asked(self) -> None:
        if self.cycle is None:
            self.transport.close()


def _settings(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=_ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
    )
