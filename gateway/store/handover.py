"""How the store's threads hand results to the event loops that wait for them. No SQL, no queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

log = logging.getLogger("stellwerk.store")

CLOSE_SECONDS = 30.0
"""How long close() waits for a thread that the database keeps."""

Answer = tuple[asyncio.Future[Any], Any]
"""A future, and what it shall hold: a result, or an exception to raise."""


def hand_over(answers: Iterable[Answer]) -> None:
    """Settle futures from another thread: one call into each event loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].get_loop(), []).append(answer)
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, settled)
        except RuntimeError:
            log.debug("an event loop was closed before the store answered it")


def _settle(answers: list[Answer]) -> None:
    for future, outcome in answers:
        if future.done():  # its caller was cancelled
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
