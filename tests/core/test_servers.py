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
