"""The one thread of a process that writes: it commits what concurrent callers bring as one group. No SQL here."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import CommitUnknown, StoreUnavailable
from gateway.store.engine import WriterLock, is_outage, outage, outcome_unknown
from gateway.store.group import BatchFunction, Write, apply
from gateway.store.handover import CLOSE_SECONDS, Answer, hand_over

__all__ = ["BatchFunction", "Counters", "Write", "Writer"]

log = logging.getLogger("stellwerk.store")

MAX_BATCH = 200
MAX_LAZY = 5_000
LAZY_SECONDS = 1.0
PATIENCE_SECONDS = 10.0
GATHER_SECONDS = 0.003
"""How long a group is gathered when many wait. Each costs a commit and a few calls, however few are in it: relaying
4 KB messages in 20 sessions cost a seventh less CPU for it (PostgreSQL has commit_delay for the same)."""
GATHER_FROM = 4
"""Units of the last group from which on more are expected to come; who sends alone never waits."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What the writer did since it started. `last_error` is None again after the next commit; `queued` waits now."""

    commits: int
    units: int
    rollbacks: int
    expired: int
    lazy_given_up: int
    last_error: str | None
    commit_seconds: float = 0.0
    queued: int = 0


@dataclass(slots=True, eq=False)
class _Waiting:
    writes: Sequence[Write]
    expires: float  # time.monotonic()
    future: asyncio.Future[list[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class _Lazy:
    writes: Sequence[Write]
    on_error: Callable[[BaseException], None] | None


class _Outage(StoreUnavailable):
    """The store's own failure, as against one that a batch function raised."""


class _UnreachableError(Exception):
    """No transaction could be begun, or nobody knows how it ended: no unit is guilty, and none is tried again alone.

    `answer` is what the units' callers get.
    """

    def __init__(self, answer: StoreUnavailable) -> None:
        super().__init__(str(answer))
        self.answer = answer


class Writer:
    """Group commit. Callers on any event loop bring *units*; each unit is committed whole or not at all.

    What is waiting when the thread becomes free is one transaction. If that fails it is rolled back and every unit is
    tried in a transaction of its own, so that only a guilty one fails. `lock` is held around each group and taken
    before the group is collected, so that a wait for it makes a larger group. A unit that is not taken within
    `patience_seconds`, or by its own deadline, fails with StoreUnavailable. The writer closes `lock` when it ends.
    """

    def __init__(
        self,
        engine: Engine,
        lock: WriterLock,
        *,
        max_batch: int = MAX_BATCH,
        max_lazy: int = MAX_LAZY,
        lazy_seconds: float = LAZY_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._max_batch = max_batch
        self._max_lazy = max_lazy
        self._lazy_seconds = lazy_seconds
        self._patience_seconds = patience_seconds
        self._condition = threading.Condition()  # guards the two queues, _closed and _thread
        self._waiting: deque[_Waiting] = deque()
        self._lazy: deque[_Lazy] = deque()
        self._closed = False
        self._taken = 0  # units of the last group that somebody waited for
        self._alarm = math.inf  # time.monotonic() of the next look for expired units
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._commits = self._units = self._rollbacks = self._expired = self._lazy_given_up = 0
        self._commit_seconds = 0.0
        self._last_error: str | None = None

    @property
    def counters(self) -> Counters:
        """A snapshot for metrics and doctor."""
        return Counters(
            self._commits,
            self._units,
            self._rollbacks,
            self._expired,
            self._lazy_given_up,
            self._last_error,
            self._commit_seconds,
            len(self._waiting) + len(self._lazy),
        )

    def start(self) -> None:
        """Start the thread. The first write does it too; a process that forks must not have started it before."""
        with self._condition:
            self._start()

    def _start(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Commit what is queued and end the thread. Blocks; a second call does nothing.

        When the store does not answer for CLOSE_SECONDS the thread is left behind; what waits for it expires by itself.
        """
        with self._condition:
            self._closed = True
            thread = self._thread
            self._condition.notify()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    async def write(self, writes: Sequence[Write], *, deadline: float | None = None) -> list[Any]:
        """Commit `writes` as one unit and return the result of each, in order, once they are on disk.

        `deadline` is a time.monotonic(): a unit whose group is not yet collected then is dropped. Cancelling the caller
        does not cancel the commit. An empty unit waits for what was queued before it, lazy units included.

        Raises StoreUnavailable when the store is at fault (CommitUnknown: it may stand all the same), else what the
        unit's own function raised when it was alone.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        expires = now + self._patience_seconds
        if deadline is not None and deadline < expires:
            expires = deadline
        unit = _Waiting(writes, expires, loop.create_future())
        with self._condition:
            if self._thread is None or self._closed:
                self._start()
            self._waiting.append(unit)
            self._condition.notify()
        # One alarm for all, since a timer for each unit costs more than the queue does. One that is overdue is on a
        # loop that does not run any more.
        if expires < self._alarm or self._alarm < now:
            self._set_alarm(loop, expires)
        return await unit.future

    def write_soon(self, writes: Sequence[Write], *, on_error: Callable[[BaseException], None] | None = None) -> None:
        """Queue `writes` as one unit that nobody waits for; callable from any thread.

        It goes with the next group, and runs before the waiting units of that group; without one it is committed after
        at most `lazy_seconds`. While the store is out it stays queued, up to `max_lazy` units; then the oldest is given
        up. `on_error` is called once, on any thread, when the unit is given up: guilty, oldest, or the store closed.
        """
        oldest = None
        with self._condition:
            if self._thread is None or self._closed:
                self._start()
            if len(self._lazy) >= self._max_lazy:
                oldest = self._lazy.popleft()
            self._lazy.append(_Lazy(writes, on_error))
        if oldest is not None:
            self._give_up([oldest], "too many lazy writes are waiting for the store")

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._alarm = at
        loop.call_later(max(at - time.monotonic(), 0.0), self._drop_expired, loop)

    def _drop_expired(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer units whose time is over while the thread is busy or waits for the lock."""
        now = time.monotonic()
        with self._condition:
            expired = [unit for unit in self._waiting if unit.expires <= now]
            self._waiting = deque(unit for unit in self._waiting if unit.expires > now)
            self._expired += len(expired)
            self._alarm = math.inf
            if self._waiting:
                self._set_alarm(loop, min(unit.expires for unit in self._waiting))
        hand_over((unit.future, _too_late()) for unit in expired)

    # What follows runs in the writer's thread.

    def _run(self) -> None:
        try:
            while self._work_is_waiting():
                if self._taken >= GATHER_FROM:
                    time.sleep(GATHER_SECONDS)
                self._commit_next()
            self._commit_next()  # lazy units alone
        finally:
            with self._condition:
                self._closed = True
                left, self._lazy = list(self._lazy), deque()
            self._give_up(left, "the store was closed")
            self._disconnect()
            self._lock.close()

    def _work_is_waiting(self) -> bool:
        """Block until there is a group to commit. False: closed, and no unit waits."""
        with self._condition:
            while not self._waiting:
                if self._closed:
                    return False
                # Lazy units do not wake the thread: a hand-over between threads costs more than they do.
                if not self._condition.wait(self._lazy_seconds) and self._lazy:
                    return True
            return True

    def _commit_next(self) -> None:
        try:
            with self._lock:
                self._commit(*self._take())
        except StoreUnavailable as error:  # the lock's: units' errors are answers
            self._refuse(*self._take(), error)

    def _take(self) -> tuple[list[_Lazy], list[_Waiting]]:
        late: list[Answer] = []
        taken: list[_Waiting] = []
        now = time.monotonic()
        with self._condition:
            while self._waiting and len(taken) < self._max_batch:
                unit = self._waiting.popleft()
                if unit.expires < now:
                    late.append((unit.future, _too_late()))
                else:
                    taken.append(unit)
            # All of them, after the others: one that was queued before a waiting unit is certainly here.
            lazy, self._lazy = list(self._lazy), deque()
            self._expired += len(late)
            self._taken = len(taken)
        hand_over(late)
        return lazy, taken

    def _commit(self, lazy: list[_Lazy], waiting: list[_Waiting]) -> None:
        if not lazy and not waiting:
            return
        try:
            outcome = self._attempt(lazy, waiting)
            if not isinstance(outcome, BaseException):
                hand_over(zip((unit.future for unit in waiting), outcome, strict=True))
                return
            self._commit_lazy_apart(lazy)
            while waiting:
                unit = waiting[0]
                result = _too_late() if unit.expires < time.monotonic() else self._attempt([], [unit])
                hand_over([(unit.future, result if isinstance(result, BaseException) else result[0])])
                del waiting[0]
        except _UnreachableError as error:
            self._refuse(lazy, waiting, error.answer)

    def _commit_lazy_apart(self, lazy: list[_Lazy]) -> None:
        """The lazy part of a group that failed: together, then each alone. Takes from `lazy` what is settled."""
        outcome = self._attempt(lazy, []) if lazy else []
        if not isinstance(outcome, BaseException):
            lazy.clear()
            return
        kept: list[_Lazy] = []
        try:
            while lazy:
                if isinstance(outcome, _Outage):  # for all of them; a full disk does not blame the longest
                    kept.extend(lazy)
                    lazy.clear()
                    return
                result = self._attempt(lazy[:1], [])
                if isinstance(result, _Outage):
                    kept.append(lazy[0])
                elif isinstance(result, BaseException):
                    self._give_up(lazy[:1], result)
                del lazy[0]
        finally:
            self._keep(kept)

    def _attempt(self, lazy: Sequence[_Lazy], waiting: Sequence[_Waiting]) -> list[list[Any]] | BaseException:
        """One transaction: the results of `waiting`, or what it was rolled back for. Raises _UnreachableError."""
        began = time.monotonic()
        transaction = self._begin()
        connection = transaction.connection
        try:
            if lazy:
                apply(connection, [unit.writes for unit in lazy])
            results = apply(connection, [unit.writes for unit in waiting])
        except BaseException as error:  # noqa: BLE001 - plugins' functions run here; a thread that died would block everyone
            return self._roll_back(error)
        try:
            transaction.commit()  # fails if a batch function ended the transaction: nothing is acknowledged then
        except SQLAlchemyError as error:
            failure = self._roll_back(error)
            if outcome_unknown(error):
                raise _UnreachableError(CommitUnknown(str(failure))) from error
            return failure
        except Exception as error:  # a driver's own, or a listener's: nobody knows whether the commit stands
            raise _UnreachableError(CommitUnknown(str(self._lost(error)))) from error
        self._commits += 1
        self._commit_seconds += time.monotonic() - began
        self._units += len(lazy) + len(waiting)
        self._note(None)
        return results

    def _begin(self) -> RootTransaction:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return self._connection.begin()
        except Exception as error:
            raise _UnreachableError(StoreUnavailable(str(self._lost(error)))) from error

    def _roll_back(self, error: BaseException) -> BaseException:
        """Undo the transaction; the error as the unit's caller shall see it."""
        self._rollbacks += 1
        if is_outage(error):
            return self._lost(error)
        try:
            if self._connection is not None:
                self._connection.rollback()
        except SQLAlchemyError:
            self._disconnect()
        if self._connection is not None and self._connection.closed:  # by a batch function
            self._disconnect()
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            return error
        # A future cannot carry StopIteration, and SystemExit or CancelledError would end more than this unit.
        return RuntimeError(f"a batch function raised {error!r}")

    def _lost(self, error: BaseException) -> _Outage:
        """Forget the connection: that rolls back, and closes a descriptor whose fsync may have failed."""
        self._disconnect()
        failure = _Outage(str(outage(error, self._engine.url)))
        self._note(str(failure))
        return failure

    def _note(self, failure: str | None) -> None:
        if failure is not None and self._last_error is None:
            log.error("%s", failure)
        elif failure is None and self._last_error is not None:
            log.warning("the store commits again")
        self._last_error = failure

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except SQLAlchemyError:
            connection.invalidate()

    def _refuse(self, lazy: list[_Lazy], waiting: list[_Waiting], cause: StoreUnavailable) -> None:
        self._note(str(cause))
        self._keep(lazy)
        # Each its own: callers raise them.
        hand_over([(unit.future, type(cause)(str(cause))) for unit in waiting])

    def _keep(self, lazy: list[_Lazy]) -> None:
        with self._condition:
            self._lazy.extendleft(reversed(lazy))
            excess = [self._lazy.popleft() for _ in range(len(self._lazy) - self._max_lazy)]
        self._give_up(excess, "too many lazy writes are waiting for the store")

    def _give_up(self, lazy: list[_Lazy], cause: str | BaseException) -> None:
        self._lazy_given_up += len(lazy)
        for unit in lazy:
            error = StoreUnavailable(cause) if isinstance(cause, str) else cause
            if unit.on_error is None:
                log.error("a write that nobody waited for is lost: %s", error)
                continue
            try:
                unit.on_error(error)
            except Exception:
                log.exception("on_error of a lazy write failed")


def _too_late() -> StoreUnavailable:
    return StoreUnavailable("the store did not take the write in time")
