"""Netstrings, the frames of Postfix's socketmap protocol: `5:hello,`. Nothing here knows what is in them."""

from __future__ import annotations

import asyncio
import re

_LENGTH = re.compile(rb"(?:0|[1-9][0-9]{0,8}):?")


class NetstringError(ValueError):
    """What came is no netstring, or too long: where the next one begins cannot be known."""


async def read_netstring(reader: asyncio.StreamReader, max_bytes: int) -> bytes | None:
    """The next one; None at an orderly end of the connection. Raises `NetstringError`."""
    head = b""
    while not head.endswith(b":"):
        octet = await reader.read(1)
        if not octet and not head:
            return None
        if not octet:
            raise NetstringError("the connection ends within a length")
        head += octet
        # With the first octet that is wrong: who speaks something else may wait for our answer now.
        if not _LENGTH.fullmatch(head):
            raise NetstringError(f"{head!r} is no length")
    length = int(head[:-1])
    if length > max_bytes:
        raise NetstringError(f"{length} bytes, and at most {max_bytes} are read")
    try:
        body = await reader.readexactly(length + 1)
    except asyncio.IncompleteReadError:
        raise NetstringError("the connection ends within a request") from None
    if body[-1:] != b",":
        raise NetstringError("no comma behind a request")
    return body[:-1]


def netstring(data: bytes) -> bytes:
    return b"%d:%b," % (len(data), data)
