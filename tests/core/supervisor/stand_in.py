"""A worker that tests can make fail: `python -m tests.core.supervisor.stand_in`, started by the supervisor.

Each connection is greeted with a line of JSON that tells who serves it; then the commands `stand-still`, `die` and
`ping` are obeyed. `[plugin.stand_in] start = ...` in the configuration decides how its start goes.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time

from gateway.config import Config
from gateway.errors import ConfigError, StartupError
from gateway.supervisor.description import WorkerDescription
from gateway.worker.process import run_worker


class StandIn:
    def __init__(self, description: WorkerDescription, config: Config) -> None:
        self._description = description
        self._settings = config.plugin.get("stand_in", {})
        self._servers: list[asyncio.Server] = []
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        how, role = self._settings.get("start"), self._description.role
        if how == f"refused by {role}":
            raise ConfigError(["s.toml:1: the first thing", "s.toml:2: the second thing"])
        if how == f"failed by {role}":
            raise StartupError(f"{role} has no database")
        if how == f"crash of {role}":
            raise RuntimeError("a bug")
        if how == f"death of {role}":
            os._exit(9)
        if how == f"never by {role}":
            await asyncio.Event().wait()
        for passed in self._description.sockets:
            listening = socket.socket(fileno=passed.fd)
            self._servers.append(await asyncio.start_server(self._talk, sock=listening))

    async def stop(self, drain_seconds: float) -> None:
        for server in self._servers:
            server.close()
        if self._settings.get("stop") == "never":
            drain_seconds = 3600
        if self._busy:
            await asyncio.wait(self._busy, timeout=drain_seconds)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        told = {
            "process": os.getpid(),
            "user": os.geteuid(),
            "instance": self._description.instance,
            "dead": self._description.dead_instances,
            "first_start": self._description.first_start,
            "mark": self._settings.get("mark"),
        }
        writer.write(json.dumps(told).encode() + b"\n")
        while line := await reader.readline():
            match line:
                case b"stand-still\n":
                    time.sleep(3600)  # noqa: ASYNC251 - the very fault that the watchdogs are for
                case b"die\n":
                    os._exit(3)
                case _:
                    writer.write(line)
                    await writer.drain()
        writer.close()
        self._busy.discard(task)


if __name__ == "__main__":
    run_worker(StandIn)
