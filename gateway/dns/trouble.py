"""Whether the resolver itself is in trouble: the share of failed look-ups lately. It knows no names."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 300.0
MAX_SAMPLES = 2000
MIN_ERRORS = 5  # one sender with a broken zone is that sender's trouble
ERROR_SHARE = 0.05

_log = logging.getLogger(__name__)


class TroubleMeter:
    """True `in_trouble` while more than 5 %, and at least 5, of the look-ups of the last 5 minutes failed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, bool]] = deque()
        self._errors = 0
        self._was_in_trouble = False

    def add(self, *, failed: bool) -> None:
        self._samples.append((self._clock(), failed))
        self._errors += failed
        if len(self._samples) > MAX_SAMPLES:
            self._drop()
        in_trouble = self.in_trouble
        if in_trouble != self._was_in_trouble:
            self._was_in_trouble = in_trouble
            counts = (self._errors, len(self._samples), int(WINDOW_SECONDS))
            if in_trouble:
                _log.warning("DNS: %d of %d look-ups failed in the last %d s; nothing is rejected for DNS now", *counts)
            else:
                _log.info("DNS works again: %d of %d look-ups failed in the last %d s", *counts)

    @property
    def in_trouble(self) -> bool:
        before = self._clock() - WINDOW_SECONDS
        while self._samples and self._samples[0][0] < before:
            self._drop()
        return self._errors >= MIN_ERRORS and self._errors > ERROR_SHARE * len(self._samples)

    def _drop(self) -> None:
        self._errors -= self._samples.popleft()[1]
