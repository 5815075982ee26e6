"""A small directory for tests of its commands, made by commands: see `make_town`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.cli.in_process import config_file, run
from tests.core.cli.running import Ran
from tests.core.directory.conftest import make_town as fill
from tests.databases import MadeOnce

Stellwerk = Callable[..., Ran]


def make_town(directory: Path, made_once: MadeOnce, tables: str = "") -> Path:
    """The configuration of an installation that holds the directory of tests/core/directory/conftest.py."""
    made_once.put("town", f"sqlite:///{directory}/test.db", fill)
    return config_file(directory, tables=tables)


def caller(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stellwerk:
    """`stellwerk ARGUMENTS --config CONFIG` in this process."""
    return lambda *arguments: run(capsys, monkeypatch, *arguments, "--config", str(config))
