"""What a worker does by its role: take mail, do background work, or only check a configuration."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

from gateway.app import Gateway, Identity
from gateway.certificates import check_certificates, server_context
from gateway.checking import check_plugins, check_spool, check_store_files
from gateway.config.models import SOCKETMAP, Config
from gateway.metrics.board import clear_old, directory
from gateway.metrics.process import start_metrics
from gateway.postfix_maps.answers import MapAnswers
from gateway.postfix_maps.server import SocketmapServer
from gateway.smtp.serving import ListenerServer, serve
from gateway.supervisor.description import WorkerDescription
from gateway.web.server import WebServer
from gateway.worker.process import Work


class GatewayWork:
    """A gateway, and for the role `smtp` its listeners and what answers Postfix."""

    def __init__(self, description: WorkerDescription, config: Config) -> None:
        self._config = config
        self._sockets = [(one.listener, socket.socket(fileno=one.fd)) for one in description.sockets]
        self._certificates = {each.listener: each for each in description.certificates}
        self._servers: list[ListenerServer] = []
        self._metrics: asyncio.Task[None] | None = None
        self._web: WebServer | None = None
        self._socketmap: SocketmapServer | None = None
        self._gateway = Gateway(
            config,
            role="smtp" if description.role == "smtp" else "desk",
            identity=Identity(
                node=description.node,
                boot=description.boot,
                instance=description.instance,
                dead_instances=description.dead_instances,
                first_start=description.first_start,
            ),
        )

    async def start(self) -> None:
        await self._gateway.start()
        config = self._config
        if self._gateway.role == "desk":
            await self._start_desk()
            return
        for name, sock in self._sockets:
            if name == SOCKETMAP:
                self._socketmap = SocketmapServer(MapAnswers(self._gateway.directory, self._gateway.store), sock)
                self._socketmap.start()
                continue
            listener = config.listener(name)
            assert listener is not None
            certificate = self._certificates.get(name)
            tls = None if certificate is None else server_context(listener, certificate)
            limits, hostname = config.limits, config.server.hostname
            self._servers.append(
                await serve(listener, limits, config.spool, hostname, sock, self._gateway.pipeline, tls)
            )
        self._metrics = start_metrics(self._gateway, self._servers)

    async def _start_desk(self) -> None:
        clear_old(directory(self._config), self._gateway.identity.boot)
        self._metrics = start_metrics(self._gateway)
        for _, sock in self._sockets:
            self._web = WebServer(self._gateway, sock)
            self._web.start()

    async def stop(self, drain_seconds: float) -> None:
        if self._web is not None:
            await self._web.stop()
        drains = [asyncio.ensure_future(server.drain(drain_seconds)) for server in self._servers]
        if self._socketmap is not None:
            drains.append(asyncio.ensure_future(self._socketmap.stop()))
        await asyncio.sleep(0)
        # Nobody accepts on them from here on. Where no later generation has the socket either, who waits in its
        # backlog hears so now and not after the drain.
        for _, sock in self._sockets:
            sock.close()
        await asyncio.gather(*drains)
        await self._gateway.stop()
        if self._metrics is not None:
            self._metrics.cancel()
            await asyncio.wait({self._metrics})


class CheckWork:
    """Loads configuration and plugins, tries spool and database file, with the rights that other workers will have."""

    def __init__(self, description: WorkerDescription, config: Config) -> None:
        self._config = config
        self._certificates = description.certificates

    async def start(self) -> None:
        check_certificates(self._config, self._certificates, datetime.now(UTC))
        await check_plugins(self._config)
        check_spool(self._config.spool)
        check_store_files(self._config.store.url)

    async def stop(self, drain_seconds: float) -> None:
        """Nothing runs."""


def make_work(description: WorkerDescription, config: Config) -> Work:
    return CheckWork(description, config) if description.role == "check" else GatewayWork(description, config)
