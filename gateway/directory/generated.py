"""Passwords that are made here, and what one that a person chose must be. Nothing is stored or hashed here."""

from __future__ import annotations

import secrets

from gateway.directory.errors import BadValue

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without l and 1, o and 0: people type these from paper. 32 characters, so that each is 5 bits."""
GROUPS, GROUP = 4, 5
SHORTEST, LONGEST = 12, 200


def new_password() -> str:
    """100 random bits as 20 characters, in groups so that they can be read aloud: `k7xw2-...`."""
    return "-".join(_letters(GROUP) for _ in range(GROUPS))


def new_label() -> str:
    """50 random bits for an address that nobody shall guess."""
    return _letters(10)


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def chosen_password(text: str) -> str:
    """A password that somebody chose. Raises `BadValue`."""
    if not SHORTEST <= len(text) <= LONGEST:
        raise BadValue(
            f"the password has {len(text)} characters; expected {SHORTEST} to {LONGEST} (--generate makes a good one)"
        )
    if not text.isprintable():
        raise BadValue("the password holds a control character, which many mail programs cannot send; choose another")
    return text
