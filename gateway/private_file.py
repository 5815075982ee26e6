"""Files with what only their owner may read: they appear whole or not at all, and replace none unless told to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gateway.errors import StellwerkError


class FileError(StellwerkError):
    """The file was not written."""


def write(target: Path, content: bytes, *, force: bool = False) -> None:
    """Make `target` (mode 0600). Without `force` an existing one is left as it is. Raises `FileError`, OSError."""
    must_be_free(target, force=force)
    if not target.parent.is_dir():
        raise FileError(f"{target.parent} is no directory; make it, or name another place")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as directory:
        fresh = Path(directory) / "fresh"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        put(fresh, target, force=force)


def must_be_free(target: Path, *, force: bool) -> None:
    """Before the work is done. Raises `FileError`."""
    if not force and target.exists():
        raise FileError(already_there(target))


def put(fresh: Path, target: Path, *, force: bool) -> None:
    """Give the finished file `fresh`, of the same file system, the name `target`. Raises `FileError`, OSError."""
    if force:
        fresh.replace(target)
    else:
        try:
            target.hardlink_to(fresh)
        except FileExistsError:
            raise FileError(already_there(target)) from None
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def already_there(target: Path) -> str:
    return f"{target} is there already and was left as it is; name another file, or say --force"
