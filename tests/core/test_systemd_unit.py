"""The shipped systemd unit: systemd accepts it, and rates its hardening well."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "contrib/systemd/stellwerk.service"
pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False)


def test_systemd_accepts_it(tmp_path: Path) -> None:
    unit = tmp_path / "stellwerk.service"
    unit.write_text(UNIT.read_text().replace("/opt/stellwerk/bin/stellwerk", "/bin/true"))
    result = analyze("verify", "--man=no", str(unit))
    assert (result.returncode, result.stderr) == (0, "")


def test_its_exposure_is_low() -> None:
    result = analyze("security", "--offline=yes", "--threshold=20", str(UNIT))
    assert result.returncode == 0, result.stdout
    assert "Overall exposure level" in result.stdout
