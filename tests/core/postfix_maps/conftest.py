"""The small directory of the directory's own tests."""

from __future__ import annotations

from tests.core.directory.conftest import kept, town

__all__ = ["kept", "town"]
