"""Who listens on a TCP port of this machine, as far as /proc tells. Nothing here opens a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"  # TCP_LISTEN in the st column of proc_net_tcp(5)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens."""

    process: int
    command: str

    def __str__(self) -> str:
        return f"process {self.process} ({self.command})"


def holders_of(port: int) -> list[Holder]:
    """The processes that listen on `port` on any address; those of other users are seen by root only."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return []
    return [Holder(process, _command(process)) for process in _processes() if inodes & set(_socket_inodes(process))]


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _processes() -> Iterator[int]:
    yield from sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _socket_inodes(process: int) -> Iterator[str]:
    # A process may end, or close a file, at any moment; those of other users cannot be looked at.
    with suppress(OSError):
        for entry in (_PROC / str(process) / "fd").iterdir():
            with suppress(OSError):
                link = str(entry.readlink())
                if link.startswith("socket:["):
                    yield link.removeprefix("socket:[").removesuffix("]")


def _command(process: int) -> str:
    try:
        words = (_PROC / str(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    # A program's arguments may hold anything; this stands in one line of an error.
    return "".join(character if character.isprintable() else " " for character in _text(words))[:60]


def _text(words: list[bytes]) -> str:
    return " ".join(word.decode("utf-8", "replace") for word in words if word)
