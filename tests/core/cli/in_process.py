"""The command `stellwerk` inside the test's own process: exit status, standard output, standard error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.core.cli.running import Ran
from tests.core.gateways import CONFIG
from tests.databases import url_of


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ran:
    """`stellwerk ARGUMENTS`. Not for a test that has a running loop."""
    monkeypatch.setattr(sys, "argv", ["stellwerk", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    status = ended.value.code
    return Ran(status if isinstance(status, int) else 0, printed.out, printed.err)


def config_file(directory: Path, *plugins: str, tables: str = "") -> Path:
    """A configuration file for `directory`; nothing else is there yet."""
    names = ", ".join(f'"{name}"' for name in plugins)
    file = directory / "stellwerk.toml"
    file.write_text(
        CONFIG.format(plugins=names, directory=directory, url=url_of(directory), tables=tables, deadline=30.0)
    )
    return file
