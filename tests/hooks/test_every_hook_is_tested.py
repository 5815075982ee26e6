"""A hook of `gateway/hookspecs.py` without a test file of its own fails here, and so does a file without a hook."""

from __future__ import annotations

from pathlib import Path

from gateway.hooks.loader import HOOKS

FILES = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {"every_hook_is_tested"}


def test_each_hook_has_its_file_and_each_file_its_hook() -> None:
    assert set(HOOKS) == FILES
