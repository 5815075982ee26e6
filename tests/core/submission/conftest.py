"""The directory of tests/core/directory, for people who send."""

from __future__ import annotations

from tests.core.directory.conftest import kept, town

__all__ = ["kept", "town"]
