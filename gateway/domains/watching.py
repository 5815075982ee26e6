"""Looks at a claim again and again until it is in service, for somebody who has just entered its records.

What it sees changes nothing. When that is news it asks the running gateway for a look, within the limits that anybody
who asks has: the gateway alone decides about a state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.config.models import Config
from gateway.directory.actor import Actor
from gateway.directory.change import carry_out
from gateway.directory.errors import Conflict, NotAllowed
from gateway.domains.checker import seen_by
from gateway.domains.claims import LookNow
from gateway.domains.inspection import Inspection, inspect
from gateway.domains.lifetimes import Lifetime, Remembered
from gateway.domains.probing import Probing
from gateway.domains.schedule import MINUTE
from gateway.domains.showing import find_claim
from gateway.domains.states import LOOKED_AT, State
from gateway.store.store import Store

PAUSE_SECONDS = 10.0
LONG_PAUSE_SECONDS = 60.0
PATIENT_SECONDS = 10 * MINUTE
"""After so long without an end the watch slows down: somebody may have left it open overnight."""
ADVICE_SECONDS = 60.0
ASK_AGAIN_SECONDS = 60.0
OVERDUE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Glance:
    """What the watch sees at one time. `old` are answers that others may still have; `asked`: for a look, just now.

    `unasked` says why a look was not asked for although there is news.
    """

    inspection: Inspection
    old: tuple[Lifetime, ...] = ()
    asked: bool = False
    unasked: str = ""

    @property
    def state(self) -> str:
        return str(self.inspection.shown.row.state)

    @property
    def is_done(self) -> bool:
        """In service, and everything that is required stands in DNS."""
        return self.state in (State.ACTIVE, State.TRUSTED) and self.inspection.passes

    @property
    def is_hopeless(self) -> bool:
        """Nobody looks at a claim in this state any more, so waiting changes nothing."""
        return self.state not in LOOKED_AT

    @property
    def is_overdue(self) -> bool:
        """The gateway should have looked long ago: it does not run, or is told not to look."""
        due = self.inspection.shown.row.next_look_at
        return due is not None and self.inspection.at - due > OVERDUE_SECONDS


class Watch:
    """One claim, as `actor` sees it. `pause` waits for so many seconds."""

    def __init__(
        self,
        store: Store,
        config: Config,
        actor: Actor,
        claim: tuple[str, str],
        probing: Probing,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._config = config
        self._actor = actor
        self._name, self._organisation = claim
        self._probing = probing
        self._pause = pause
        self._remembered = Remembered()
        self._asked_at: float | None = None
        self._asked_with: tuple[str | None, ...] = ()

    async def glances(self) -> AsyncIterator[Glance]:
        """One after the other; the last one is done or hopeless. Raises `NotFound`, `Conflict`, `StoreUnavailable`."""
        began = self._probing.clock()
        advice_at = began
        last: Inspection | None = None
        while True:
            fresh = last is None or self._probing.clock() - advice_at >= ADVICE_SECONDS
            if fresh:
                advice_at = self._probing.clock()
            last = await self._inspect(None if fresh else last)
            glance = await self._glance(last)
            yield glance
            if glance.is_done or glance.is_hopeless:
                return
            patient = self._probing.clock() - began < PATIENT_SECONDS
            await self._pause(PAUSE_SECONDS if patient else LONG_PAUSE_SECONDS)

    async def _inspect(self, advice_of: Inspection | None) -> Inspection:
        shown = await find_claim(self._store, self._actor, self._name, self._organisation)
        seen = await inspect(self._store, self._config, shown, self._probing, advice_of=advice_of)
        # Asking DNS took its time, and the gateway may have looked meanwhile.
        return replace(seen, shown=await find_claim(self._store, self._actor, self._name, self._organisation))

    async def _glance(self, seen: Inspection) -> Glance:
        self._remembered.note(seen.lifetimes, seen.at)
        asked, unasked = await self._ask(seen)
        if asked:
            seen = replace(seen, shown=await find_claim(self._store, self._actor, self._name, self._organisation))
        return Glance(seen, self._remembered.old(seen.at), asked, unasked)

    async def _ask(self, seen: Inspection) -> tuple[bool, str]:
        """Ask for a look when the gateway's last one came to something else, and none is due anyway."""
        row = seen.shown.row
        facts = seen.shown.standing.facts
        now_seen = tuple(seen_by(kind, seen.required) for kind in ("ownership", "mx"))
        known = (facts.ownership.status, facts.routing.status)
        is_news = any(_status(new) != old for new, old in zip(now_seen, known, strict=True))
        if not is_news or row.next_look_at is None or row.next_look_at <= seen.at + PAUSE_SECONDS:
            return False, ""
        if self._asked_with == now_seen and seen.at - (self._asked_at or 0.0) < ASK_AGAIN_SECONDS:
            return False, ""
        try:
            await carry_out(self._store, self._actor, LookNow(row.name, seen.shown.organisation), self._probing.clock)
        except (Conflict, NotAllowed) as error:  # too often, or not theirs to ask: it is looked at when it is due
            return False, str(error)
        self._asked_at, self._asked_with = seen.at, now_seen
        return True, ""


def _status(seen: str | None) -> str:
    return seen if seen in ("pass", "temp") else "fail"
