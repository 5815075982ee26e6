"""Passwords become argon2id hashes and are checked against them.

Each call takes 64 MiB and a tenth of a second: never make one in an event loop. The hashes are PHC strings, as Dovecot
reads them. A password is taken as it is typed (UTF-8): normalising would have to be done by all who read the hashes.
"""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.directory.errors import BadValue

MEMORY_KIB = 65_536
MAX_BYTES = 1024
"""Longer ones are refused: the user name, this and its base64 fit into one line of AUTH."""

# RFC 9106 4, the second recommendation, with one lane: several checks run beside each other anyway.
_hasher = PasswordHasher(time_cost=3, memory_cost=MEMORY_KIB, parallelism=1)


def hash_password(text: str) -> str:
    """The argon2id hash of `text` as a PHC string. Raises `BadValue` for one that nobody could log in with."""
    if not text or len(text.encode("utf-8", "replace")) > MAX_BYTES or "\0" in text:
        raise BadValue(f"a password has 1 to {MAX_BYTES} bytes and no NUL character")
    return _hasher.hash(text)


def verify(hash: str, text: str) -> bool:
    """Whether `text` is the password of `hash`. False, too, for a hash that is none: nobody logs in with that."""
    try:
        return _hasher.verify(hash, text)
    except (VerificationError, InvalidHashError):
        return False


def dummy_hash() -> str:
    """A hash that no password fits, of the same cost: what is checked where there is nobody."""
    return _hasher.hash(secrets.token_hex(32))
