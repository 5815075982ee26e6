"""Ids of transactions and sessions: short enough to type in, sorted by time, unique over all nodes."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_RANDOM_BITS = 30


def new_id() -> str:
    """15 characters: milliseconds since 1970 (9) and 30 random bits (6)."""
    number = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
    digits = []
    for _ in range(15):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(digits))
