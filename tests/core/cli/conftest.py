"""A customer's claim with its DNS, for tests of the commands about domains."""

from __future__ import annotations

from tests.core.cli.customer import customer

__all__ = ["customer"]
