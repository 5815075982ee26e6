"""What a test wants to be read stands at the end of the run, however many processes the tests run in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_a_summary_is_printed_although_the_test_passes(tmp_path: Path, processes: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_it.py").write_text(
        "from tests.conftest import SUMMARY\n"
        "def test_it(record_property): record_property(SUMMARY, 'corpus: 2 messages, 1 refused: x: a bare CR')\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", processes],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines().count("corpus: 2 messages, 1 refused: x: a bare CR") == 1, result.stdout
