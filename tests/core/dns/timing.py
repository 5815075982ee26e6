"""How tests of the DNS deal with time: a clock that stands still, and time-outs that no slow machine reaches."""

from __future__ import annotations

from typing import TypedDict


class FakeClock:
    """Monotonic seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Timing(TypedDict):
    try_seconds: float
    lookup_seconds: float


PATIENT: Timing = {"try_seconds": 20.0, "lookup_seconds": 50.0}
"""For tests in which nothing may be asked twice only because the machine was busy."""
