"""Where the processes of a node leave their numbers for the desk: a locked file for each in `state_dir/metrics`.

A file is reserved at its full size and overwritten in place, so that a full disk does not end the reporting of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.config.models import Config
from gateway.metrics.snapshot import Snapshot

_HEADER = struct.Struct("<II")  # length and CRC-32 of what follows
_RESERVED_BYTES = 131_072
_SUFFIX, _UNFINISHED = ".board", ".new"
_DEAD_KEPT = 8
_TORN_READS = 3


def directory(config: Config) -> Path:
    return config.server.state_dir / "metrics"


class Board:
    """The board of this process. Blocks on the disk, so it is for a thread. OSError when there is no room for it."""

    def __init__(self, folder: Path, instance: str) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        fresh = folder / f"{instance}{_UNFINISHED}"
        self._fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # It gets its name when it is locked: a reader's look must not be in the way.
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._fd, 0, _RESERVED_BYTES)
            fresh.rename(fresh.with_suffix(_SUFFIX))
        except OSError:
            os.close(self._fd)
            fresh.unlink(missing_ok=True)
            raise

    def write(self, snapshot: Snapshot) -> None:
        content = snapshot.to_json().encode()
        os.pwrite(self._fd, _HEADER.pack(len(content), zlib.crc32(content)) + content, 0)

    def close(self) -> None:
        """The file stays: what this process counted goes on to count."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Posted:
    """What was found on one board. `alive`: its process still holds it."""

    snapshot: Snapshot
    alive: bool
    path: Path


def clear_old(folder: Path, boot: str) -> None:
    """Remove the boards of earlier runs of the gateway: its counters begin anew."""
    for path in _boards(folder, _SUFFIX, _UNFINISHED):
        if f"-{boot}-" not in path.name:
            path.unlink(missing_ok=True)


def read_all(folder: Path, boot: str) -> list[Posted]:
    """The boards of this run. Those of the dead are made one when they have become many. Blocks."""
    found = [posted for path in _boards(folder) if f"-{boot}-" in path.name for posted in _read(path)]
    included = {instance for posted in found for instance in posted.snapshot.includes}
    found = [posted for posted in found if posted.snapshot.instance not in included]
    dead = [posted for posted in found if not posted.alive]
    if len(dead) <= _DEAD_KEPT:
        return found
    with contextlib.suppress(OSError):  # no room: they are kept as they are
        return [*(posted for posted in found if posted.alive), _make_one(folder, boot, dead)]
    return found


def _boards(folder: Path, *suffixes: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in (suffixes or (_SUFFIX,)))
    except FileNotFoundError:
        return []


def _read(path: Path) -> Iterator[Posted]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        alive = not _is_free(fd)
        for _ in range(_TORN_READS):
            snapshot = _parsed(os.pread(fd, os.fstat(fd).st_size, 0))
            if snapshot is not None:
                yield Posted(snapshot, alive, path)
                return
    finally:
        os.close(fd)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(content: bytes) -> Snapshot | None:
    """None for a board that was just being written, or was never written on."""
    if len(content) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack_from(content)
    text = content[_HEADER.size : _HEADER.size + length]
    if not length or zlib.crc32(text) != checksum:
        return None
    return Snapshot.from_json(text)


def _make_one(folder: Path, boot: str, dead: list[Posted]) -> Posted:
    """Add up the boards of processes that are gone. Whoever dies in between leaves nothing counted twice."""
    total = Snapshot(f"all-{boot}-gone", "gone")
    for posted in dead:
        total.add(posted.snapshot, gauges=False)
    total.includes = [posted.snapshot.instance for posted in dead if posted.snapshot.instance != total.instance]
    path = folder / f"{total.instance}{_SUFFIX}"
    content = total.to_json().encode()
    fresh = path.with_suffix(_UNFINISHED)
    fresh.write_bytes(_HEADER.pack(len(content), zlib.crc32(content)) + content)
    fresh.replace(path)
    for posted in dead:
        if posted.path != path:
            posted.path.unlink(missing_ok=True)
    return Posted(total, alive=False, path=path)
