"""The directory's own town, for tests of claims in it."""

from __future__ import annotations

from tests.core.directory.conftest import kept, town

__all__ = ["kept", "town"]
