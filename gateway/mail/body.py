"""The bytes of a message as they came in: kept once, read in pieces, never copied whole.

A small body lives in memory; a large one in an unlinked temporary file read by `pread` (not mmap: its pages count as
memory of the process, and slicing it copies).
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from gateway.errors import SpoolUnavailable
from gateway.mail.digest import ContentDigest, sha256_of
from gateway.mail.spool import NO_SPACE, spool_problem

CHUNK = 256 * 1024
MAX_HEADER_BLOCK = 1024 * 1024
_END_OF_HEADER = b"\r\n\r\n"


class Body(ABC):
    """A finished message body, read only: plugins share it. Subclasses differ in where the bytes are."""

    sha256: bytes
    """Digest of all its bytes; on a `proxy` listener without the topmost Received field (`ContentDigest`)."""
    is_plain: bool = False
    """Known to be nothing but lines ended by CR LF, without NUL, none beginning with a dot: it can follow DATA as is.

    Said by the decoder that looked at every octet, and by nobody else. False promises nothing.
    """

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a message's body is read only: {name} cannot be set")

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (exclusive, clamped to the length)."""

    def read_at_once(self, start: int, end: int) -> bytes | bytearray | None:
        """For an event loop: as much of `read` as needs no waiting for a disk. None where that is nothing, or fails."""
        return self.read(start, end)

    def chunks(self, size: int = CHUNK, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start` on, in pieces of at most `size`."""
        for position in range(start, len(self), size):
            yield self.read(position, position + size)

    @cached_property
    def header_block(self) -> bytes:
        """The header section with its final line end, without the empty line (RFC 5322 2.1).

        A body without an empty line is all header; at most `MAX_HEADER_BLOCK` bytes are looked at, and a longer header
        counts as none: see `header_is_too_long`.
        """
        if self.read(0, 2) == b"\r\n":
            return b""
        end = self.find(_END_OF_HEADER, 0, MAX_HEADER_BLOCK)
        if end >= 0:
            return self.read(0, end + 2)
        return self.read(0, len(self)) if len(self) <= MAX_HEADER_BLOCK else b""

    @property
    def header_is_too_long(self) -> bool:
        """Whether there is a header section that was not looked at, since it exceeds `MAX_HEADER_BLOCK`."""
        return not self.header_block and len(self) > MAX_HEADER_BLOCK and self.read(0, 2) != b"\r\n"

    def find(self, needle: bytes, start: int = 0, end: int | None = None) -> int:
        """The position of the first `needle` that lies within `start`..`end`, or -1."""
        limit = len(self) if end is None else min(end, len(self))
        overlap = len(needle) - 1
        position = start
        while position < limit:
            block = self.read(position, min(position + CHUNK, limit))
            found = block.find(needle)
            if found >= 0:
                return position + found
            if position + len(block) >= limit:
                break
            position += len(block) - overlap
        return -1


class MemoryBody(Body):
    """A body held as one bytes object."""

    _data: bytes

    def __init__(self, data: bytes, sha256: bytes | None = None, *, is_plain: bool = False) -> None:
        vars(self).update(
            _data=data,
            is_plain=is_plain,
            sha256=sha256_of(data) if sha256 is None else sha256,
        )

    def __len__(self) -> int:
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        if start == 0 and end >= len(self._data):
            return self._data
        return self._data[start:end]

    def find(self, needle: bytes, start: int = 0, end: int | None = None) -> int:
        return self._data.find(needle, start, len(self._data) if end is None else end)


class FileBody(Body):
    """A body in a file that only this object's descriptor still reaches; the storage goes back with the object."""

    _descriptor: int
    _length: int

    def __init__(self, descriptor: int, length: int, sha256: bytes, *, is_plain: bool = False) -> None:
        vars(self).update(_descriptor=descriptor, _length=length, sha256=sha256, is_plain=is_plain)

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, end: int) -> bytes:
        return os.pread(self._descriptor, max(0, min(end, self._length) - start), start)

    def read_at_once(self, start: int, end: int) -> bytes | bytearray | None:
        data = bytearray(max(0, min(end, self._length) - start))
        try:
            found = os.preadv(self._descriptor, [data], start, os.RWF_NOWAIT)
        except OSError:  # not in the page cache, or a file system that cannot tell: `read` knows
            return None
        del data[found:]
        return data or None

    def __del__(self) -> None:
        os.close(self._descriptor)


class BodyWriter:
    """Collects a body while it arrives and hashes it on the way; above `spill_bytes` it goes to a file in `spool`.

    `skip_received`: leave the topmost Received field out of the digest.
    `write` and `finish` may touch the disk once `spilled` is true: call them from a worker thread then. They raise
    `SpoolUnavailable` when the disk does not take the bytes; after `discard` or an error nothing is left behind.
    """

    def __init__(self, spool: Path, spill_bytes: int, *, skip_received: bool = False) -> None:
        self._spool = spool
        self._spill_bytes = spill_bytes
        self._skip_received = skip_received
        self._parts: list[bytes] = []
        self._hash: ContentDigest  # of what is in the file
        self._descriptor = -1
        self.length = 0

    @property
    def spilled(self) -> bool:
        """True once writing reaches the disk."""
        return self._descriptor >= 0

    def will_spill(self, more: int) -> bool:
        """Whether writing `more` bytes would touch the disk."""
        return self.spilled or self.length + more > self._spill_bytes

    def write(self, block: bytes) -> None:
        spill = self.will_spill(len(block))
        self.length += len(block)
        self._parts.append(block)
        if not spill:
            return
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._spool, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
                self._hash = ContentDigest(skip_received=self._skip_received)
            for part in self._parts:
                self._hash.update(part)
                _write_all(self._descriptor, part)
            self._parts.clear()
        except OSError as error:
            self.discard()
            raise SpoolUnavailable(spool_problem(self._spool, error), is_full=error.errno in NO_SPACE) from error

    def finish(self, *, is_plain: bool = False) -> Body:
        """The body; `is_plain` as whoever decoded it says."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            return FileBody(descriptor, self.length, self._hash.digest(), is_plain=is_plain)
        parts, self._parts = self._parts, []
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return MemoryBody(data, _without_received(data) if self._skip_received else None, is_plain=is_plain)

    def discard(self) -> None:
        self._parts.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _without_received(data: bytes) -> bytes:
    digest = ContentDigest(skip_received=True)
    digest.update(data)
    return digest.digest()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
