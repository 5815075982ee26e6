"""How long an answer may be believed: the cache of the resolver, with its rules and its bounds. It asks nobody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.dns.answers import Answer, Found, NotFound, Unknown

MIN_POSITIVE_SECONDS = 5  # a TTL of 0 must not turn a burst of mail into a burst of queries
MAX_POSITIVE_SECONDS = 3600
MAX_NEGATIVE_SECONDS = 300
FIRST_FAILURE_SECONDS = 5  # RFC 9520 3.2 asks for 1 s to 5 min
MAX_FAILURE_SECONDS = 30
STALE_SECONDS = 3600

Key: TypeAlias = tuple[str, str]
"""(name in lower case without final dot, type)"""


@dataclass(slots=True)
class _Entry:
    answer: Found | NotFound | None
    expires: float
    octets: int
    failure: Unknown | None = None
    failure_until: float = 0.0
    failures: int = 0


class AnswerCache:
    """Least recently used answers, at most `max_entries` of them and `max_octets` of their wire form together.

    The second bound is there because an answer may hold 64 KiB: its author is anyone who sends mail.
    """

    def __init__(
        self, clock: Callable[[], float], *, max_entries: int = 50_000, max_octets: int = 16 * 1024 * 1024
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_octets = max_octets
        self._octets = 0
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Answer | None:
        """A fresh answer, or the failure that must not be asked for again yet; None means ask."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if entry.answer is not None and now < entry.expires:
            self._entries.move_to_end(key)
            return entry.answer
        if entry.failure is not None and now < entry.failure_until:
            self._entries.move_to_end(key)
            return entry.failure
        return None

    def stale(self, key: Key) -> Found | None:
        """The last known records, when they expired less than an hour ago (RFC 8767)."""
        entry = self._entries.get(key)
        if entry is None or not isinstance(entry.answer, Found) or self._clock() >= entry.expires + STALE_SECONDS:
            return None
        return replace(entry.answer, stale=True)

    def put(self, key: Key, answer: Answer, octets: int = 0) -> None:
        """Remember what a look-up ended with; `octets` is the size of the response on the wire."""
        now = self._clock()
        if isinstance(answer, Unknown):
            self._remember_failure(key, answer, now)
        elif isinstance(answer, Found):
            seconds = min(max(answer.ttl, MIN_POSITIVE_SECONDS), MAX_POSITIVE_SECONDS)
            self._store(key, _Entry(answer, now + seconds, octets))
        else:
            seconds = min(answer.ttl, MAX_NEGATIVE_SECONDS)
            self._store(key, _Entry(answer, now + seconds, octets))

    def _remember_failure(self, key: Key, failure: Unknown, now: float) -> None:
        entry = self._entries.get(key) or _Entry(None, 0.0, 0)
        if isinstance(entry.answer, NotFound):
            entry.answer = None
        seconds = min(FIRST_FAILURE_SECONDS * 2**entry.failures, MAX_FAILURE_SECONDS)
        entry.failure, entry.failure_until = failure, now + seconds
        if seconds < MAX_FAILURE_SECONDS:
            entry.failures += 1
        self._store(key, entry)

    def _store(self, key: Key, entry: _Entry) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._octets -= old.octets
        self._entries[key] = entry
        self._octets += entry.octets
        while len(self._entries) > self._max_entries or self._octets > self._max_octets:
            _, dropped = self._entries.popitem(last=False)
            self._octets -= dropped.octets
