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
from gateway.worker.watchdog import BEAT_SECONDS, EXIT_STATUS, RunningIn, Watchdog

log = logging.getLogger("stellwerk.worker")

_MAX_FAILURE_CHARACTERS = 8192
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


class Work(Protocol):
    """What a worker does between start and stop."""

    async def start(self) -> None:
        """Returns when it serves. Raises `StellwerkError` when it cannot."""

    async def stop(self, drain_seconds: float) -> None:
        """Take nothing new, finish what runs within `drain_seconds`, commit, close."""


MakeWork = Callable[[WorkerDescription, Config], Work]


def run_worker(make_work: MakeWork, running_in: RunningIn = lambda frame: None) -> NoReturn:
    """Read the description from standard input, do the work until the supervisor says stop or is gone, and exit.

    `running_in` names the plugin and hook that a frame runs for, for the watchdog's words.
    """
    description = WorkerDescription.from_json(sys.stdin.read())
    _forget_standard_input()
    if description.no_new_privileges:
        _give_up_privileges()
    status = 1
    try:
        status = _run(description, make_work, running_in)
    except Exception:
        log.critical("this worker failed", exc_info=True)
    logging.shutdown()
    # Stuck threads of a plugin must not keep a process that has committed everything: so nothing is joined.
    os._exit(status)


def _forget_standard_input() -> None:
    """The description holds keys: no other process of this user shall find it under this one's open files."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _run(description: WorkerDescription, make_work: MakeWork, running_in: RunningIn) -> int:
    with socket.socket(fileno=description.control) as control:
        try:
            config = read(description.text, description.source)
            start_logging(config.log.level, config.log.format)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(_serve(description, config, control, make_work, running_in))
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
    running_in: RunningIn,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    watchdog = Watchdog(config.server.watchdog_seconds, running_in)
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
        writer.write(ALIVE)
        for _ in range(round(HEARTBEAT_SECONDS / BEAT_SECONDS)):
            watchdog.beats += 1
            await asyncio.sleep(BEAT_SECONDS)


async def _until_supervisor_is_gone(reader: asyncio.StreamReader, stop: asyncio.Event, drain_seconds: float) -> None:
    while await reader.read(4096):
        pass
    log.error("the supervisor is gone; finishing what runs, then ending")
    stop.set()
    # Nobody is left to end us if the drain hangs.
    asyncio.get_running_loop().call_later(drain_seconds + STOP_GRACE_SECONDS, os._exit, EXIT_STATUS)


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
