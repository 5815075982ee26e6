"""The digest that tells the journal whether two transactions bring the same message. Nothing is parsed beyond that."""

from __future__ import annotations

import hashlib
import re

MAX_LOOKED_AT = 64 * 1024
"""Octets in which the topmost Received field must end to be left out."""
_KEPT_LOCK = 2047
"""Octets that hashlib hashes without giving the interpreter lock away (HASHLIB_GIL_MINSIZE in CPython)."""
_SMALL = 32 * 1024
_RECEIVED = re.compile(rb"(?:\A|\r\n)(received[ \t]*:)", re.IGNORECASE)
_END_OF_FIELD = re.compile(rb"\r\n(?![ \t])")
_END_OF_HEADER = re.compile(rb"\A\r\n|\r\n\r\n")


def sha256_of(data: bytes) -> bytes:
    """SHA-256 of a whole message. A small one is hashed sooner than the interpreter lock is got back from a thread."""
    if not _KEPT_LOCK < len(data) <= _SMALL:
        return hashlib.sha256(data).digest()
    digest = hashlib.sha256(data[:_KEPT_LOCK])
    for start in range(_KEPT_LOCK, len(data), _KEPT_LOCK):
        digest.update(data[start : start + _KEPT_LOCK])
    return digest.digest()


class ContentDigest:
    """SHA-256 of a message that comes in pieces.

    With `skip_received` without its topmost Received field: a Postfix in front of its queue writes a new one, with the
    second of this attempt, at each retry of the same message (measured). Fields above it count: who prepends what
    differs between two messages must not make them one.
    """

    __slots__ = ("_head", "_sha256")

    def __init__(self, *, skip_received: bool = False) -> None:
        self._sha256 = hashlib.sha256()
        self._head = bytearray() if skip_received else None

    def update(self, piece: bytes) -> None:
        if self._head is None:
            self._sha256.update(piece)
            return
        self._head += piece
        span = _received_span(self._head)
        if span is not None:
            self._leave_out(*span)
        elif len(self._head) > MAX_LOOKED_AT or _END_OF_HEADER.search(self._head):
            self._leave_out(0, 0)

    def digest(self) -> bytes:
        """Of what has come; nothing may come after it."""
        if self._head is not None:
            self._leave_out(0, 0)
        return self._sha256.digest()

    def _leave_out(self, start: int, end: int) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._sha256.update(head[:start])
            self._sha256.update(head[end:])


def _received_span(head: bytearray) -> tuple[int, int] | None:
    """Where the topmost Received field of the header begins and ends; None while that is not known."""
    found = _RECEIVED.search(head)
    if found is None:
        return None
    above = _END_OF_HEADER.search(head, 0, found.start(1))
    if above is not None:
        return None
    end = _END_OF_FIELD.search(head, found.end())
    # What stands behind the line end decides whether the field goes on.
    known = end is not None and end.end() < len(head) and end.end() <= MAX_LOOKED_AT
    return (found.start(1), end.end()) if end is not None and known else None
