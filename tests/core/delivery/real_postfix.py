"""A private Postfix that trusts loopback, as the port does to which mail is handed back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.ports import PortReservation
from tests.integration.postfix.instance import PostfixInstance
from tests.servers import REQUIRE_VARIABLE


@asynccontextmanager
async def trusting_postfix() -> AsyncIterator[PostfixInstance]:
    """Started, with the mailbox anna@example.test; its mail log must be quiet at the end."""
    if os.geteuid() != 0:
        give_up = pytest.fail if os.environ.get(REQUIRE_VARIABLE) else pytest.skip
        give_up("Postfix can be started by root only")
    ports = PortReservation()
    postfix = PostfixInstance(ports.take())
    postfix.write_mailboxes(["anna"])
    postfix.set(smtpd_authorized_xforward_hosts="127.0.0.0/8", inet_protocols="all")
    try:
        await postfix.start()
        yield postfix
        await postfix.stop()
        postfix.assert_quiet_log()
    finally:
        await postfix.stop()
        postfix.remove()
        ports.release()
