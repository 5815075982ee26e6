"""Ids of transactions and sessions: short enough to type in, sorted by time, unique over all nodes."""

from __future__ import annotations

import random
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_RANDOM_BITS = 35

# Seeded by the system when the process starts. Ids must differ, not be hard to guess, and a system call for each costs
# more than all the rest.
_random = random.Random()  # noqa: S311


def new_id() -> str:
    """16 characters: milliseconds since 1970 (9) and 35 random bits (7)."""
    number = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | _random.getrandbits(_RANDOM_BITS)
    pairs = _PAIRS
    return (
        pairs[number >> 70 & 1023]
        + pairs[number >> 60 & 1023]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )
