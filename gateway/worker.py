"""The worker: `python -m gateway.worker`, started by the supervisor only, with its description on standard input.

Roles: `smtp` takes mail on the sockets it inherits, `desk` does background work, `check` only tells whether the
configuration is right. Heartbeat, watchdog and signals are `worker_process`'s.
"""

from __future__ import annotations

import asyncio
import socket

from gateway.app import Gateway, Identity
from gateway.checking import check_configuration, check_spool
from gateway.config.models import Config
from gateway.hooks.runner import running_now
from gateway.smtp.serving import ListenerServer, serve
from gateway.supervisor.description import WorkerDescription
from gateway.worker_process import Work, run_worker


class GatewayWork:
    """A gateway, and for the role `smtp` its listeners."""

    def __init__(self, description: WorkerDescription, config: Config) -> None:
        self._description = description
        self._config = config
        self._servers: list[ListenerServer] = []
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
        for passed in self._description.sockets:
            listener = self._config.listener(passed.listener)
            assert listener is not None
            self._servers.append(
                await serve(
                    listener,
                    self._config.limits,
                    self._config.spool,
                    self._config.server.hostname,
                    socket.socket(fileno=passed.fd),
                    self._gateway.pipeline,
                )
            )

    async def stop(self, drain_seconds: float) -> None:
        await asyncio.gather(*(server.drain(drain_seconds) for server in self._servers))
        await self._gateway.stop()


class CheckWork:
    """Loads configuration and plugins and tries the spool, with the rights that the other workers will have."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def start(self) -> None:
        check_configuration(self._config)
        check_spool(self._config.spool)

    async def stop(self, drain_seconds: float) -> None:
        """Nothing runs."""


def make_work(description: WorkerDescription, config: Config) -> Work:
    return CheckWork(config) if description.role == "check" else GatewayWork(description, config)


if __name__ == "__main__":
    run_worker(make_work, running_now)
