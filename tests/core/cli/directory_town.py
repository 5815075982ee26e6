"""A small directory for tests of its commands, made by commands: see `make_town`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.directory.change import carry_out
from gateway.store.store import Store
from gateway.store.upgrade import CORE, upgrade
from tests.core.cli.in_process import config_file, run
from tests.core.cli.running import Ran
from tests.core.directory.conftest import OPERATOR, TOWN

Stellwerk = Callable[..., Ran]


def make_town(directory: Path, tables: str = "") -> Path:
    """The configuration of an installation that holds the directory of tests/core/directory/conftest.py."""
    url = f"sqlite:///{directory}/test.db"
    upgrade(url, [CORE])

    async def fill() -> None:
        store = Store.open(url)
        for command in TOWN:
            await carry_out(store, OPERATOR, command, time.time)
        await asyncio.to_thread(store.close)

    asyncio.run(fill())
    return config_file(directory, tables=tables)


def caller(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stellwerk:
    """`stellwerk ARGUMENTS --config CONFIG` in this process."""
    return lambda *arguments: run(capsys, monkeypatch, *arguments, "--config", str(config))
