"""One scene of the demo: what it is called, what it shows, and the steps that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.cli.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Scene:
    """`shows` is a line or two for the person who looks on; `play` runs commands on the stage and claims things."""

    title: str
    shows: str
    play: Callable[[Stage], None]
