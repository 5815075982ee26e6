"""The marker for real servers: a named skip on a developer's machine, a failure where servers are required."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "required", "status", "expected"),
    [
        ("swaks", "", 0, "swaks is not installed; on Debian: apt install swaks\n1 skipped"),
        ("swaks", "1", 1, "swaks is not installed; on Debian: apt install swaks (STELLWERK_REQUIRE_SERVERS is set)"),
        ("sendmail", "", 1, 'server("sendmail"): known are postfix, '),
    ],
)
def test_a_missing_server(tmp_path: Path, name: str, required: str, status: int, expected: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_setup\n")
    (tmp_path / "test_it.py").write_text(f"import pytest\n@pytest.mark.server({name!r})\ndef test_it(): pass\n")
    environment = {"PATH": "", "PYTHONPATH": str(CHECKOUT), "STELLWERK_REQUIRE_SERVERS": required}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-n0"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert expected in result.stdout
    assert result.returncode == status


def test_a_server_in_sbin_is_found_and_run_whatever_the_users_path(tmp_path: Path) -> None:
    program = tmp_path / "sbin" / "stellwerk-test-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho it runs\n")
    program.chmod(0o755)
    (tmp_path / "conftest.py").write_text(
        "from tests import servers\n"
        f"servers.SBIN = ({str(program.parent)!r},)\n"
        "servers.SERVERS = {'one': servers.Server('stellwerk-test-server', 'x')}\n"
        "from tests.conftest import pytest_runtest_setup\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest, subprocess\n"
        "@pytest.mark.server('one')\n"
        "def test_it():\n"
        "    assert subprocess.check_output(['stellwerk-test-server']) == b'it runs\\n'\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "STELLWERK_REQUIRE_SERVERS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, "1 passed" in result.stdout) == (0, True), result.stdout
