"""A private Postfix for as long as a block lasts, or a skip by name where none can run."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance


@asynccontextmanager
async def private_postfix(ports: PortReservation) -> AsyncIterator[PostfixInstance]:
    """A Postfix, not yet started. Its mail log must be quiet when the block ends."""
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
