"""An event loop in a thread of its own, so that tests are plain functions and need no plugin for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 60.0


class LoopThread:
    """Use it as a context manager. Servers live in its loop; the test calls from outside."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="gateway under test", daemon=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result or exception. `TimeoutError` after a minute: a test must not hang for ever."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(PATIENCE_SECONDS)
        except TimeoutError:
            future.cancel()
            raise

    def call(self, function: Callable[[], object]) -> None:
        """Call `function` in the loop soon: for setting an asyncio.Event, for example."""
        self._loop.call_soon_threadsafe(function)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
