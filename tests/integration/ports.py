"""Ports for servers whose configuration must name them before they start. Nothing here listens on one."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# Below the ports that kernels give to clients (Linux: from 32768, some sandboxes: from 16000).
_FIRST, _LAST = 11_000, 16_000


@contextmanager
def reserved_ports() -> Iterator[PortReservation]:
    """A reservation for as long as a block lasts."""
    reservation = PortReservation()
    try:
        yield reservation
    finally:
        reservation.release()


class PortReservation:
    """Loopback ports that no other test process takes until `release`, while their servers may stop and start again."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.gettempdir()) / f"stellwerk-test-ports-{os.getuid()}"
        self._directory.mkdir(exist_ok=True)
        self._locks: list[IO[bytes]] = []

    def take(self) -> int:
        """A free port. Raises RuntimeError when none is left."""
        span = _LAST - _FIRST
        start = os.getpid() * 37 % span
        for offset in range(span):
            port = _FIRST + (start + offset) % span
            if self._lock(port):
                return port
        raise RuntimeError(f"no free port from {_FIRST} to {_LAST}")

    def release(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks.clear()

    def _lock(self, port: int) -> bool:
        lock = (self._directory / str(port)).open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            return False
        self._locks.append(lock)
        return True
