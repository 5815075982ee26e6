"""How long others may go on seeing an answer that was seen: by its TTL, the negative one too (RFC 2308 5).

Nobody can take an answer back from a resolver that has it, so people are told until when it may last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from gateway.domains.checks.result import Observation, Result


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One answer: `texts` is empty for a definite no. Whoever asked just before `at` may see it until `until`."""

    name: str
    type: str
    texts: tuple[str, ...]
    ttl: int
    at: float

    @property
    def until(self) -> float:
        return self.at + self.ttl

    def is_same_answer(self, other: Lifetime) -> bool:
        return (self.name, self.type, self.texts) == (other.name, other.type, other.texts)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "texts": list(self.texts), "until": self.until}


def lifetimes(results: Iterable[Result]) -> tuple[Lifetime, ...]:
    """Of the first question of each result: what one side or the other answered, with the longest TTL that was told.

    A resolver tells what is left of it, the zone's own servers the whole.
    """
    found: dict[tuple[str, str, tuple[str, ...]], Lifetime] = {}
    for result in results:
        for seen in _first_question(result):
            one = Lifetime(seen.name, seen.type, tuple(sorted(seen.texts)), seen.ttl, seen.at)
            key = (one.name, one.type, one.texts)
            known = found.get(key)
            if known is None or known.until < one.until:
                found[key] = one
    return tuple(found.values())


def _first_question(result: Result) -> list[Observation]:
    if not result.observations:
        return []
    first = result.observations[0]
    same = (seen for seen in result.observations if (seen.name, seen.type) == (first.name, first.type))
    return [seen for seen in same if not seen.trouble and seen.ttl > 0]


class Remembered:
    """The answers that were seen before and are not given any more: some resolver may still have them."""

    def __init__(self) -> None:
        self._current: tuple[Lifetime, ...] = ()
        self._old: list[Lifetime] = []

    def note(self, seen: tuple[Lifetime, ...], now: float) -> None:
        """What is seen now takes the place of what was seen last."""
        names = {(each.name, each.type) for each in seen}
        gone = [
            each
            for each in self._current
            if (each.name, each.type) in names and not any(each.is_same_answer(other) for other in seen)
        ]
        kept = [each for each in self._old if not any(each.is_same_answer(other) for other in (*seen, *gone))]
        # A question that nobody answered this time leaves what was known of it.
        silent = tuple(each for each in self._current if (each.name, each.type) not in names)
        self._current = (*seen, *silent)
        self._old = [each for each in (*kept, *gone) if each.until > now]

    def old(self, now: float) -> tuple[Lifetime, ...]:
        """Those whose time is not over, the longest last."""
        return tuple(sorted((each for each in self._old if each.until > now), key=lambda each: each.until))
