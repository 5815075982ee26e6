"""The life of domains whose DNS a real server answers: proven, lost, suspended, revived; and a resolver in trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.directory.tables import domain
from gateway.domains.announcing import Announcer
from gateway.domains.checker import Answered, Asked
from gateway.domains.claims import NewToken
from gateway.domains.due import Names
from gateway.domains.facts import DAY, HOUR
from gateway.domains.notices import Notices
from gateway.domains.scheduler import Scheduler
from gateway.domains.token import challenge_name, challenge_text
from gateway.hooks.runner import Runner
from gateway.store.schema import job
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer
from gateway.testing.dns_zone import Record
from tests.core.directory.conftest import Kept
from tests.core.domains.claiming import NAME, OWNER, claimed, row, state
from tests.core.domains.installation import installation
from tests.core.domains.small_checker import SmallChecker

NAMES = Names("mailgw", "mx1.gateway.test", ("mx1.gateway.test",))


@dataclass
class World:
    """A store, the DNS of its domains, and the desk's scheduler with a clock that the test moves."""

    kept: Kept
    server: DnsServer
    checker: SmallChecker
    scheduler: Scheduler
    notices: Notices
    zone: dict[str, list[Record]] = field(default_factory=dict)

    async def publish(
        self, name: str = NAME, *, token: bool = True, mx: str = "10 mx1.gateway.test.", whose: str = "acme"
    ) -> None:
        """What the owner's zone has from now on: their newest token, an MX; empty for none."""
        records: list[Record] = [(name, "SOA", "ns.host.test. root.host.test. 1 3600 600 604800 60", 60)]
        if token:
            text = challenge_text((await row(self.kept, whose, name))["token"], "mx1.gateway.test")
            records.append((challenge_name(name, "mailgw", "exact"), "TXT", f'"{text}"', 60))
        if mx:
            records.append((name, "MX", mx, 60))
        self.zone[name] = records
        self._serve()

    def vanish(self, name: str = NAME) -> None:
        """The name is not registered any more."""
        self.zone.pop(name, None)
        self._serve()

    def _serve(self) -> None:
        self.server.replace_records([record for records in self.zone.values() for record in records])

    async def pass_time(self, seconds: float, every: float = 6 * HOUR) -> None:
        """The clock goes on in steps, and the desk looks at each."""
        end = self.kept.now + seconds
        while self.kept.now < end:
            self.kept.now = min(end, self.kept.now + every)
            await self.scheduler.run_due()

    async def letters(self) -> list[tuple[str, str]]:
        """(recipient, subject) of each notice, in order; they are taken away."""
        rows = await self.kept.rows(select(job).order_by(job.c.created_at, job.c.id))
        told = [message_from_bytes(each["content"], policy=default) for each in rows[self._read :]]
        self._read = len(rows)
        return [(str(each["To"]), str(each["Subject"])) for each in told]

    _read: int = 0


@asynccontextmanager
async def world(
    kept: Kept, tmp_path: Path, behaviour: dict[str, Behaviour] | None = None, **more: Any
) -> AsyncIterator[World]:
    settings = installation(tmp_path, **more)
    async with DnsServer([], behaviour) as server:
        checker = SmallChecker(server.address, lambda: kept.now)
        notices = Notices(settings)
        announcer = Announcer(kept.store, Runner({}), notices, lambda: 0)
        scheduler = Scheduler(kept.store, checker, NAMES, notices, announcer, lambda: kept.now)
        try:
            yield World(kept, server, checker, scheduler, notices)
        finally:
            await checker.resolver.close()


async def in_service(world: World) -> None:
    """acme has the domain, proven and led here; nobody has been told anything yet that a test looks at."""
    await claimed(world.kept, "acme")
    await world.publish()
    await world.pass_time(120, every=60)
    assert await state(world.kept, "acme") == "active"
    await world.letters()


