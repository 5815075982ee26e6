"""The SMTP and LMTP next hop: pooled connections, retries of dead ones and elsewhere, outcomes that come late.

What is said within a transaction is in transaction.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

from gateway.delivery.addresses import HopAddress
from gateway.delivery.client_tls import ClientTls
from gateway.delivery.connection import Connection, NextHopUnavailable
from gateway.delivery.failover import Failover, Inspection
from gateway.delivery.login import AnyLogin
from gateway.delivery.opening import Terms
from gateway.delivery.pool import Pool
from gateway.delivery.transaction import Chunking, Settings, StaleConnection, StillOpen, Transaction
from gateway.delivery.transport import Batch, Late, Outcome, Result, Results
from gateway.errors import StartupError
from gateway.mail.reply import DEADLINE_PASSED

DISK_READERS = 4


class SmtpNextHop:
    """A server that takes mail by SMTP or LMTP at `address` (`host:port`, `[v6]:port`, `unix:/path`).

    Where it takes none, `fallback_addresses` are tried in their order, and it comes after them for
    `cool_down_seconds`. `connect_timeout_seconds` is for connecting, greeting, EHLO, TLS and login together, at each
    address; `reply_timeout_seconds` for each reply and each 256 KiB of data; `data_done_timeout_seconds` for the reply
    to the final dot. Raises `ConfigError` for an address that is none. Use from one event loop.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        fallback_addresses: Sequence[str] = (),
        protocol: Literal["smtp", "lmtp"] = "smtp",
        helo_name: str,
        tls: ClientTls | None = None,
        login: AnyLogin | None = None,
        chunking: Chunking = "large",
        connections: int = 20,
        connect_timeout_seconds: float = 30.0,
        reply_timeout_seconds: float = 300.0,
        data_done_timeout_seconds: float = 600.0,
        idle_seconds: float = 60.0,
        messages_per_connection: int = 100,
        cool_down_seconds: float = 60.0,
        xforward: bool = True,
    ) -> None:
        self.name = name
        self.kind: str = protocol
        addresses = [HopAddress.parse(text) for text in (address, *fallback_addresses)]
        self._label = f"{protocol} {', '.join(map(str, addresses))}"
        self._tls = tls
        self._login = login
        self._failover = Failover(
            name,
            addresses,
            Terms(protocol == "lmtp", helo_name, tls, login),
            cool_down_seconds=cool_down_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
        )
        self._settings = Settings(
            lmtp=protocol == "lmtp",
            xforward=xforward,
            chunking=chunking,
            reply_timeout_seconds=reply_timeout_seconds,
            data_done_timeout_seconds=data_done_timeout_seconds,
        )
        self._pool = Pool(
            self._failover.open,
            connections=connections,
            idle_seconds=idle_seconds,
            transactions_per_connection=messages_per_connection,
        )
        self._disk = ThreadPoolExecutor(DISK_READERS, thread_name_prefix=f"spool-{name}")
        self._following: set[asyncio.Task[None]] = set()

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

    def check_files(self) -> None:
        """See to it that the files of TLS and login can be used. Reads the disk. Raises `StartupError`."""
        try:
            if self._tls is not None:
                self._tls.context()
            if self._login is not None:
                self._login.password()
        except StartupError as error:
            raise StartupError(f"next_hop.{self.name}.{error}") from None

    async def inspect(self) -> list[Inspection]:
        """What each of its addresses says now, asked as mail would be handed over."""
        return await self._failover.inspect()

    def connection_state(self) -> tuple[int, int, bool]:
        """Connections in use and at rest, and whether the last attempt to make one failed. For metrics."""
        return self._pool.lent, self._pool.idle, self._failover.is_down

    async def probe(self) -> str | None:
        """See `NextHop.probe`. It answers when one of its addresses does."""
        found = await self.inspect()
        if any(not each.problem for each in found):
            return None
        why = found[0].problem if len(found) == 1 else "; ".join(f"{each.address}: {each.problem}" for each in found)
        return f"next hop {self.name!r} ({self._label}) takes no mail: {why}"

    async def close(self) -> None:
        await asyncio.sleep(0)  # a task cancelled before its first step would never call `late`
        for task in self._following:
            task.cancel()
        if self._following:
            await asyncio.wait(self._following)
        await self._pool.close()
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def _transact(self, batch: Batch, deadline: float, late: Late | None) -> Results:
        try:
            connection = await self._pool.acquire(deadline)
        except NextHopUnavailable as error:
            return self._not_sent(batch, error)
        except TimeoutError:
            return self._all(batch, Result(Outcome.DEFERRED, DEADLINE_PASSED, where=f"{self._label}: all busy"))
        other_addresses = self._failover.choices - 1
        while True:
            is_new = connection.transactions == 0
            try:
                return await self._attempt(
                    connection, batch, deadline, late, may_be_repeated=not is_new or other_addresses > 0
                )
            except StaleConnection as stale:
                if is_new:
                    other_addresses -= 1
                    self._failover.blame(connection, str(stale))
            try:
                connection = await self._pool.renew(connection, deadline)
            except NextHopUnavailable as error:
                return self._not_sent(batch, error)

    async def _attempt(
        self, connection: Connection, batch: Batch, deadline: float, late: Late | None, *, may_be_repeated: bool
    ) -> Results:
        """One transaction. The connection goes back to the pool here, unless it is stale or its outcome is awaited."""
        transaction = Transaction(
            self._settings, connection, batch, deadline, self._disk, may_be_repeated=may_be_repeated
        )
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
        return self._all(batch, Result(Outcome.DEFERRED, error.reply, where=f"{self._label}: {error}"))

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
