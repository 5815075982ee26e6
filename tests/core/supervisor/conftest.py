"""A supervisor for each test, stopped after it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.supervisor.serving import Serving


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """Not started yet; the test configures and starts it. What still runs after the test is killed."""
    one = Serving(tmp_path, server="drain_seconds = 5")
    yield one
    if hasattr(one, "process") and one.process.returncode is None:
        os.kill(one.process.pid, signal.SIGKILL)
        await one.process.wait()
