"""A few threads that run queries for every event loop of the process. They cannot write; no query is written here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Row
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.errors import StoreUnavailable
from gateway.store.engine import is_outage, outage
from gateway.store.handover import CLOSE_SECONDS, Answer, hand_over

THREADS = 2
PATIENCE_SECONDS = 10.0
"""How long a question of mail may wait for its answer: as long as a write."""
MAX_BATCH = 100


@dataclass(frozen=True, slots=True, eq=False)
class _Query:
    statement: Executable
    parameters: Mapping[str, Any] | None
    future: asyncio.Future[list[Row[Any]]]


class Reader:
    """Batched reads. Each query sees its own snapshot, and everything that was committed before it was asked.

    With `patience_seconds` one that is not answered by then fails with StoreUnavailable.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        threads: int = THREADS,
        max_batch: int = MAX_BATCH,
        patience_seconds: float | None = None,
    ) -> None:
        self._engine = engine
        self._patience_seconds = patience_seconds
        self._max_batch = max_batch
        self._queries: SimpleQueue[_Query | None] = SimpleQueue()
        self._mutex = threading.Lock()  # guards _threads and _closed
        self._wanted = threads
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self) -> None:
        """Start the threads. The first read does it too; a process that forks must not have started them before."""
        with self._mutex:
            self._start()

    def _start(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        while len(self._threads) < self._wanted:
            thread = threading.Thread(target=self._run, name=f"store-reader-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Answer what was asked and end the threads. Blocks; a second call does nothing."""
        with self._mutex:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._queries.put(None)
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)

    async def read(self, query: Executable, params: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """All rows of `query`. Raises StoreUnavailable when the store is at fault, else SQLAlchemy's own error."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row[Any]]] = loop.create_future()
        with self._mutex:
            self._start()
            self._queries.put(_Query(query, params, future))
        if self._patience_seconds is None:
            return await future
        timer = loop.call_later(self._patience_seconds, self._give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _give_up(self, future: asyncio.Future[list[Row[Any]]]) -> None:
        if not future.done():
            told = f"the store did not answer a question within {self._patience_seconds:g} s"
            future.set_exception(StoreUnavailable(told))

    def _run(self) -> None:
        connection: Connection | None = None
        try:
            while batch := self._take():
                answers: list[Answer] = []
                for query in batch:
                    if not query.future.done():  # nobody waits any more
                        connection, outcome = self._ask(connection, query)
                        answers.append((query.future, outcome))
                hand_over(answers)
        finally:
            _close(connection)

    def _take(self) -> list[_Query]:
        """This thread's fair share of what waits; empty at the end."""
        first = self._queries.get()
        if first is None:
            return []
        batch = [first]
        try:
            for _ in range(min(self._queries.qsize() // self._wanted, self._max_batch - 1)):
                query = self._queries.get_nowait()
                if query is None:
                    self._queries.put(None)
                    break
                batch.append(query)
        except Empty:  # another thread was quicker
            pass
        return batch

    def _ask(
        self, connection: Connection | None, query: _Query
    ) -> tuple[Connection | None, Sequence[Row[Any]] | BaseException]:
        """One query; the connection to go on with, and its rows or error. A lost connection is replaced once."""
        kept = connection is not None
        try:
            if connection is None:
                connection = self._engine.connect()
            return connection, connection.execute(query.statement, query.parameters).all()
        except DBAPIError as error:
            if not is_outage(error):
                return connection, error
            _close(connection)
            return self._ask(None, query) if kept else (None, outage(error, self._engine.url))
        except Exception as error:  # noqa: BLE001 - types' converters run here; a thread that died would answer nobody
            return connection, error


def _close(connection: Connection | None) -> None:
    if connection is None:
        return
    try:
        connection.close()
    except SQLAlchemyError:
        connection.invalidate()
