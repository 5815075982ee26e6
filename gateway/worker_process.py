"""The worker's side of the contract with its supervisor: start, heartbeat, watchdog, stop. It serves nothing itself."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from typing import NoReturn, Protocol

from gateway.config.models import Config
from gateway.config.reading import read
from gateway.errors import StellwerkError
from gateway.logs import start_logging
from gateway.supervisor.description import (
    ALIVE,
    HEARTBEAT_SECONDS,
    READY,
    STOP_GRACE_SECONDS,
    Failure,
    WorkerDescription,
)

log = logging.getLogger("stellwerk.worker")

WATCHDOG_EXIT_STATUS = 70  # EX_SOFTWARE of sysexits(3)
_MAX_FAILURE_CHARACTERS = 8192
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


class Work(Protocol):
    """What a worker does between start and stop."""

    async def start(self) -> None:
        """Returns when it serves. Raises `StellwerkError` when it cannot."""

    async def stop(self, drain_seconds: float) -> None:
        """Take nothing new, finish what runs within `drain_seconds`, commit, close."""


MakeWork = Callable[[WorkerDescription, Config], Work]
RunningNow = Callable[[], str | None]


def run_worker(make_work: MakeWork, running_now: RunningNow = lambda: None) -> NoReturn:
    """Read the description from standard input, do the work until the supervisor says stop or is gone, and exit.

    `running_now` names the plugin and hook that runs at this moment, for the watchdog's last line.
    """
    description = WorkerDescription.from_json(sys.stdin.read())
    if description.no_new_privileges:
        _give_up_privileges()
    status = 1
    try:
        status = _run(description, make_work, running_now)
    except Exception:
        log.critical("this worker failed", exc_info=True)
    logging.shutdown()
    # Stuck threads of a plugin must not keep a process that has committed everything: so nothing is joined.
    os._exit(status)


def _run(description: WorkerDescription, make_work: MakeWork, running_now: RunningNow) -> int:
    with socket.socket(fileno=description.control) as control:
        try:
            config = read(description.text, description.source)
            start_logging(config.log.level)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(_serve(description, config, control, make_work, running_now))
        except StellwerkError as error:
            failure = Failure(error.exit_status, str(error)[:_MAX_FAILURE_CHARACTERS])
            control.setblocking(True)
            control.sendall(failure.to_line())
            return error.exit_status


async def _serve(
    description: WorkerDescription,
    config: Config,
    control: socket.socket,
    make_work: MakeWork,
    running_now: RunningNow,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    watchdog = Watchdog(config.server.watchdog_seconds, running_now)
    reader, writer = await asyncio.open_connection(sock=control.dup())
    beating = asyncio.create_task(_beat(writer, watchdog))
    listening = asyncio.create_task(_until_supervisor_is_gone(reader, stop, config.server.drain_seconds))
    try:
        work = make_work(description, config)
        await work.start()
        if description.role == "check":
            return 0
        _settle_memory()
        watchdog.start()
        writer.write(READY)
        await stop.wait()
        await work.stop(config.server.drain_seconds)
    finally:
        beating.cancel()
        listening.cancel()
        writer.close()
    return 0


def _settle_memory() -> None:
    """What was loaded until now stays: the collector need not look at it again, nor at each few hundred new objects.

    Measured: collections took 5 % of the CPU of a relayed message.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _beat(writer: asyncio.StreamWriter, watchdog: Watchdog) -> None:
    while True:
        watchdog.beats += 1
        writer.write(ALIVE)
        await asyncio.sleep(HEARTBEAT_SECONDS)


async def _until_supervisor_is_gone(reader: asyncio.StreamReader, stop: asyncio.Event, drain_seconds: float) -> None:
    while await reader.read(4096):
        pass
    log.error("the supervisor is gone; finishing what runs, then ending")
    stop.set()
    # Nobody is left to end us if the drain hangs.
    asyncio.get_running_loop().call_later(drain_seconds + STOP_GRACE_SECONDS, os._exit, WATCHDOG_EXIT_STATUS)


class Watchdog(threading.Thread):
    """Ends the process when the event loop has not beaten for `seconds`, and says what it hangs in.

    It counts its own turns, so that a stop of the whole machine is no standstill of the loop. What holds the
    interpreter lock holds this thread too; then the supervisor ends the process.
    """

    def __init__(self, seconds: float, running_now: RunningNow, turn_seconds: float = 1.0) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.beats = 0
        self._limit = seconds
        self._turn_seconds = turn_seconds
        self._running_now = running_now
        self._watched = threading.get_ident()

    def run(self) -> None:
        seen, still_seconds = self.beats, 0.0
        while still_seconds < self._limit + HEARTBEAT_SECONDS:
            time.sleep(self._turn_seconds)
            still_seconds = still_seconds + self._turn_seconds if self.beats == seen else 0.0
            seen = self.beats
        self.end()

    def end(self) -> NoReturn:
        """Say what hangs, and end the process."""
        frame = sys._current_frames().get(self._watched)
        stack = traceback.extract_stack(frame)[-8:] if frame else []
        where = " <- ".join(f"{line.name} ({line.filename}:{line.lineno})" for line in reversed(stack))
        log.critical(
            "the event loop stood still for %g seconds in %s; ending this process: %s",
            self._limit,
            self._running_now() or "the core",
            where,
        )
        os._exit(WATCHDOG_EXIT_STATUS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where the extra `speed` is installed."""
    if find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop


def _give_up_privileges() -> None:
    """No program that this process may ever start gains rights by being setuid (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        log.warning("no_new_privs could not be set: %s", os.strerror(ctypes.get_errno()))
