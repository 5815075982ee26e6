"""One worker process: its start, what it says on its control socket, its end. Nothing here decides on a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.certificates import Certificate
from gateway.errors import StartupError
from gateway.supervisor.account import Account
from gateway.supervisor.description import (
    FAILED,
    HEARTBEAT_SECONDS,
    READY,
    Failure,
    PassedSocket,
    WorkerDescription,
    WorkerRole,
)

log = logging.getLogger("stellwerk.supervisor")

WATCHDOG_GRACE_SECONDS = 5.0
"""A worker's own watchdog knows which plugin hangs; it gets this much longer to say so before it is killed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What all workers of one generation have in common."""

    module: str
    source: str
    text: str
    node: str
    boot: str
    account: Account | None
    lock_fd: int
    watchdog_seconds: float
    start_seconds: float
    certificates: tuple[Certificate, ...] = ()


class Child:
    """A running worker process. `started` ends when it is ready or never will be; `ended` when it is gone."""

    def __init__(self, launch: Launch, instance: str, role: WorkerRole) -> None:
        self.launch = launch
        self.instance = instance
        self.role = role
        self.is_ready = False
        self.failure: Failure | None = None
        self.reason = ""
        """Why we ended it, when we did."""
        self.process: asyncio.subprocess.Process
        self.started: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Task[int]

    async def spawn(
        self,
        sockets: Sequence[tuple[str, socket.socket]] = (),
        dead_instances: tuple[str, ...] = (),
        *,
        first_start: bool = False,
    ) -> None:
        """Start the process. Raises `StartupError` when the interpreter cannot be run at all."""
        ours, theirs = socket.socketpair()
        with theirs:
            description = WorkerDescription(
                role=self.role,
                source=self.launch.source,
                text=self.launch.text,
                control=theirs.fileno(),
                node=self.launch.node,
                boot=self.launch.boot,
                instance=self.instance,
                dead_instances=dead_instances,
                first_start=first_start,
                sockets=tuple(PassedSocket(name, one.fileno()) for name, one in sockets),
                # The desk and plugins' background work have no use for keys.
                certificates=() if self.role == "desk" else self.launch.certificates,
                no_new_privileges=self.launch.account is not None,
            )
            try:
                self.process = await self._run(description)
            except BaseException as error:
                ours.close()
                if isinstance(error, OSError):
                    raise StartupError(self._cannot_run(error)) from None
                raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            self.process.kill()
            raise
        self.ended = asyncio.create_task(self._watch(reader, writer))

    def terminate(self) -> None:
        """Ask it to finish its mail and go."""
        self._signal(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        """End it at once."""
        if self.process.returncode is None:
            self.reason = self.reason or reason
            self._signal(signal.SIGKILL)

    def last_words(self) -> str:
        """Why it ended, in words for the log and for a person."""
        if self.failure:
            return self.failure.text
        status = self.process.returncode
        if self.reason:
            return self.reason
        if status is not None and status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exit status {status}"

    async def _run(self, description: WorkerDescription) -> asyncio.subprocess.Process:
        account = self.launch.account
        # A file in memory, because a pipe holds no more than 64 KiB before somebody reads it.
        text = os.memfd_create("stellwerk-worker")
        try:
            os.write(text, description.to_json().encode())
            os.lseek(text, 0, os.SEEK_SET)
            descriptors = {description.control, self.launch.lock_fd, *(one.fd for one in description.sockets)}
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self.launch.module,
                stdin=text,
                pass_fds=tuple(descriptors),
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=account.groups if account else None,
                umask=0o077,
                # Ctrl-C in a terminal reaches every process of the session; workers are told by their supervisor.
                start_new_session=True,
                env=_environment(account),
            )
        finally:
            os.close(text)

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        """Listen until the end of the process; kill it when it falls silent. Its exit status."""
        try:
            await self._listen(reader)
            try:
                async with asyncio.timeout(WATCHDOG_GRACE_SECONDS):
                    return await self.process.wait()
            except TimeoutError:
                self.kill("did not end after its last word and was killed")
                return await self.process.wait()
        finally:
            writer.close()
            if not self.started.done():
                self.started.set_result(False)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Read what it says until the end of the stream."""
        # Silence is counted in turns of about a second, not read from a clock: after a stop of the whole machine, or of
        # the supervisor alone, the workers' heartbeats are still waiting to be read.
        turns = 0
        while True:
            line = None
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    line = await reader.readline()
            if line == b"":
                return
            if line == READY:
                self.is_ready = True
                self.started.set_result(True)
            elif line and line.startswith(FAILED):
                self.failure = Failure.from_line(line)
            turns = 0 if line and self.is_ready else turns + 1
            self._kill_after(turns)

    def _kill_after(self, silent_seconds: int) -> None:
        limit = self.launch.watchdog_seconds + WATCHDOG_GRACE_SECONDS if self.is_ready else self.launch.start_seconds
        if silent_seconds > limit:
            what = "stood still" if self.is_ready else "was not ready"
            self.kill(f"{what} for {limit:g} seconds and was killed")

    def _cannot_run(self, error: OSError) -> str:
        who = f"user {self.launch.account.name}" if self.launch.account else f"user {os.geteuid()}"
        return (
            f"{who} cannot run {sys.executable} ({error.strerror}); "
            "install Stellwerk where the user named by server.user may read it"
        )

    def _signal(self, number: signal.Signals) -> None:
        try:
            self.process.send_signal(number)
        except ProcessLookupError:
            log.debug("process %d was gone before %s", self.process.pid, number.name)


def _environment(account: Account | None) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    if account:
        environment |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name}
    return environment
