"""How long a sender of message data is waited for. Arithmetic on loop times: nothing here waits or reads a clock."""

from __future__ import annotations

import math


class Pace:
    """Tells slow senders, who are waited for, from those that only keep a connection occupied.

    The sender has a credit of waiting time. Waiting spends it, octets earn it back at `bytes_per_second`, and it never
    grows beyond `patience_seconds`: a burst at the beginning pays for no more than one pause later on. A message whose
    data takes `total_seconds` is given up however fast it is.
    """

    __slots__ = ("_bytes_per_second", "_credit", "_end", "_received", "_since")

    def __init__(self, begun: float, received: int, *, bytes_per_second: int, total_seconds: float) -> None:
        """`begun` is the loop time at which the data began, `received` how many octets the client had sent by then.

        A zero switches the rate or the total off.
        """
        self._bytes_per_second = bytes_per_second
        self._end = begun + total_seconds if total_seconds else math.inf
        self._credit = math.inf
        self._since = begun
        self._received = received

    def wait_until(self, now: float, received: int, patience_seconds: float) -> float:
        """The loop time until which to wait for more, when the client has sent `received` octets in all.

        Tell `waited` afterwards.
        """
        if self._bytes_per_second:
            earned = (received - self._received) / self._bytes_per_second
            self._credit = min(self._credit + earned, patience_seconds)
        else:
            self._credit = patience_seconds
        self._received = received
        self._since = now
        return min(now + self._credit, self._end)

    def waited(self, now: float) -> bool:
        """The wait ended at `now`; whether that was in time.

        Time that the gateway itself takes, for its disk or for others, is not the sender's.
        """
        self._credit -= now - self._since
        self._since = now
        return self._credit >= 0 and now <= self._end
