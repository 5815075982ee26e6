"""Fixtures of the tests that need a real Postfix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.gateway_process import gateway_process
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.integration.postfix.private import private_postfix

__all__ = ["gateway_process"]


@pytest.fixture
def ports() -> Iterator[PortReservation]:
    """Loopback ports that nobody else takes during the test."""
    reservation = PortReservation()
    yield reservation
    reservation.release()


@pytest.fixture
async def postfix(ports: PortReservation) -> AsyncIterator[PostfixInstance]:
    """A private Postfix, not yet started. Its mail log must be quiet when the test ends."""
    async with private_postfix(ports) as instance:
        yield instance


@pytest.fixture
async def second_postfix(ports: PortReservation) -> AsyncIterator[PostfixInstance]:
    """Another one, for the same test."""
    async with private_postfix(ports) as instance:
        yield instance
