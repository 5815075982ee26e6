"""A clock that goes only when told to: what plugins see as `services.clock`."""

from __future__ import annotations

from dataclasses import dataclass

START = 1_800_000_000.0  # 15 January 2027, 08:00 UTC


@dataclass
class Clock:
    """`now` is POSIX seconds; calling the clock returns it."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass. Timeouts of the gateway itself do not follow: they count real seconds."""
        self.now += seconds
