"""Looks at domains when they are due, in the desk process, and tells plugins and the operator what changed.

What is asked is a checker's business, what follows from the answers the state machine's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError

from gateway.domains.announcing import Announcer
from gateway.domains.checker import UNKNOWN, Answered, Asked, Checker
from gateway.domains.due import MOST_AT_ONCE, Names, due, question, release
from gateway.domains.facts import Observation, Seen
from gateway.domains.looks import Recorded, RecordLook, Teller, record_look
from gateway.domains.notices import Notices
from gateway.domains.rows import standing_of
from gateway.domains.schedule import Turn, is_resolver_trouble
from gateway.domains.states import HOLDING
from gateway.errors import StoreUnavailable
from gateway.store.store import Store, Write

log = logging.getLogger("stellwerk.domains")

POLL_SECONDS = 1.0
LOOK_SECONDS = 120.0
MOST_LOOKS_AT_ONCE = 10
SWEEP_SECONDS = 900.0
"""Looks of so long a time are one sweep: domains are looked at one by one, and a resolver that fails hits them all."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """A claim with what was asked about it and what came of it."""

    row: Row[Any]
    asked: Asked
    answered: Answered


class Scheduler:
    """Of one desk. Without a `checker` nothing is looked at; what people change is told all the same."""

    def __init__(
        self, store: Store, checker: Checker | None, names: Names, notices: Notices, announcer: Announcer,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._store = store
        self._checker = checker
        self._names = names
        self._notices = notices
        self._announcer = announcer
        self._clock = clock
        self._slots = asyncio.Semaphore(MOST_LOOKS_AT_ONCE)
        self._sweep: deque[tuple[float, Turn]] = deque()
        self.counts: Counter[str] = Counter()
        """Looks by what they came to, for metrics."""

    async def run(self) -> None:
        """Until cancelled. A store that is down is met with patience."""
        was_down = False
        while True:
            busy = 0
            try:
                busy = await self.run_due()
                await self._announcer.tell(self._clock())
                was_down = False
            except (StoreUnavailable, DBAPIError) as error:
                if not was_down:
                    log.warning("domains cannot be looked at, trying again: %s", error)
                was_down = True
            except Exception:
                log.exception("looking at domains failed, trying again")
            if busy < MOST_AT_ONCE:
                await asyncio.sleep(POLL_SECONDS)

    async def run_due(self) -> int:
        """Look at what is due now, once each. How many claims that were. Raises `StoreUnavailable`."""
        if self._checker is None:
            return 0
        rows = await due(self._store, self._clock())
        if rows:
            looked = await asyncio.gather(*(self._look(row, self._checker) for row in rows))
            doubted = await self._doubt(looked)
            for each in looked:
                await self._record(each, doubted=doubted)
        return len(rows)

    async def _look(self, row: Row[Any], checker: Checker) -> _Looked:
        asked = await question(self._store, row, self._names, self._clock())
        async with self._slots:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    answered = await checker(asked)
            except TimeoutError:
                log.warning("%s: no result within %g s", row.name, LOOK_SECONDS)
                answered = UNKNOWN
            except Exception:  # a bug of ours, or what a server has sent: nobody loses a domain by it
                log.exception("%s: the look at DNS failed", row.name)
                answered = UNKNOWN
        return _Looked(row, asked, answered)

    async def _doubt(self, looked: Sequence[_Looked]) -> bool:
        """Whether so many domains turned bad that it is rather us. The operator is told once an hour at most."""
        now = self._clock()
        for each in looked:
            if (turn := _turn(each)) is not None:
                self._sweep.append((now, turn))
        while self._sweep and self._sweep[0][0] < now - SWEEP_SECONDS:
            self._sweep.popleft()
        turns = [turn for _, turn in self._sweep]
        if not is_resolver_trouble(turns):
            return False
        bad = sum(turn.was_good and turn.is_bad for turn in turns)
        log.error("%d of %d domains turned bad at once: not believed, the resolver may be broken", bad, len(turns))
        self.counts["doubted"] += len(looked)
        await self._notices.call_operator(self._store, now, bad, len(turns))
        return True

    async def _record(self, looked: _Looked, *, doubted: bool) -> Recorded:
        answered = looked.answered
        ownership, routing = answered.ownership, answered.routing
        if doubted:
            ownership, routing = _as_unknown(ownership), _as_unknown(routing)
        for seen in (ownership, routing):
            if seen is not None:
                self.counts[seen] += 1
        token = answered.token if ownership == "pass" else None
        look = Observation(
            self._clock(),
            ownership,
            routing,
            issued_at=0.0 if token is None else token.issued_at,
            sure=answered.sure,
            name_servers=frozenset() if doubted else answered.name_servers,
        )
        if ownership == "pass" and token is None:  # by a name above that the same organisation has proven now
            look = replace(look, issued_at=look.at, sure=True)
        serial = 0 if token is None else token.serial
        tell: Teller = self._notices
        asked = RecordLook(looked.row.id, looked.row.version, look, serial, answered.seen, tell)
        recorded = await record_look(self._store, asked)
        if not recorded.counted:  # a command came between: what was asked may not be the question any more
            await self._store.write([Write(release, looked.row.id)])
        elif recorded.old != recorded.new:
            log.info("%s is %s, it was %s", looked.row.name, recorded.new, recorded.old)
        return recorded


def _turn(looked: _Looked) -> Turn | None:
    """What this look did to a domain in service; None for those that are not, and fail every day."""
    standing = standing_of(looked.row)
    if standing.state not in HOLDING:
        return None
    pairs = (
        (standing.facts.ownership.status, looked.answered.ownership),
        (standing.facts.routing.status, looked.answered.routing),
    )
    asked = [(before, now) for before, now in pairs if now is not None]
    was_good = all(before == "pass" for before, _ in asked)
    return Turn(was_good, any(now != "pass" for _, now in asked))


def _as_unknown(seen: Seen | None) -> Seen | None:
    return seen if seen in (None, "pass") else "temp"
