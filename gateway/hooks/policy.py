"""What a plugin's failure does: its policy, and the breaker that stops asking a plugin which fails every time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

OnError = Literal["tempfail", "skip"]
Mode = Literal["live", "shadow"]

FAILURES_TO_OPEN = 5
COOL_DOWN_SECONDS = 30.0


@dataclass(slots=True)
class Breaker:
    """Opens after N failures in a row; after the cool-down one probe is let through, whose success closes it."""

    clock: Callable[[], float] = time.monotonic
    failures_to_open: int = FAILURES_TO_OPEN
    cool_down_seconds: float = COOL_DOWN_SECONDS
    failures: int = 0
    opened_at: float = 0.0
    probing: bool = False

    @property
    def is_open(self) -> bool:
        return self.failures >= self.failures_to_open

    def allows(self) -> bool:
        """Whether the plugin may be called now."""
        if not self.is_open:
            return True
        if self.probing or self.clock() - self.opened_at < self.cool_down_seconds:
            return False
        self.probing = True
        return True

    def succeeded(self) -> None:
        self.failures = 0
        self.probing = False

    def broken_off(self) -> None:
        """A call was cancelled from outside and tells nothing; if it was the probe, the next call is one."""
        self.probing = False

    def failed(self) -> bool:
        """Count a failure. True when it is the one that opens the breaker."""
        self.failures += 1
        self.probing = False
        if self.is_open:
            self.opened_at = self.clock()
        return self.failures == self.failures_to_open


@dataclass(slots=True)
class Policy:
    """How the host treats one plugin: the plugin's defaults under the configuration's overrides."""

    on_error: OnError = "tempfail"
    timeout_seconds: float = 10.0
    mode: Mode = "live"
    breaker: Breaker = field(default_factory=Breaker)
