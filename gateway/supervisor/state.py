"""The state directory: who may use it, the node's id, the gateway's secret, what is running. Mail lives elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.config.models import Config
from gateway.errors import StartupError
from gateway.supervisor.account import Account
from gateway.supervisor.description import STOP_GRACE_SECONDS

log = logging.getLogger("stellwerk.supervisor")

RUNNING_FILE = "running.json"
_SECRET_BYTES = 32
_LOCK_POLL_SECONDS = 0.1


class StateDirectory:
    """The state directory of one gateway, held by two exclusive locks.

    `lock` belongs to the supervisor. `workers.lock` belongs to every process that inherited `lock_fd`: while a worker
    of a supervisor that was killed still finishes its mail, no second gateway may take its leases for dead.
    """

    def __init__(self, directory: Path, own_fd: int, lock_fd: int, node: str) -> None:
        self.directory = directory
        self.lock_fd = lock_fd
        self.node = node
        self.boot = secrets.token_hex(4)
        self._own_fd = own_fd

    @classmethod
    async def acquire(cls, config: Config, account: Account | None) -> StateDirectory:
        """Create what is missing and take the locks. Raises `StartupError`."""
        directory = config.server.state_dir
        held: list[int] = []
        try:
            for path in (directory, config.spool):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                if account:
                    # An admin may well have made the state directory itself a link.
                    account.own(path.resolve() if path == directory else path)
            held.append(_open_lock(directory / "lock"))
            _take(held[0], directory)
            held.append(_open_lock(directory / "workers.lock"))
            await _wait_for_workers(held[1], directory, config.server.drain_seconds)
            _ensure_secret(config.secret_path, account)
            return cls(directory, held[0], held[1], _node(directory / "node"))
        except (FileExistsError, NotADirectoryError) as error:
            _close(held)
            raise StartupError(
                f"{error.filename or directory} is there and no directory; move it away, "
                "or set another server.state_dir"
            ) from None
        except OSError as error:
            _close(held)
            raise StartupError(
                f"{error.filename or directory}: {error.strerror}; server.state_dir must be writable for "
                f"user {account.name if account else os.geteuid()}"
            ) from None
        except BaseException:
            _close(held)
            raise

    def publish(self, listeners: dict[str, str], counts: dict[str, float] | None = None) -> None:
        """Write down who runs and where it listens (`running.json`), for `stellwerk send`, `doctor` and the desk.

        `counts`: what the supervisor counted, for metrics. Raises `StartupError` when the directory takes no file.
        """
        path = self.directory / RUNNING_FILE
        fresh = path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            with fresh.open("x") as file:
                # The directory is private; in it, whoever workers run as may read who runs.
                os.fchmod(file.fileno(), 0o644)
                who = {"process": os.getpid(), "boot": self.boot, "listeners": listeners}
                json.dump({**who, **(counts or {})}, file)
            fresh.replace(path)
        except OSError as error:
            raise StartupError(
                f"{path}: {error.strerror}; server.state_dir needs free space and must be writable"
            ) from None

    def release(self) -> None:
        """Give the directory up. Workers that still run keep the lock."""
        with contextlib.suppress(OSError):  # a stale file names a process that is gone, and is seen through
            (self.directory / RUNNING_FILE).unlink(missing_ok=True)
        _close([self._own_fd, self.lock_fd])


def running(state_dir: Path) -> dict[str, Any] | None:
    """What `publish` wrote, when that supervisor is still alive."""
    try:
        found: dict[str, Any] = json.loads((state_dir / RUNNING_FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if _is_alive(int(found["process"])) else None


@contextlib.contextmanager
def unless_running(directory: Path) -> Iterator[bool]:
    """Whether no gateway uses this state directory; if so, none can start before the end of the block."""
    held: list[int] = []
    try:
        for path in (directory / "lock", directory / "workers.lock"):
            with contextlib.suppress(FileNotFoundError):  # no gateway was ever started here
                held.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        yield all(_locked(fd) for fd in held)
    except PermissionError as error:
        raise StartupError(
            f"{error.filename}: {error.strerror}; run this as root or as the user of the gateway's workers"
        ) from None
    finally:
        _close(held)


def secret_problem(path: Path) -> str | None:
    """What is wrong with an existing secret file, and what to do; None when it is right. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}"
    if len(path.read_bytes().strip()) < _SECRET_BYTES:
        return f"{path} is too short to be a secret; remove it, and a new one is made at the next start"
    return None


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(fd: int, directory: Path) -> None:
    if not _locked(fd):
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        raise StartupError(
            f"the state directory {directory} is in use by a running gateway (process {holder}); "
            "stop that one, or set another server.state_dir"
        )
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


async def _wait_for_workers(fd: int, directory: Path, drain_seconds: float) -> None:
    """Wait until no worker of a supervisor that was killed is left. They drain, so it takes no longer than that."""
    waiting_until = time.monotonic() + drain_seconds + 2 * STOP_GRACE_SECONDS
    told = False
    while not _locked(fd):
        if not told:
            log.warning("waiting for workers of an earlier start, which finish what they have")
            told = True
        if time.monotonic() > waiting_until:
            raise StartupError(
                f"workers of an earlier start do not end, and still use {directory}; "
                f"find them with: fuser {directory / 'workers.lock'}"
            )
        await asyncio.sleep(_LOCK_POLL_SECONDS)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _node(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        node = secrets.token_hex(4)
        _create(path, f"{node}\n".encode())
        return node


def _ensure_secret(path: Path, account: Account | None) -> None:
    if not path.exists():
        _create(path, secrets.token_hex(_SECRET_BYTES).encode() + b"\n")
    if account:
        account.own(path)
    if problem := secret_problem(path):
        raise StartupError(problem)


def _create(path: Path, content: bytes) -> None:
    """Write a file that is complete as soon as it has its name."""
    fresh = path.with_name(f"{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.rename(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        os.close(fd)
