"""Waiting for what another process does: poll with a generous bound, never sleep for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.05


@overload
async def until(
    condition: Callable[[], Coroutine[Any, Any, T]], what: str, patience_seconds: float = PATIENCE_SECONDS
) -> T: ...
@overload
async def until(condition: Callable[[], T], what: str, patience_seconds: float = PATIENCE_SECONDS) -> T: ...
async def until(condition: Callable[[], Any], what: str, patience_seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll `condition` until it returns something true, and return that. AssertionError naming `what` if it never does.

    The bound only ends a test that hangs; it says nothing about how fast anything has to be.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience_seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if loop.time() > give_up_at:
            raise AssertionError(f"waited {patience_seconds:.0f} s in vain until {what}; last: {found!r}")
        await asyncio.sleep(_PAUSE_SECONDS)
