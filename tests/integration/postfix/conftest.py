"""Fixtures of the tests that need a real Postfix."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from tests.integration.gateway_process import gateway_process
from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance

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
    async with _private_postfix(ports) as instance:
        yield instance


@pytest.fixture
async def second_postfix(ports: PortReservation) -> AsyncIterator[PostfixInstance]:
    """Another one, for the same test."""
    async with _private_postfix(ports) as instance:
        yield instance


@asynccontextmanager
async def _private_postfix(ports: PortReservation) -> AsyncIterator[PostfixInstance]:
    if missing := [name for name in ("postfix", "swaks", "smtp-source") if shutil.which(name) is None]:
        _unavailable(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        _unavailable("Postfix can be started by root only")
    instance = PostfixInstance(ports.take())
    try:
        yield instance
        await instance.stop()
        instance.assert_quiet_log()
    finally:
        await instance.stop()
        instance.remove()


def _unavailable(reason: str) -> NoReturn:
    """Skip by name; where the servers are required, as in continuous integration, fail."""
    if os.environ.get("STELLWERK_REQUIRE_SERVERS"):
        pytest.fail(reason)
    pytest.skip(reason)
