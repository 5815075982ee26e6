"""A PostgreSQL that keeps what it acknowledged, to be restarted at will."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway_process import gateway_process
from tests.postgresql import PostgresqlServer

__all__ = ["gateway_process"]


@pytest.fixture
def durable_postgresql() -> Iterator[PostgresqlServer]:
    """A server of this test's own, with fsync as in the field."""
    server = PostgresqlServer(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()
