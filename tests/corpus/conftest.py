"""Fixtures for the tests with real messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.gateway_process import gateway_process as gateway_process
from tests.integration.ports import PortReservation


@pytest.fixture
def port() -> Iterator[int]:
    """A loopback port for the gateway's listener."""
    ports = PortReservation()
    yield ports.take()
    ports.release()
