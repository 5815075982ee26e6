"""Watches the event loop from a thread: an alarm when it stands still, the end of the process when it stays so."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

log = logging.getLogger("stellwerk.worker")

EXIT_STATUS = 70  # EX_SOFTWARE of sysexits(3)
BEAT_SECONDS = 0.25
"""How often the loop has to raise `Watchdog.beats`."""
ALARM_SECONDS = 1.0
_GRACE_SECONDS = 1.0
_SHOWN_FRAMES = 8

RunningIn = Callable[[FrameType], str | None]
"""Names the plugin and hook that the code in this frame runs for; None for the core's own."""


class Watchdog(threading.Thread):
    """Warns after a second without a beat, and ends the process after `seconds`; both say what the loop hangs in.

    It counts its own turns, so that a stop of the whole machine is no standstill of the loop. What holds the
    interpreter lock holds this thread too; then the supervisor ends the process.
    """

    def __init__(self, seconds: float, running_in: RunningIn) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.beats = 0
        self.alarms = 0
        self._limit = seconds
        self._running_in = running_in
        self._watched = threading.get_ident()

    def run(self) -> None:
        seen, still_seconds = self.beats, 0.0
        warned = False
        while still_seconds < self._limit + _GRACE_SECONDS:
            time.sleep(BEAT_SECONDS)
            if self.beats != seen:
                if warned:
                    log.warning("the event loop goes on; it stood still for about %g s", still_seconds)
                seen, still_seconds, warned = self.beats, 0.0, False
                continue
            still_seconds += BEAT_SECONDS
            if still_seconds >= ALARM_SECONDS and not warned:
                warned = True
                self._alarm(still_seconds)
        self._end()

    def _alarm(self, seconds: float) -> None:
        """All other mail of this process waits meanwhile: an author has to know the line, an admin the plugin."""
        self.alarms += 1
        log.warning("the event loop has stood still for %g s in %s: all mail of this process waits; %s", seconds,
                    *self._what_runs())  # fmt: skip

    def _end(self) -> NoReturn:
        log.critical("the event loop stood still for %g seconds in %s; ending this process: %s", self._limit,
                     *self._what_runs())  # fmt: skip
        logging.shutdown()
        os._exit(EXIT_STATUS)

    def _what_runs(self) -> tuple[str, str]:
        """Whose code it is, and the innermost calls with file and line."""
        frame = sys._current_frames().get(self._watched)
        if frame is None:
            return "the core", "(the loop's thread is gone)"
        stack = traceback.extract_stack(frame)[-_SHOWN_FRAMES:]
        where = " <- ".join(f"{line.name} ({line.filename}:{line.lineno})" for line in reversed(stack))
        return self._running_in(frame) or "the core", where
