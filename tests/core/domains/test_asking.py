"""The scheduler with the gateway's own checks, on DNS that a real server answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.domains.announcing import Announcer
from gateway.domains.asking import DnsChecker
from gateway.domains.facts import DAY, HOUR
from gateway.domains.notices import Notices
from gateway.domains.probing import Probing
from gateway.domains.scheduler import Scheduler
from gateway.hooks.runner import Runner
from gateway.testing.dns_server import DnsServer
from tests.core.directory.conftest import Kept
from tests.core.domains.claiming import NAME, claimed, row, state
from tests.core.domains.installation import installation
from tests.core.domains.small_checker import SmallChecker
from tests.core.domains.test_scheduler import NAMES, World


@pytest.fixture
async def here(kept: Kept, tmp_path: Path) -> AsyncIterator[World]:
    """One server is the resolver and the servers of every zone."""
    async with DnsServer([("mx1.gateway.test", "A", "192.0.2.25", 60)]) as server:
        probing = Probing(
            nameservers=(server.address,),
            authorities={NAME: [server.address]},
            treat_as_public=(ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")),
            try_seconds=6.0,
            lookup_seconds=7.0,
        )
        checker = DnsChecker(replace(probing, clock=lambda: kept.now))
        notices = Notices(installation(tmp_path))
        announcer = Announcer(kept.store, Runner({}), notices, lambda: 0)
        scheduler = Scheduler(kept.store, checker, NAMES, notices, announcer, lambda: kept.now)
        small = SmallChecker(server.address, lambda: kept.now)
        yield World(kept, server, small, scheduler, notices)
        await small.resolver.close()


async def test_a_domain_is_proven_lost_and_not_lost_by_a_resolver_that_fails(here: World) -> None:
    kept = here.kept
    await claimed(kept, "acme")
    await here.pass_time(60, every=30)
    assert await state(kept, "acme") == "pending"
    await here.publish()
    await here.pass_time(HOUR, every=60)
    assert await state(kept, "acme") == "active"
    here.server.replace_behaviour({"*/*": "REFUSED"})
    await here.pass_time(10 * DAY)
    assert await state(kept, "acme") == "active"
    here.server.replace_behaviour({})
    await here.publish(token=False)
    await here.pass_time(5 * DAY)
    assert await state(kept, "acme") == "grace"
    seen = await here.letters()
    assert seen[-1][1] == f"{NAME}: your key is gone from DNS (nothing is lost yet)"
    assert "texts" in (await row(kept, "acme"))["observations"]
