"""The life of the gateway: start, new generations, stop. Readable from top to bottom; the parts are next door."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.certificates import read_certificates
from gateway.config.models import Config
from gateway.config.reading import load
from gateway.errors import ConfigError, StartupError, StellwerkError
from gateway.logs import flush_logging, start_logging
from gateway.supervisor import systemd
from gateway.supervisor.account import Account, account_of_workers
from gateway.supervisor.announcement import listening_lines
from gateway.supervisor.child import Child, Launch
from gateway.supervisor.description import STOP_GRACE_SECONDS, WorkerRole
from gateway.supervisor.generation import Generation
from gateway.supervisor.sockets import ListeningSockets
from gateway.supervisor.state import StateDirectory

log = logging.getLogger("stellwerk.supervisor")

Say = Callable[[str], None]


class Supervisor:
    """One run of `stellwerk serve`.

    SIGHUP starts a new generation from the present file and keeps the old one when that fails; SIGTERM and SIGINT let
    running transactions finish, a second one does not.
    """

    def __init__(self, path: Path, say: Say, worker_module: str = "gateway.worker") -> None:
        self._path = path
        self._say = say
        self._worker_module = worker_module
        self._sockets = ListeningSockets()
        self._state: StateDirectory | None = None
        self._generation: Generation | None = None
        self._generations: set[Generation] = set()
        self._numbers = itertools.count(1)
        self._instances = itertools.count(1)
        self._draining: set[asyncio.Task[None]] = set()
        self._deaths: Counter[WorkerRole] = Counter()
        self._reloads_failed = 0
        self._started = time.time()
        self._reload = asyncio.Event()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self, announce_ready: Callable[[Config], None]) -> None:
        """From start to stop. Raises `StellwerkError` when the gateway cannot start; then nothing is left running."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        os.umask(0o077)
        _allow_many_descriptors()
        config = load(self._path)
        try:
            self._sockets = ListeningSockets(systemd.inherited_sockets())
            if await self._unless_stopped(self._start(config)):
                announce_ready(config)
                systemd.notify(f"READY=1\nMAINPID={os.getpid()}")
                await self._serve()
        finally:
            await self._shut_down()
            flush_logging()

    async def _start(self, config: Config) -> None:
        account = _account(config)
        self._state = await StateDirectory.acquire(config, account)
        launch = self._launch(config, account)
        await _check(launch, self._new_instance())
        self._sockets.open(config, account)
        self._publish(config)
        self._generation = self._new_generation(config, launch)
        await self._generation.start(first=True)
        # Not before: who reads where it listens must not read below that it does not.
        for line in listening_lines(config, self._sockets.addresses(config)):
            self._say(line)

    async def _serve(self) -> None:
        while not self._stop.is_set():
            waiting = {asyncio.create_task(event.wait()) for event in (self._reload, self._stop)}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                await self._unless_stopped(self._take_over())

    async def _take_over(self) -> None:
        """A new generation from the file as it is now; on any failure the old one serves on."""
        systemd.notify_reloading()
        old = self._generation
        assert old is not None
        try:
            config = load(self._path)
            _check_unchanged(old.config, config)
            account = account_of_workers(config.server.user)
            launch = self._launch(config, account)
            await _check(launch, self._new_instance())
            self._sockets.open(config, account)
            new = self._new_generation(config, launch)
            await self._start_or_forget(new, old)
        except StellwerkError as error:
            log.error("reload: the new configuration is not taken, the old one serves on")
            for line in str(error).splitlines():
                log.error("reload: %s", line)
            self._reloads_failed += 1
            self._publish_again(old.config)
        else:
            self._generation = new
            start_logging(config.log.level, config.log.format)
            log.info("reload: generation %d took over", new.number)
            task = asyncio.create_task(self._retire(old))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
            self._sockets.retain(config)
            self._publish_again(config)
        systemd.notify("READY=1")

    def _publish(self, config: Config) -> None:
        counts = {"started": self._started, "generation": self._generation.number if self._generation else 1}
        deaths = {f"{role}_restarts": count for role, count in self._deaths.items()}
        more = {**counts, **deaths, "reloads_failed": self._reloads_failed}
        self._held_state.publish(self._sockets.addresses(config), more)

    def _publish_again(self, config: Config) -> None:
        """The gateway serves already, and goes on when this fails."""
        try:
            self._publish(config)
        except StellwerkError as error:
            log.warning("%s; `stellwerk send`, `doctor` and the metrics do not see what has changed", error)

    def _count_death(self, role: WorkerRole) -> None:
        self._deaths[role] += 1
        if self._generation is not None:
            self._publish_again(self._generation.config)

    async def _start_or_forget(self, new: Generation, old: Generation) -> None:
        try:
            await new.start()
        except BaseException:
            self._generations.discard(new)
            self._sockets.retain(old.config)
            raise

    async def _retire(self, old: Generation) -> None:
        await old.stop(old.config.server.drain_seconds + STOP_GRACE_SECONDS)
        self._generations.discard(old)
        log.info("generation %d has gone", old.number)

    async def _shut_down(self) -> None:
        """Drain everything that runs; at once when asked twice."""
        systemd.notify("STOPPING=1")
        # At once, so that who comes now is refused and goes elsewhere instead of waiting for nobody.
        self._sockets.close()
        stopping = [
            asyncio.create_task(g.stop(g.config.server.drain_seconds + STOP_GRACE_SECONDS)) for g in self._generations
        ]
        gone = asyncio.gather(*stopping, *self._draining)
        hurry = asyncio.create_task(self._hurry.wait())
        waiting: list[asyncio.Future[Any]] = [gone, hurry]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not gone.done():
            log.warning("asked to stop a second time: not waiting for running transactions")
            await asyncio.gather(*(generation.kill("stopped at once") for generation in self._generations))
        await gone
        if self._state:
            self._state.release()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work`; give it up when the gateway is told to stop. Whether it was done. Raises what it raises."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            return False
        await task
        return True

    def _new_generation(self, config: Config, launch: Launch) -> Generation:
        number = next(self._numbers)
        generation = Generation(number, config, launch, self._sockets, self._new_instance, self._count_death)
        self._generations.add(generation)
        return generation

    def _new_instance(self) -> str:
        return f"{self._held_state.node}-{self._held_state.boot}-{next(self._instances)}"

    def _launch(self, config: Config, account: Account | None) -> Launch:
        assert config.source is not None
        state = self._held_state
        return Launch(
            self._worker_module,
            config.source.name,
            config.source.text,
            state.node,
            state.boot,
            account,
            state.lock_fd,
            config.server.watchdog_seconds,
            config.server.start_seconds,
            read_certificates(config),
        )

    @property
    def _held_state(self) -> StateDirectory:
        assert self._state is not None
        return self._state

    def _on_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        else:
            log.info("asked to stop: running transactions may finish")
        self._stop.set()


async def _check(launch: Launch, instance: str) -> None:
    """Let an unprivileged child load configuration and plugins. Raises `ConfigError` or `StartupError`."""
    child = Child(launch, instance, "check")
    await child.spawn()
    try:
        status = await asyncio.shield(child.ended)
    except asyncio.CancelledError:
        child.kill("stopped")
        await child.ended
        raise
    if status == ConfigError.exit_status:
        raise ConfigError(child.last_words().splitlines())
    if child.failure:
        raise StartupError(child.failure.text)
    if status:
        raise StartupError(f"the check of the configuration failed: {child.last_words()}; see its own lines above")


def _account(config: Config) -> Account | None:
    account = account_of_workers(config.server.user)
    if os.geteuid() == 0 and account is None:
        log.warning("workers run as root: set server.user, unless this is a container of its own")
    elif config.server.user and os.geteuid() != 0:
        log.warning('server.user = "%s" is not used: not started as root', config.server.user)
    return account


def _check_unchanged(old: Config, new: Config) -> None:
    if new.server.state_dir != old.server.state_dir:
        raise ConfigError(
            [f"server.state_dir has become {new.server.state_dir}: that needs a restart, not a reload"],
        )


def _allow_many_descriptors() -> None:
    """Each connection takes one; the soft limit of a shell is far below what the kernel would give us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
