"""The archive: whole or not at all, private, and nothing is taken from one that is not what it says."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.backup import archive
from gateway.backup.manifest import BackupError, Manifest, Snapshot
from tests.core.backup.backups import silent

SNAPSHOT = Snapshot({"core": "core_0001"}, 2)
MANIFEST = Manifest(
    "sqlite", 1_800_000_000.0, "0.1.0", "SQLite 3", "gw.example.test", Snapshot({"core": "core_0001"}, 2)
)
CONTENT = {"database.sqlite3": b"rows" * 100_000, "secret": b"s" * 64}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return written(tmp_path)


def written(directory: Path, name: str = "backup.tar", *, force: bool = False) -> Path:
    work = directory / "work"
    work.mkdir(exist_ok=True)
    for file in work.iterdir():
        file.unlink()
    files = {}
    for part, content in CONTENT.items():
        files[part] = work / part
        files[part].write_bytes(content)
    archive.write(directory / name, work, MANIFEST, files, force=force)
    return directory / name


def extracted(source: Path) -> dict[str, bytes]:
    target = source.with_name("target")
    target.mkdir()
    archive.extract(source, target, silent)
    return {path.name: path.read_bytes() for path in target.iterdir()}


def rewrite(source: Path, change: Callable[[list[tuple[str, bytes]]], None]) -> None:
    """Let `change` alter the list of (name, content)."""
    with tarfile.open(source) as old:
        members = [(one.name, file.read()) for one in old if (file := old.extractfile(one)) is not None]
    change(members)
    with tarfile.open(source, "w") as new:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))


def change_manifest(**keys: Any) -> Callable[[list[tuple[str, bytes]]], None]:
    def change(members: list[tuple[str, bytes]]) -> None:
        members[0] = (members[0][0], json.dumps(json.loads(members[0][1]) | keys).encode())

    return change


def test_what_goes_in_comes_out(backup: Path) -> None:
    assert extracted(backup) == CONTENT
    found = archive.read_manifest(backup)
    assert (found.snapshot, found.made_at, found.database) == (MANIFEST.snapshot, MANIFEST.made_at, "sqlite")
    assert [file.name for file in found.files] == list(CONTENT)


def test_nobody_else_may_read_it(backup: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with tarfile.open(backup) as members:
        assert {one.mode for one in members} == {0o600}


def test_a_compressed_one_is_read_as_well(backup: Path) -> None:
    backup.write_bytes(gzip.compress(backup.read_bytes()))
    assert extracted(backup) == CONTENT


def test_what_is_there_is_overwritten_only_by_force(backup: Path) -> None:
    backup.write_bytes(b"precious")
    with pytest.raises(BackupError, match=r"is there already and was left as it is; .*--force"):
        written(backup.parent)
    assert backup.read_bytes() == b"precious"
    written(backup.parent, force=True)
    assert extracted(backup) == CONTENT


def flip(members: list[tuple[str, bytes]]) -> None:
    name, content = members[1]
    members[1] = (name, b"R" + content[1:])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flip, r"is damaged: database\.sqlite3 is not what was backed up"),
        (lambda members: members.__setitem__(1, (members[1][0], members[1][1][:-1])), "is damaged"),
        (lambda members: members.pop(), "is not complete: secret is missing"),
        (lambda members: members.append(("../../evil", b"x")), "holds '../../evil', which its manifest"),
        (lambda members: members.append(members[1]), "holds 'database.sqlite3', which"),
        (lambda members: members.reverse(), "does not begin with manifest.json"),
        (change_manifest(format=2, version="9.1"), "has the format 2, this version reads up to 1; .*Stellwerk 9.1"),
        (change_manifest(database="oracle"), "names no database"),
        (change_manifest(files=[]), "names no database"),
        (change_manifest(snapshot=None), "manifest.json cannot be read"),
        (change_manifest(files=7), "manifest.json cannot be read"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    backup: Path, change: Callable[[list[tuple[str, bytes]]], None], expected: str
) -> None:
    rewrite(backup, change)
    with pytest.raises(BackupError, match=expected):
        extracted(backup)
    assert not (backup.parent.parent / "evil").exists()


@pytest.mark.parametrize("part", [0, 10, 700, 5_000, 399_000])
def test_a_part_of_a_backup_is_refused(backup: Path, part: int) -> None:
    backup.write_bytes(backup.read_bytes()[:part])
    with pytest.raises(BackupError, match=r"is no backup|only a part"):
        extracted(backup)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "stellwerk.toml"
    other.write_text("plugins = []\n")
    with pytest.raises(BackupError, match="is no backup"):
        archive.read_manifest(other)
