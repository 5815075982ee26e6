"""What was looked up in the directory, remembered until the directory changes: a change is seen within a second.

Every change adds one to a counter (change.py). It is read four times a second; what was remembered under an older
number is looked up again. The number is taken before the look-up, and kept for "there is none", too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Executable, select
from sqlalchemy.exc import DBAPIError

from gateway.directory.change import CHANGES
from gateway.directory.tables import directory_version
from gateway.errors import StoreUnavailable

log = logging.getLogger("stellwerk.directory")

POLL_SECONDS = 0.25
STALE_SECONDS = 1.0
MOST_ENTRIES = 50_000

ValueT = TypeVar("ValueT")


class Reads(Protocol):
    """The reading half of the store."""

    async def read(self, query: Executable, params: Mapping[str, Any] | None = None) -> list[Any]: ...


_NUMBER = select(directory_version.c.number).where(directory_version.c.kind == CHANGES)


class Version:
    """The counter of changes as this process knows it. `watch` keeps it up to date."""

    def __init__(self, store: Reads, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.number = -1
        self._store = store
        self._monotonic = monotonic
        self._seen_at = float("-inf")
        self._changed: list[Callable[[], Awaitable[None]]] = []

    def on_change(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Awaited with every new number, before caches trust it, and at the first look."""
        self._changed.append(changed)

    @property
    def is_fresh(self) -> bool:
        """Whether the counter was read within the last second: what must not be out of date asks this first."""
        return self._monotonic() - self._seen_at <= STALE_SECONDS

    async def look(self) -> None:
        """Read the counter now. Raises `StoreUnavailable`, and what is raised on a change: then the number stays."""
        asked_at = self._monotonic()
        rows: list[Any] = await self._store.read(_NUMBER)
        number = int(rows[0].number) if rows else 0
        if number != self.number:
            for changed in self._changed:
                await changed()
            self.number = number
        self._seen_at = asked_at

    async def must_be_fresh(self) -> None:
        """Look if it is not. Raises `StoreUnavailable` when what is remembered could be out of date."""
        try:
            if not self.is_fresh:
                await self.look()
        except DBAPIError as error:
            raise StoreUnavailable(f"the directory cannot be read: {str(error.orig).partition(chr(10))[0]}") from error
        if not self.is_fresh:
            raise StoreUnavailable("the directory answers too slowly to know whether it has changed")

    async def watch(self) -> None:
        """Until cancelled. A store that is down is met with patience: meanwhile the number is not fresh."""
        was_down = False
        while True:
            try:
                await self.look()
                was_down = False
            except (StoreUnavailable, DBAPIError) as error:
                if not was_down:
                    log.warning("changes of the directory cannot be seen, trying again: %s", error)
                was_down = True
            await asyncio.sleep(POLL_SECONDS)


class VersionedCache(Generic[ValueT]):
    """The last `size` answers by key, each valid for one number of the version. For one event loop."""

    def __init__(self, version: Version, size: int = MOST_ENTRIES) -> None:
        self._version = version
        self._size = size
        self._entries: OrderedDict[str, tuple[int, ValueT]] = OrderedDict()
        self.misses = 0

    async def get(self, key: str, load: Callable[[str], Awaitable[ValueT]]) -> ValueT:
        """The answer for `key`; `load(key)` brings one that is missing or out of date, and raises what it raises."""
        number = self._version.number
        entry = self._entries.get(key)
        if entry is not None and entry[0] == number:
            self._entries.move_to_end(key)
            return entry[1]
        self.misses += 1
        value = await load(key)
        self._entries[key] = (number, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return value
