"""Fixtures of the tests that need a real Postfix."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from gateway.postfix_recipes.after_queue_lmtp import STANDARD_MAX_MESSAGE_BYTES, AfterQueueLmtp, Aliases, render
from tests.integration.gateway_process import StartGateway, gateway_process
from tests.integration.ports import PortReservation
from tests.integration.postfix.behind_queue import BehindQueue, StartBehindQueue, gateway_config, parts, printed_recipe
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


@pytest.fixture
def behind_queue(postfix: PostfixInstance, ports: PortReservation, gateway_process: StartGateway) -> StartBehindQueue:
    """Start the gateway, and Postfix in front of it with exactly the lines that the command prints for that gateway.

    `mailboxes` exist on both sides, `postfix_only` are unknown to the gateway. `change_main_cf` and `change_config`
    edit the printed parts, for the few tests of what happens without a line of them.
    """

    async def start(
        mailboxes: Sequence[str],
        *,
        postfix_only: Sequence[str] = (),
        aliases_in: Aliases = "stellwerk",
        change_main_cf: Callable[[str], str] = str,
        change_config: Callable[[str], str] = str,
        max_message_bytes: int = STANDARD_MAX_MESSAGE_BYTES,
    ) -> BehindQueue:
        wanted = AfterQueueLmtp(
            lmtp=f"127.0.0.1:{ports.take()}",
            reinjection=f"127.0.0.1:{ports.take()}",
            max_message_bytes=max_message_bytes,
            aliases=aliases_in,
        )
        gateway = await gateway_process(change_config(gateway_config(render(wanted), mailboxes)))
        printed = parts(await printed_recipe(gateway, aliases_in))
        postfix.write_mailboxes([*mailboxes, *postfix_only])
        postfix.append(main_cf=change_main_cf(printed["main.cf"]), master_cf=printed["master.cf"])
        await postfix.start()
        return BehindQueue(postfix, gateway)

    return start


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
