"""The maps as files for Postfix: `key value` lines, each file replaced as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import StellwerkError
from gateway.postfix_maps.answers import MapName

_MODE = 0o644


class MapsNotWritten(StellwerkError):
    """The directory cannot take the files. Those that were written before stay: each is right by itself."""


@dataclass(frozen=True, slots=True)
class WrittenMap:
    """One file. `changed`: whether it says something else than before. `left_out`: keys that no file can hold."""

    name: MapName
    path: Path
    entries: int
    changed: bool
    left_out: tuple[str, ...] = ()


def write_maps(directory: Path, maps: Mapping[MapName, Mapping[str, str]]) -> list[WrittenMap]:
    """Write each map to a file of its name. A file that would say the same is left alone. Raises `MapsNotWritten`."""
    try:
        return [_write(directory / name, name, entries) for name, entries in maps.items()]
    except FileNotFoundError:
        raise MapsNotWritten(f"there is no directory {directory}; create it, or name another") from None
    except OSError as error:
        raise MapsNotWritten(
            f"{error.filename or directory}: {error.strerror}; run it as a user who may write there and read the store"
        ) from None


def _write(path: Path, name: MapName, entries: Mapping[str, str]) -> WrittenMap:
    left_out = tuple(key for key in entries if key.startswith("#"))  # would be a comment, quoted or not
    text = "".join(f"{key} {value}\n" for key, value in entries.items() if key not in left_out).encode()
    written = WrittenMap(name, path, len(entries) - len(left_out), True, left_out)
    if path.exists() and path.read_bytes() == text:
        return replace(written, changed=False)
    descriptor, draft = tempfile.mkstemp(prefix=f".{name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, _MODE)  # daemons of Postfix open maps after they have given up root
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return written
