"""A watch beside the running gateway: it sees what was entered, asks for a look once, and ends in service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.directory.actor import Actor
from gateway.directory.tables import audit_entry, domain
from gateway.domains.announcing import Announcer
from gateway.domains.asking import DnsChecker
from gateway.domains.notices import Notices
from gateway.domains.probing import Probing
from gateway.domains.scheduler import Scheduler
from gateway.domains.watching import Glance, Watch
from gateway.hooks.runner import Runner
from gateway.testing.dns_server import DnsServer
from tests.core.directory.conftest import OPERATOR, Kept
from tests.core.domains.claiming import NAME, claimed, row, state
from tests.core.domains.installation import installation
from tests.core.domains.small_checker import SmallChecker
from tests.core.domains.test_scheduler import NAMES, World

pytestmark = pytest.mark.slow  # whole gateways or commands in processes of their own


@dataclass
class Beside:
    """The gateway at work in the pauses of a watch; at some of them the owner does something."""

    world: World
    probing: Probing
    directory: Path
    does: dict[int, Callable[[], object]] = field(default_factory=dict)
    is_running: bool = True
    pauses: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        done = self.does.get(len(self.pauses), lambda: None)()
        if hasattr(done, "__await__"):
            await done
        self.world.kept.now += seconds
        if self.is_running:
            await self.world.scheduler.run_due()

    async def watch(self, most: int = 60, actor: Actor = OPERATOR) -> list[Glance]:
        config = installation(self.directory)
        watching = Watch(self.world.kept.store, config, actor, (NAME, "acme"), self.probing, self.pause)
        glances = []
        async for glance in watching.glances():
            glances.append(glance)
            if len(glances) == most:
                break
        return glances

    async def looks_asked(self) -> int:
        query = select(func.count().label("n")).select_from(audit_entry).where(audit_entry.c.action == "domain.look")
        return int((await self.world.kept.rows(query))[0]["n"])


@pytest.fixture
async def beside(kept: Kept, tmp_path: Path) -> AsyncIterator[Beside]:
    async with DnsServer([]) as server:
        probing = Probing(
            nameservers=(server.address,),
            authorities={NAME: [server.address]},
            treat_as_public=(ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")),
            try_seconds=6.0,
            lookup_seconds=7.0,
            clock=lambda: kept.now,
        )
        notices = Notices(installation(tmp_path))
        announcer = Announcer(kept.store, Runner({}), notices, lambda: 0)
        scheduler = Scheduler(kept.store, DnsChecker(probing), NAMES, notices, announcer, lambda: kept.now)
        small = SmallChecker(server.address, lambda: kept.now)
        await claimed(kept, "acme")
        yield Beside(World(kept, server, small, scheduler, notices), probing, tmp_path)
        await small.resolver.close()


async def test_a_claim_goes_from_pending_to_active_while_it_is_watched(beside: Beside) -> None:
    here = beside.world
    await here.pass_time(1800, every=60)  # long claimed: the gateway looks once an hour only
    beside.does = {2: here.publish}
    glances = await beside.watch()
    assert glances[-1].is_done
    assert await state(here.kept, "acme") == "active"
    assert list(dict.fromkeys(glance.state for glance in glances)) == ["pending", "active"]
    assert [each.status for each in glances[0].inspection.required] == ["fail", "fail"]
    # One is asked for when the records are there; the second sight of the key, a minute later, comes by itself.
    assert [glance.asked for glance in glances].count(True) == await beside.looks_asked() == 1
    assert len(beside.pauses) < 15
    changed = next(glance for glance in glances if glance.inspection.passes)
    assert {(each.type, each.texts) for each in changed.old} == {("TXT", ()), ("MX", ())}


async def test_what_the_gateway_knows_already_is_not_asked_for(beside: Beside) -> None:
    await beside.world.pass_time(1800, every=60)
    glances = await beside.watch(most=5)
    assert await beside.looks_asked() == 0
    assert {glance.state for glance in glances} == {"pending"}


async def test_a_gateway_that_does_not_run_is_told_of(beside: Beside) -> None:
    beside.is_running = False
    glances = await beside.watch(most=9)
    assert [glance.is_overdue for glance in glances] == [False] * 7 + [True] * 2


async def test_who_may_not_ask_for_looks_may_watch(beside: Beside) -> None:
    here = beside.world
    await here.pass_time(1800, every=60)
    await here.publish()
    whose = (await row(here.kept, "acme"))["organisation_id"]
    reader = Actor("bo", "member", organisation_id=whose)
    (glance,) = await beside.watch(most=1, actor=reader)
    assert (glance.asked, "may not have it looked at" in glance.unasked) == (False, True)
    assert await beside.looks_asked() == 0


async def test_a_claim_that_nobody_looks_at_any_more_ends_the_watch(beside: Beside) -> None:
    here = beside.world
    await here.publish()
    claim = await row(here.kept, "acme")
    await here.kept.undo(domain, claim["id"], state="expired", next_look_at=None)
    (glance,) = await beside.watch()
    assert (glance.is_done, glance.is_hopeless) == (False, True)


async def test_a_watch_left_open_slows_down(beside: Beside) -> None:
    await beside.watch(most=64)
    assert (beside.pauses[0], beside.pauses[59], beside.pauses[-1]) == (10, 10, 60)