async def test_a_life_from_claim_to_suspension_and_back(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await claimed(kept, "acme")
        await here.pass_time(60, every=30)
        assert await state(kept, "acme") == "pending"
        await here.publish(mx="")
        await here.pass_time(HOUR, every=60)
        assert await state(kept, "acme") == "verified"
        assert await here.letters() == [(OWNER[0], f"{NAME}: the domain is proven")]
        await here.publish()
        await here.pass_time(2 * HOUR, every=HOUR)
        assert await state(kept, "acme") == "active"
        assert await here.letters() == [
            (OWNER[0], f"{NAME}: mail comes through us"),
            (f"postmaster@{NAME}", f"{NAME}: mail comes through us"),
        ]
        await here.publish(token=False)
        await here.pass_time(4 * DAY)
        assert await state(kept, "acme") == "grace"
        assert await here.letters() == [(OWNER[0], f"{NAME}: your key is gone from DNS (nothing is lost yet)")]
        await here.pass_time(14 * DAY)
        assert await state(kept, "acme") == "suspended"
        assert [subject.partition(": ")[2] for _, subject in await here.letters()] == [
            "day 3 without your key in DNS",
            "day 7 without your key in DNS",
            "day 13 without your key in DNS",
            "suspended",
        ]
        await here.publish()
        await here.pass_time(2 * DAY)
        assert await state(kept, "acme") == "suspended"
        await kept.do(NewToken(NAME))
        await here.publish()
        await here.pass_time(HOUR, every=60)
        assert await state(kept, "acme") == "active"
        assert (OWNER[0], f"{NAME}: in service again") in await here.letters()


@pytest.mark.slow
async def test_a_resolver_that_says_servfail_for_30_days_changes_no_state(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await in_service(here)
        await claimed(kept, "acme", name="pending.test")
        await claimed(kept, "acme", name="lost.test")
        await here.publish("lost.test")
        await here.pass_time(120, every=60)
        await here.publish("lost.test", token=False)
        await here.pass_time(4 * DAY)
        names = (NAME, "pending.test", "lost.test")
        before = [await state(kept, "acme", name) for name in names]
        assert before == ["active", "pending", "grace"]
        here.server.replace_behaviour({"*/*": "SERVFAIL"})
        await here.pass_time(30 * DAY)
        assert [await state(kept, "acme", name) for name in names] == before
        assert (await row(kept, "acme", "lost.test"))["takes_mail_until"] is None


@pytest.mark.parametrize(
    ("kind", "days", "last"), [("null mx", 5, "suspended"), ("gone", 4, "grace"), ("gone", 12, "suspended")]
)
async def test_what_is_seen_leads_where_it_should(kept: Kept, tmp_path: Path, kind: str, days: int, last: str) -> None:
    async with world(kept, tmp_path) as here:
        await in_service(here)
        if kind == "null mx":
            await here.publish(mx="0 .")
        else:
            here.vanish()
        await here.pass_time(days * DAY)
        assert await state(kept, "acme") == last


async def test_the_last_twenty_observations_are_kept(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await in_service(here)
        await here.pass_time(10 * DAY)
        seen = json.loads((await row(kept, "acme"))["observations"])
        assert len(seen) == 20
        assert {each["type"] for each in seen} == {"TXT", "MX"}
        assert seen[-1]["at"] <= kept.now
        assert set(seen[0]) == {"at", "server", "name", "type", "rcode", "ede", "ad", "ttl", "texts"}


async def test_each_fact_is_looked_at_in_its_own_rhythm(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await in_service(here)
        begin = len(here.checker.asked)
        await here.pass_time(10 * DAY, every=HOUR)
        asked = here.checker.asked[begin:]
        assert 7 <= sum("ownership" in each.kinds for each in asked) <= 13  # 24 h +-20 %, once an hour
        assert 30 <= sum("mx" in each.kinds for each in asked) <= 50


async def test_many_that_turn_bad_at_once_are_not_believed_and_the_operator_is_called(
    kept: Kept, tmp_path: Path
) -> None:
    names = [f"d{number}.test" for number in range(8)]
    async with world(kept, tmp_path) as here:
        for name in names:
            await claimed(kept, "acme", name=name)
            await here.publish(name)
        await here.pass_time(120, every=60)
        assert {await state(kept, "acme", name) for name in names} == {"active"}
        await here.letters()
        for name in names:
            here.vanish(name)
        await here.pass_time(8 * HOUR, every=8 * HOUR)
        rows = await kept.rows(select(domain.c.known))
        assert {json.loads(each["known"])["facts"]["routing"]["status"] for each in rows} == {"temp"}
        assert await here.letters() == [("operator@gateway.test", "Domains: 8 of 8 turned bad at once")]


async def test_a_checker_that_breaks_or_hangs_takes_nothing(kept: Kept, tmp_path: Path) -> None:
    class Broken:
        async def __call__(self, asked: Asked, /) -> Answered:
            raise RuntimeError("a bug")

    async with world(kept, tmp_path) as here:
        await in_service(here)
        scheduler = Scheduler(
            kept.store,
            Broken(),
            NAMES,
            here.notices,
            Announcer(kept.store, Runner({}), here.notices, lambda: 0),
            lambda: kept.now,
        )
        for _ in range(30):
            kept.now += DAY
            await scheduler.run_due()
        assert await state(kept, "acme") == "active"
        assert scheduler.counts["temp"] > 0


async def test_a_look_that_a_command_overtook_is_made_again_at_once(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await claimed(kept, "acme")

        class Interrupted:
            async def __call__(self, asked: Asked, /) -> Answered:
                if len(here.checker.asked) == 0:
                    await kept.do(NewToken(NAME))
                return await here.checker(asked)

        announcer = Announcer(kept.store, Runner({}), here.notices, lambda: 0)
        scheduler = Scheduler(kept.store, Interrupted(), NAMES, here.notices, announcer, lambda: kept.now)
        assert [await scheduler.run_due() for _ in range(3)] == [1, 1, 0]
        assert [asked.tokens[0].serial for asked in here.checker.asked] == [1, 2]


async def test_two_desks_look_at_a_claim_once(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await claimed(kept, "acme")
        other = Scheduler(
            kept.store,
            here.checker,
            NAMES,
            here.notices,
            Announcer(kept.store, Runner({}), here.notices, lambda: 0),
            lambda: kept.now,
        )
        looked = await asyncio.gather(here.scheduler.run_due(), other.run_due())
        assert sorted(looked) == [0, 1]
        assert len(here.checker.asked) == 1


async def test_without_a_checker_nothing_is_looked_at(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await claimed(kept, "acme")
        blind = Scheduler(
            kept.store,
            None,
            NAMES,
            here.notices,
            Announcer(kept.store, Runner({}), here.notices, lambda: 0),
            lambda: kept.now,
        )
        assert await blind.run_due() == 0


async def test_the_operator_gets_the_changes_of_a_day_once(kept: Kept, tmp_path: Path) -> None:
    async with world(kept, tmp_path) as here:
        await in_service(here)
        assert await here.notices.report(kept.store, kept.now) is False  # the hour of the report is yet to come
        kept.now += DAY
        assert await here.notices.report(kept.store, kept.now)
        assert await here.notices.report(kept.store, kept.now)
        (letter,) = await here.letters()
        assert letter[0] == "operator@gateway.test"
        assert letter[1].startswith("Domains: changes until ")
        kept.now += DAY
        assert await here.notices.report(kept.store, kept.now) is False
