"""The store as the rest of the gateway sees it: write, write_soon, read, close. No tables, no dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from sqlalchemy import Executable, Row

from gateway.errors import StellwerkError
from gateway.store.engine import (
    BUSY_TIMEOUT_SECONDS,
    open_engine,
    parse_url,
    touch,
    writer_lock,
)
from gateway.store.group import BatchFunction, Write
from gateway.store.reader import Reader
from gateway.store.rows import insert, listing, prepared
from gateway.store.writer import Counters, Writer

__all__ = ["BatchFunction", "Store", "StoreReadOnly", "Write", "insert", "listing", "prepared"]


class StoreReadOnly(StellwerkError):
    """Something tried to write where nothing may happen: `explain` and checks."""


class Store:
    """One writer and a few readers on one database, shared by every task of the process."""

    def __init__(self, writer: Writer, reader: Reader, *, read_only: bool = False) -> None:
        self._writer = writer
        self._reader = reader
        self.read_only = read_only

    @classmethod
    def open(
        cls,
        url: str,
        *,
        read_only: bool = False,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
        read_patience_seconds: float | None = None,
    ) -> Self:
        """Connects to nothing and starts no thread: the first use does. StartupError when `url` is wrong.

        `read_patience_seconds`: see Reader. Whoever lists and exports has all the time it takes.
        """
        parsed = parse_url(url)
        writer = Writer(open_engine(parsed, "write", busy_timeout_seconds=busy_timeout_seconds), writer_lock(parsed))
        reader = Reader(
            open_engine(parsed, "read", busy_timeout_seconds=busy_timeout_seconds),
            patience_seconds=read_patience_seconds,
        )
        return cls(writer, reader, read_only=read_only)

    @property
    def counters(self) -> Counters:
        """What the writer did, for metrics and doctor."""
        return self._writer.counters

    async def write(self, writes: Sequence[Write], *, deadline: float | None = None) -> list[Any]:
        """See Writer.write. StoreReadOnly under `explain`."""
        self._refuse_if_read_only()
        return await self._writer.write(writes, deadline=deadline)

    def write_soon(self, writes: Sequence[Write], *, on_error: Callable[[BaseException], None] | None = None) -> None:
        """See Writer.write_soon. StoreReadOnly under `explain`."""
        self._refuse_if_read_only()
        self._writer.write_soon(writes, on_error=on_error)

    async def prove(self, *, deadline: float | None = None) -> None:
        """Commit a transaction that changes nothing. Raises StoreUnavailable where a real one would fail."""
        await self.write([Write(touch, None)], deadline=deadline)

    async def read(self, query: Executable, params: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """See Reader.read."""
        return await self._reader.read(query, params)

    def close(self) -> None:
        """Commit what is queued, answer what was asked, end the threads. Blocks: in a loop, use asyncio.to_thread."""
        self._writer.close()
        self._reader.close()

    def _refuse_if_read_only(self) -> None:
        if self.read_only:
            raise StoreReadOnly("the store is open for reading only; nothing is written here")
