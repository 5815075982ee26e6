"""Files for their owner alone: whole or not there, and over no other unless that is asked for."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.private_file import FileError, put, write


def test_a_file_is_its_owners_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "a", b"one")
    assert [(path.name, stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in tmp_path.iterdir()] == [
        ("a", 0o600, b"one")
    ]


def test_one_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"mine")
    with pytest.raises(FileError, match="is there already and was left as it is; name another file, or say --force"):
        write(target, b"two")
    assert target.read_bytes() == b"mine"
    write(target, b"two", force=True)
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"two", [target])


def test_one_that_appears_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    fresh, target = tmp_path / "fresh", tmp_path / "a"
    fresh.write_bytes(b"two")
    target.write_bytes(b"of somebody quicker")
    with pytest.raises(FileError, match="is there already"):
        put(fresh, target, force=False)
    assert target.read_bytes() == b"of somebody quicker"


def test_where_there_is_no_directory_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no directory; make it, or name another place"):
        write(tmp_path / "no" / "a", b"one")
    assert list(tmp_path.iterdir()) == []
