"""The archive: one tar file that appears whole or not at all, and is checked before anything is taken from it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from gateway.backup.manifest import DATABASES, MANIFEST, SECRET, BackupError, File, Manifest
from gateway.private_file import FileError, put

Progress = Callable[[str, int, int], None]
"""Told what is done, and how much of how much; a total of 0 is not known."""

_PIECE = 1 << 20
_LARGEST_MANIFEST = 1 << 20
_KNOWN = frozenset({SECRET, *DATABASES.values()})


def write(target: Path, work: Path, manifest: Manifest, files: Mapping[str, Path], *, force: bool) -> Manifest:
    """Write `target` from `files` (path by name) and the manifest, which is given back with the files in it.

    `work` is a directory on the same file system. Without `force` an existing target is left as it is. Raises
    `BackupError`, OSError.
    """
    listed = tuple(_listed(name, path) for name, path in files.items())
    complete = replace(manifest, files=listed)
    fresh = work / "archive"
    with _private(fresh) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            text = json.dumps(complete.to_json(), indent=2).encode() + b"\n"
            archive.addfile(_member(MANIFEST, len(text), manifest.made_at), io.BytesIO(text))
            for one in listed:
                with files[one.name].open("rb") as content:
                    archive.addfile(_member(one.name, one.size, manifest.made_at), content)
        file.flush()
        os.fsync(file.fileno())
    try:
        put(fresh, target, force=force)
    except FileError as error:
        raise BackupError(str(error)) from None
    return complete


def read_manifest(source: Path) -> Manifest:
    """Raises `BackupError` when this is no backup, OSError when it cannot be read."""
    with _opened(source) as archive:
        return _manifest(archive, source)


def extract(source: Path, directory: Path, progress: Progress) -> Manifest:
    """Put the archive's files into `directory`, each checked against the manifest. Raises `BackupError`, OSError."""
    with _opened(source) as archive:
        manifest = _manifest(archive, source)
        total = sum(file.size for file in manifest.files)
        done = 0
        found: set[str] = set()
        while (member := archive.next()) is not None:
            expected = manifest.file(member.name)
            if expected is None or member.name not in _KNOWN or member.name in found or not member.isfile():
                raise BackupError(f"{source} holds {member.name!r}, which its {MANIFEST} does not name; do not use it")
            content = archive.extractfile(member)
            assert content is not None
            found.add(member.name)
            digest = hashlib.sha256()
            size = 0
            with _private(directory / member.name) as out:
                while piece := content.read(_PIECE):
                    out.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    progress("reading", done + size, total)
            done += size
            if size != expected.size or digest.hexdigest() != expected.sha256:
                raise BackupError(
                    f"{source} is damaged: {member.name} is not what was backed up (checksum or size differ); "
                    "take another backup"
                )
        if missing := {file.name for file in manifest.files} - found:
            raise BackupError(f"{source} is not complete: {', '.join(sorted(missing))} is missing; take another backup")
        return manifest


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r|*") as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(f"{source} is no backup, or only a part of one ({error}); take another file") from None


def _manifest(archive: tarfile.TarFile, source: Path) -> Manifest:
    first = archive.next()
    content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
    if content is None:
        raise BackupError(f"{source} is no backup of `stellwerk backup`: it does not begin with {MANIFEST}")
    return Manifest.read(content.read(_LARGEST_MANIFEST), str(source))


def _listed(name: str, path: Path) -> File:
    with path.open("rb") as file:
        return File(name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _member(name: str, size: int, made_at: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    member.mtime = int(made_at)
    return member


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
