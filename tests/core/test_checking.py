"""What a worker's user must be able to write: said in one line with the command that helps."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from gateway.checking import check_store_files
from gateway.rights import cannot_write
from tests.core.as_nobody import as_nobody, let_everybody_into

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes users, so it needs root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that everybody may enter."""
    let_everybody_into(tmp_path)
    return tmp_path


def test_rights_along_a_path(place: Path) -> None:
    (place / "closed/inner").mkdir(parents=True)
    (place / "closed").chmod(0o700)
    (place / "file").write_text("")
    (place / "file").chmod(0o600)
    assert as_nobody(lambda: cannot_write(place / "closed")) == (
        f"user nobody cannot write to {place}/closed (root:root 0700); run: chown -R nobody {place}/closed"
    )
    assert as_nobody(lambda: cannot_write(place / "file")) == (
        f"user nobody cannot write to {place}/file (root:root 0600); run: chown nobody {place}/file"
    )
    assert as_nobody(lambda: cannot_write(place / "closed/inner")).startswith(
        f"user nobody cannot enter {place}/closed (root:root 0700); run: chmod a+x {place}/closed"
    )
    assert as_nobody(lambda: cannot_write(place / "new/er")) == (
        f"user nobody cannot create {place}/new/er in {place} (root:root 0755); "
        f"run as root: install -d -m 700 -o nobody {place}/new/er"
    )
    assert as_nobody(lambda: cannot_write(place / "file/below")) == (
        f"{place}/file is no directory; move away what stands there, or use another place"
    )
    assert cannot_write(place / "closed/inner/new") is None
    assert not (place / "closed/inner/new").exists()


def test_a_database_of_somebody_else(place: Path) -> None:
    path = place / "store.db"
    path.write_text("")
    path.chmod(0o600)
    place.chmod(0o777)
    url = f"sqlite:///{path}"
    expected = f"{path} belongs to root, workers run as nobody: chown nobody {path}*"
    assert as_nobody(lambda: check_store_files(url)) == expected
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    assert as_nobody(lambda: check_store_files(url)) == ""
    (place / "store.db.lock").touch(0o600)
    assert as_nobody(lambda: check_store_files(url)).startswith(f"{path}.lock belongs to root")
