"""The bytes of a batch as they go out, piece by piece, from memory or from the spool. No sockets in here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from gateway.delivery.transport import Batch
from gateway.delivery.wire import Data
from gateway.mail.body import CHUNK, MemoryBody

_Read = TypeVar("_Read")


class Encoder(Protocol):
    """What `DataEncoder` and `ChunkEncoder` have in common; they raise `UnsafeContent`."""

    def piece(self, data: Data) -> Data: ...

    def plain(self, data: Data) -> Data: ...


def fits_one_write(batch: Batch) -> bool:
    """Whether all of it is in memory, and little enough to be written at once."""
    return isinstance(batch.body, MemoryBody) and len(batch.body) <= CHUNK


def whole(batch: Batch, encoder: Encoder) -> tuple[Data, Data]:
    """All of a batch that fits one write, encoded but not ended: what was edited, and the rest."""
    body = batch.body
    edited, position = batch.edits.beginning(body)
    encode = encoder.plain if position == 0 and body.is_plain else encoder.piece
    return encoder.piece(edited), encode(body.read(position, CHUNK))


class Pieces:
    """Reads a batch of any length; each piece comes encoded. Reads on `disk` what is not in memory already."""

    def __init__(self, batch: Batch, encoder: Encoder, disk: Executor) -> None:
        self._batch = batch
        self._encoder = encoder
        self._disk = disk
        self._encode = encoder.piece
        self._position = 0

    async def first(self) -> Data:
        """What stands before the untouched rest of the body: lines put in front, and the header where it was edited."""
        body, edits = self._batch.body, self._batch.edits
        edited, self._position = (
            await self._in_thread(edits.beginning, body) if edits.splices else edits.beginning(body)
        )
        if self._position == 0 and body.is_plain:
            self._encode = self._encoder.plain
        return self._encoder.piece(edited)

    async def following(self) -> Data | None:
        """At most 256 KiB before encoding; None after the end. Raises OSError."""
        body, position = self._batch.body, self._position
        if position >= len(body):
            return None
        data = body.read_at_once(position, position + CHUNK)
        if data is None:
            data = await self._in_thread(body.read, position, position + CHUNK)
        if not data:
            raise OSError("the file is shorter than the message")
        self._position += len(data)
        return self._encode(data)

    async def _in_thread(self, read: Callable[..., _Read], *arguments: object) -> _Read:
        return await asyncio.get_running_loop().run_in_executor(self._disk, read, *arguments)
