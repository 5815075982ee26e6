"""The SMTP and LMTP next hop: pooled connections, retries of dead ones, outcomes that come late.

What is said within a transaction is in transaction.py.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

from gateway.delivery.commands import Capabilities
from gateway.delivery.connection import Connection
from gateway.delivery.opening import HopAddress, NextHopUnavailable, open_connection
from gateway.delivery.pool import Pool
from gateway.delivery.transaction import Settings, StaleConnection, StillOpen, Transaction
from gateway.delivery.transport import Batch, Late, Outcome, Result, Results
from gateway.mail.reply import DEADLINE_PASSED, NEXT_HOP_DOWN

log = logging.getLogger(__name__)

DISK_READERS = 4


class SmtpNextHop:
    """A server that takes mail by SMTP or LMTP at `address` (`host:port`, `[v6]:port`, `unix:/path`).

    `connect_timeout_seconds` is for connecting, greeting and EHLO together; `reply_timeout_seconds` for each reply and
    each 256 KiB of data; `data_done_timeout_seconds` for the reply to the final dot. Raises `ConfigError` for an
    address that is none. Use from one event loop.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        protocol: Literal["smtp", "lmtp"] = "smtp",
        helo_name: str,
        connections: int = 20,
        connect_timeout_seconds: float = 30.0,
        reply_timeout_seconds: float = 300.0,
        data_done_timeout_seconds: float = 600.0,
        idle_seconds: float = 60.0,
        messages_per_connection: int = 100,
        xforward: bool = True,
    ) -> None:
        self.name = name
        self.kind: str = protocol
        self.address = HopAddress.parse(address)
        self._helo_name = helo_name
        self._connect_timeout_seconds = connect_timeout_seconds
        self._settings = Settings(
            label=f"{protocol} {self.address}",
            lmtp=protocol == "lmtp",
            xforward=xforward,
            reply_timeout_seconds=reply_timeout_seconds,
            data_done_timeout_seconds=data_done_timeout_seconds,
        )
        self._pool = Pool(
            self._open,
            connections=connections,
            idle_seconds=idle_seconds,
            transactions_per_connection=messages_per_connection,
        )
        self._disk = ThreadPoolExecutor(DISK_READERS, thread_name_prefix=f"spool-{name}")
        self._following: set[asyncio.Task[None]] = set()
        self._down = False

    async def deliver(self, batch: Batch, *, deadline: float, late: Late | None = None) -> Results:
        """See `NextHop.deliver`. Recipients over the hop's limit (452 4.5.3) go in further transactions at once."""
        results = await self._transact(batch, deadline, late)
        left_over = _over_the_limit(results)
        while left_over and len(left_over) < len(batch.copies):
            before = len(left_over)
            rest = replace(batch, copies=tuple(batch.copies[index] for index in left_over))
            notice = None if late is None else _merging(late, results, left_over)
            results = _merged(results, left_over, await self._transact(rest, deadline, notice))
            left_over = _over_the_limit(results)
            if len(left_over) >= before:
                break
        return results

    async def inspect(self) -> Capabilities:
        """What the hop offers now, asked on a connection of its own. Raises `NextHopUnavailable`."""
        connection = await self._open(asyncio.get_running_loop().time() + self._connect_timeout_seconds)
        connection.quit()
        await connection.closed
        return connection.capabilities

    async def probe(self) -> str | None:
        try:
            await self.inspect()
        except NextHopUnavailable as error:
            return f"next hop {self.name!r} ({self._settings.label}) takes no mail: {error}"
        return None

    async def close(self) -> None:
        await asyncio.sleep(0)  # a task cancelled before its first step would never call `late`
        for task in self._following:
            task.cancel()
        if self._following:
            await asyncio.wait(self._following)
        await self._pool.close()
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def _open(self, until: float) -> Connection:
        limit = asyncio.get_running_loop().time() + self._connect_timeout_seconds
        try:
            connection = await open_connection(
                self.address, lmtp=self._settings.lmtp, helo_name=self._helo_name, until=min(until, limit)
            )
        except NextHopUnavailable as error:
            if not self._down:
                log.warning("next hop %s (%s) takes no mail: %s", self.name, self._settings.label, error)
            self._down = True
            raise
        if self._down:
            log.info("next hop %s (%s) answers again", self.name, self._settings.label)
        self._down = False
        return connection

    async def _transact(self, batch: Batch, deadline: float, late: Late | None) -> Results:
        try:
            connection = await self._pool.acquire(deadline)
        except NextHopUnavailable as error:
            return self._not_sent(batch, error)
        except TimeoutError:
            return self._all(
                batch, Result(Outcome.DEFERRED, DEADLINE_PASSED, where=f"{self._settings.label}: all busy")
            )
        try:
            return await self._attempt(connection, batch, deadline, late)
        except StaleConnection:
            pass
        try:
            connection = await self._pool.renew(connection, deadline)
        except NextHopUnavailable as error:
            return self._not_sent(batch, error)
        return await self._attempt(connection, batch, deadline, late)

    async def _attempt(self, connection: Connection, batch: Batch, deadline: float, late: Late | None) -> Results:
        """One transaction. The connection goes back to the pool here, unless it is stale or its outcome is awaited."""
        transaction = Transaction(self._settings, connection, batch, deadline, self._disk)
        try:
            results = await transaction.run()
        except StaleConnection:
            raise
        except StillOpen:
            results = transaction.so_far("no reply to the final dot by the deadline")
            self._follow(transaction, connection, late)
            return results
        except BaseException:
            if transaction.dot_sent:
                self._follow(transaction, connection, late)
            else:
                connection.abort()
                self._pool.release(connection)
            raise
        self._pool.release(connection)
        return results

    def _follow(self, transaction: Transaction, connection: Connection, late: Late | None) -> None:
        """Wait for the next hop's word in a task of our own: whoever asked is not there any more."""
        task = asyncio.get_running_loop().create_task(self._learn(transaction, connection, late))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _learn(self, transaction: Transaction, connection: Connection, late: Late | None) -> None:
        try:
            results = await transaction.outcome(float("inf"))
        except asyncio.CancelledError:
            results = transaction.so_far("the gateway stopped before the next hop answered")
            connection.abort()
        self._pool.release(connection)
        if late is not None:
            late(results)

    def _not_sent(self, batch: Batch, error: NextHopUnavailable) -> Results:
        return self._all(batch, Result(Outcome.DEFERRED, NEXT_HOP_DOWN, where=f"{self._settings.label}: {error}"))

    def _all(self, batch: Batch, result: Result) -> Results:
        return (result,) * len(batch.copies)


def _over_the_limit(results: Results) -> list[int]:
    """Whom the hop refused only because there were too many in one transaction (RFC 5321 4.5.3.1.10)."""
    outcomes = {result.outcome for result in results}
    if outcomes == {Outcome.DONE} or Outcome.UNKNOWN in outcomes:
        return []
    return [
        index
        for index, result in enumerate(results)
        if result.reply.enhanced in {"4.5.3", "5.5.3"} or (result.reply.code == 452 and not result.reply.enhanced)
    ]


def _merged(results: Results, indexes: list[int], newer: Results) -> Results:
    merged = list(results)
    for index, result in zip(indexes, newer, strict=True):
        merged[index] = result
    return tuple(merged)


def _merging(late: Late, results: Results, indexes: list[int]) -> Late:
    return lambda newer: late(_merged(results, indexes, newer))
