"""The recipe after-queue-lmtp in a real Postfix."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.postfix_recipes.after_queue_lmtp import AfterQueueLmtp
from tests.integration.ports import reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests, is_turned_off, on_free_ports
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair, recipe_pair

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["stellwerk", "postfix"])
async def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecipePair]:
    """Every printed variant: aliases in Stellwerk, and in Postfix."""
    options = ("--aliases", request.param)
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix:
            wanted = on_free_ports(AfterQueueLmtp, ports, request.param)
            directory = tmp_path_factory.mktemp("gateway")
            async with recipe_pair(directory, ports, postfix, wanted, options) as running:
                yield running


class TestAfterQueueLmtp(AfterQueueTests):
    """What every recipe behind the queue must do."""


async def test_off(pair: RecipePair) -> None:
    await is_turned_off(pair)
