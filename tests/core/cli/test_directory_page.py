"""The commands on docs/admin/directory.md work, in the order in which they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.core.cli.directory_town import caller
from tests.core.cli.in_process import config_file

PAGE = Path(__file__).parents[3] / "docs" / "admin" / "directory.md"


def test_every_command_on_the_page_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = re.findall(r"^    stellwerk (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) > 25
    monkeypatch.chdir(tmp_path)
    stellwerk = caller(config_file(tmp_path), capsys, monkeypatch)
    # Two are meant to fail: somebody who has left still owns a mailbox, and everybody of the file is there already.
    expected = {"directory audit --person bo@acme.test": 1, "user import people.csv --dry-run": 1}
    for command in commands:
        ran = stellwerk(*shlex.split(command))
        assert (command, ran.status, ran.errors if command not in expected else "") == (
            command,
            expected.get(command, 0),
            "",
        )
