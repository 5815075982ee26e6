"""The thread that writes log lines to a descriptor: whoever logs never waits for a full pipe. It knows no format."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

MAX_WAITING_BYTES = 4 * 1024 * 1024
GATHER_SECONDS = 0.02
FLUSH_SECONDS = 2.0
_PIPE_BUF = 4096
"""Lines of several processes share a pipe; up to so many octets a write is not torn apart (pipe(7))."""


class LineWriter:
    """Writes what is put, in order. Beyond `max_bytes` waiting, new lines are dropped and counted.

    An idle writer takes a line at once; a busy one looks again after `GATHER_SECONDS`, since waking a thread for each
    line would cost more than the line. `tell_dropped(count)` is called, on the writer's thread, when lines get through
    again after some were dropped.
    """

    def __init__(
        self, fd: int, tell_dropped: Callable[[int], None] = lambda count: None, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self._fd = fd
        self._tell_dropped = tell_dropped
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # guards all that follows
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._is_busy = False
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._told = 0
        self.dropped = 0

    def put(self, line: bytes) -> None:
        """Queue one line with its line end. Never blocks."""
        with self._lock:
            if self._bytes + len(line) > self._max_bytes:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._is_busy:
                return
            self._is_busy = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is written, not for ever. Whether it is."""
        ends = time.monotonic() + seconds
        while self._bytes and threading.current_thread() is not self._thread:
            if time.monotonic() > ends:
                return False
            time.sleep(0.001)
        return True

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while lines := self._take():
                self._write_all(lines)
                time.sleep(GATHER_SECONDS)

    def _take(self) -> list[bytes]:
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
            self._is_busy = bool(lines)
            return lines

    def _write_all(self, lines: list[bytes]) -> None:
        block: list[bytes] = []
        size = 0
        for line in lines:
            if block and size + len(line) > _PIPE_BUF:
                self._write(block)
                block, size = [], 0
            block.append(line)
            size += len(line)
        self._write(block)
        dropped = self.dropped - self._told
        if dropped:
            self._told = self.dropped
            self._tell_dropped(dropped)

    def _write(self, block: list[bytes]) -> None:
        rest = memoryview(b"".join(block))
        taken = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # whoever gave us the descriptor made it so
                select.select([], [self._fd], [], 1.0)
            except OSError:  # closed, or a full disk: there is nobody left to tell
                with self._lock:
                    self.dropped += len(block)
                break
        with self._lock:
            self._bytes -= taken
