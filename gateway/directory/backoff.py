"""When the next attempt to log in is worth a look: pauses that grow with failures, for where they come from only.

No failure of one client ever makes another wait, and nobody is locked out everywhere. Pure: the clock is given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.mail.address import Address, AddressError

FREE_FAILURES = 5
"""Of one client for one user name, before it has to pause."""
FREE_FAILURES_OF_A_NETWORK = 50
FIRST_PAUSE_SECONDS = 4.0
LONGEST_PAUSE_SECONDS = 900.0
LONGEST_PAUSE_OF_THE_KNOWN_SECONDS = 4.0
"""Where the user has logged in before: a forgotten program with the old password must not keep the others out."""
FORGOTTEN_SECONDS = 3600.0
KNOWN_SECONDS = 30 * 86_400.0
MOST = 20_000

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class _Latest(OrderedDict[KeyT, ValueT], Generic[KeyT, ValueT]):
    """The `MOST` entries that were written last."""

    def put(self, key: KeyT, value: ValueT) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > MOST:
            self.popitem(last=False)


class Backoff:
    """Counts failed logins by (user name, client) and by network. `clock`: seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pairs: _Latest[tuple[str, str], _Failures] = _Latest()
        self._networks: _Latest[str, _Failures] = _Latest()
        self._known: _Latest[tuple[str, str], float] = _Latest()

    def must_wait(self, user: str, client: str, network: str) -> bool:
        """Whether this attempt comes too soon after failed ones."""
        now, user = self._clock(), _name(user)
        pair = self._failures(self._pairs, (user, client), now)
        if self._is_known(user, client, now):
            return _pauses(pair, FREE_FAILURES, LONGEST_PAUSE_OF_THE_KNOWN_SECONDS, now)
        whole = self._failures(self._networks, network, now)
        return _pauses(pair, FREE_FAILURES, LONGEST_PAUSE_SECONDS, now) or _pauses(
            whole, FREE_FAILURES_OF_A_NETWORK, LONGEST_PAUSE_SECONDS, now
        )

    def is_known(self, user: str, client: str) -> bool:
        """Whether the user has logged in from there in the last 30 days."""
        return self._is_known(_name(user), client, self._clock())

    def failed(self, user: str, client: str, network: str) -> None:
        now = self._clock()
        for found in (
            self._counted(self._pairs, (_name(user), client), now),
            self._counted(self._networks, network, now),
        ):
            found.count += 1
            found.last = now

    def succeeded(self, user: str, client: str) -> None:
        """The network's failures stay: one account of its own must not give somebody the others to try."""
        self._pairs.pop((_name(user), client), None)
        self._known.put((_name(user), client), self._clock())

    def _is_known(self, user: str, client: str, now: float) -> bool:
        since = self._known.get((user, client))
        return since is not None and now - since < KNOWN_SECONDS

    @staticmethod
    def _failures(table: _Latest[KeyT, _Failures], key: KeyT, now: float) -> _Failures:
        found = table.get(key)
        return found if found is not None and now - found.last < FORGOTTEN_SECONDS else _Failures()

    @classmethod
    def _counted(cls, table: _Latest[KeyT, _Failures], key: KeyT, now: float) -> _Failures:
        found = cls._failures(table, key, now)
        table.put(key, found)
        return found


def _name(user: str) -> str:
    """One for all spellings of an address, and short: anybody may send any text here."""
    try:
        return Address.parse(user).key
    except AddressError:
        return user[:64].lower()


def _pauses(failures: _Failures, free: int, longest: float, now: float) -> bool:
    over = failures.count - free
    if over < 0:
        return False
    pause = min(longest, FIRST_PAUSE_SECONDS * 2.0 ** min(over, 16))
    return now - failures.last < pause
