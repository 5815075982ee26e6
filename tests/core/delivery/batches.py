"""Batches and next hops for the tests of delivery; no fixtures, nothing of the code under test."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.delivery.smtp_client import SmtpNextHop
from gateway.delivery.transport import Batch, Copy
from gateway.mail.address import Address
from gateway.mail.body import Body, FileBody, MemoryBody
from gateway.mail.edits import NO_EDITS
from gateway.testing.sink import Sink

ANNA = Address("anna", "example.test")
BO = Address("bo", "example.test")
CLEO = Address("cleo", "example.test")
SENDER = Address("sender", "example.com")
MESSAGE = b"From: sender@example.com\r\nSubject: hello\r\n\r\nFirst line\r\n.dot\r\n"


def batch(data: bytes | Body = MESSAGE, *to: Address, **more: Any) -> Batch:
    """A batch for `to` (anna alone when nobody is named)."""
    body = data if isinstance(data, Body) else MemoryBody(data)
    settings: dict[str, Any] = {
        "sender": SENDER,
        "copies": tuple(Copy(address) for address in to or (ANNA,)),
        "edits": NO_EDITS,
        "body": body,
    }
    return Batch(**{**settings, **more})


def spilled(data: bytes, *, is_plain: bool = False) -> FileBody:
    """A body in an unlinked file, as a large message has it."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return FileBody(os.dup(file.fileno()), len(data), b"", is_plain=is_plain)


def soon(seconds: float = 30.0) -> float:
    """A deadline that no healthy test reaches."""
    return asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def next_hop(sink: Sink | str, **settings: Any) -> AsyncIterator[SmtpNextHop]:
    """A client of `sink` (or of an address), closed at the end."""
    address = sink if isinstance(sink, str) else sink.address
    if isinstance(sink, Sink):
        settings.setdefault("protocol", sink.protocol)
    hop = SmtpNextHop("hop", address, helo_name="gw.example.test", **settings)
    try:
        yield hop
    finally:
        await hop.close()
