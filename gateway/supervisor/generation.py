"""A generation of workers: all processes of one configuration, each slot filled again when its process dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.config.models import Config
from gateway.errors import ConfigError, StartupError
from gateway.supervisor.child import Child, Launch
from gateway.supervisor.description import WorkerRole
from gateway.supervisor.sockets import ListeningSockets

log = logging.getLogger("stellwerk.supervisor")

RESTART_DELAYS_SECONDS = (0.0, 0.1, 0.5, 1.0, 5.0)
STEADY_SECONDS = 10.0
"""A process that served this long did not die of its start; the next one comes at once again."""

NewInstance = Callable[[], str]


class Generation:
    """The `config.server.workers` SMTP slots and the desk of one configuration."""

    def __init__(
        self,
        number: int,
        config: Config,
        launch: Launch,
        sockets: ListeningSockets,
        new_instance: NewInstance,
        on_death: Callable[[WorkerRole], None] = lambda role: None,
    ) -> None:
        self.number = number
        self.config = config
        self._launch = launch
        self._sockets = sockets
        self._new_instance = new_instance
        self._on_death = on_death
        self._slots: list[asyncio.Task[None]] = []
        self._children: dict[str, Child] = {}
        self._stopping = False

    async def start(self, *, first: bool = False) -> None:
        """Start every process and wait until all are ready.

        `first`: of this run of the supervisor. Raises `StartupError` or `ConfigError` with the words of the first one
        that failed; the others are gone then.
        """
        slots: list[tuple[str, WorkerRole, int]] = [
            (f"smtp-{index}", "smtp", index) for index in range(self.config.server.workers)
        ]
        ready: list[asyncio.Future[None]] = []
        for name, role, index in [*slots, ("desk", "desk", 0)]:
            first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # Several may fail, and one reason is enough.
            first_ready.add_done_callback(lambda future: future.cancelled() or future.exception())
            ready.append(first_ready)
            self._slots.append(asyncio.create_task(self._keep(name, role, index, first_ready, first)))
        try:
            await asyncio.gather(*ready)
        except BaseException:
            await self.kill("another process of its generation failed to start")
            raise

    async def stop(self, seconds: float) -> None:
        """SIGTERM to all; whoever still runs after `seconds` is killed. Returns when all are gone."""
        self._stopping = True
        for child in self._children.values():
            child.terminate()
        await self._gone(seconds)
        await self.kill(f"still busy {seconds:g} seconds after it was told to stop, and was killed")

    async def kill(self, reason: str) -> None:
        """End all at once. Nothing acknowledged is lost by that; senders repeat the rest."""
        self._stopping = True
        for child in self._children.values():
            child.kill(reason)
        for slot in self._slots:
            slot.cancel()
        await self._gone(None)

    async def _gone(self, seconds: float | None) -> None:
        running = [child.ended for child in self._children.values()]
        if running:
            await asyncio.wait(running, timeout=seconds)
        if seconds is None:
            await asyncio.gather(*self._slots, return_exceptions=True)

    async def _keep(self, name: str, role: WorkerRole, index: int, ready: asyncio.Future[None], first: bool) -> None:
        """Fill one slot until the generation stops."""
        of_desk, of_slot = self._sockets.of_desk, self._sockets.of_slot
        sockets = of_slot(self.config, index) if role == "smtp" else of_desk(self.config)
        dead: tuple[str, ...] = ()
        deaths = 0
        while not self._stopping:
            child = Child(self._launch, self._new_instance(), role)
            try:
                await child.spawn(sockets, dead, first_start=first)
            except StartupError as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                deaths += 1
                log.error("%s cannot be started: %s", name, error)
            else:
                self._children[name] = child
                lived_long = await self._serve(name, child, ready)
                if self._stopping or ready.cancelled() or ready.exception():
                    return
                deaths = 1 if lived_long else deaths + 1
                dead = (child.instance,) if child.is_ready else (*dead, child.instance)
                log.error("%s (process %d) ended: %s; restarting it", name, child.process.pid, child.last_words())
                self._on_death(role)
            first = False
            await asyncio.sleep(RESTART_DELAYS_SECONDS[min(deaths, len(RESTART_DELAYS_SECONDS)) - 1])

    async def _serve(self, name: str, child: Child, ready: asyncio.Future[None]) -> bool:
        """Wait for the end of `child`. Whether it had served for long."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        if await asyncio.shield(child.started):
            since = loop.time()
            log.info("%s is process %d, instance %s", name, child.process.pid, child.instance)
            if not ready.done():
                ready.set_result(None)
        await asyncio.shield(child.ended)
        if not ready.done():
            ready.set_exception(_start_failure(name, child))
        return child.is_ready and loop.time() - since > STEADY_SECONDS


def _start_failure(name: str, child: Child) -> StartupError | ConfigError:
    if child.failure and child.failure.status == ConfigError.exit_status:
        return ConfigError(child.failure.text.splitlines())
    if child.failure:
        return StartupError(child.failure.text)
    return StartupError(f"{name} ended before it was ready: {child.last_words()}; see its own lines above")
