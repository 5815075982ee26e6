"""A domain's life with a real name server: published, proven, in service, lost, revived. The clock is moved."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.directory.actor import command_line
from gateway.directory.change import Command, carry_out
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.tables import domain
from gateway.domains.announcing import Announcer
from gateway.domains.asking import DnsChecker
from gateway.domains.claims import NewToken
from gateway.domains.due import Names
from gateway.domains.facts import DAY, HOUR
from gateway.domains.notices import Notices
from gateway.domains.probing import Probing
from gateway.domains.scheduler import Scheduler
from gateway.hooks.runner import Runner
from gateway.mail.address import Address
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.transaction import Transaction
from gateway.store.schema import job
from tests.core.cli.in_process import config_file
from tests.core.domains.installation import installation
from tests.core.gateways import Running, running, session
from tests.integration.gateway_process import STELLWERK
from tests.integration.knot.instance import GATEWAY, ZONE, Knot, knot
from tests.integration.unbound.instance import unbound

pytestmark = [pytest.mark.server("knot"), pytest.mark.server("knsupdate")]

SETTINGS = '[domains]\nlabel = "mailgw"\ngateway = "mx1.gateway.test"\n'
NAMES = Names("mailgw", "mx1.gateway.test", ("mx1.gateway.test",))
OWNER = "owner@elsewhere.test"
ANNA = f"anna@{ZONE}"
CHALLENGE = f"_mailgw-challenge.{ZONE}"
LOST = f"zone {ZONE}.\nupdate delete {CHALLENGE}. TXT\nsend\n"

TAKEN = "250 2.1.5 recipient ok"
FOREIGN = "550 5.7.1 relaying denied"
LATELY = "451 4.3.0 mail for this domain is not taken now, try again later"
SUSPENDED = "550 5.2.1 mail for this domain is not taken here"


@dataclass
class Here:
    """A gateway and its desk on one clock, the command line, and the owner's name server."""

    running: Running
    scheduler: Scheduler
    config: Path
    server: Knot
    _read: int = 0

    @property
    def clock(self) -> Any:
        return self.running.clock

    async def stellwerk(self, *arguments: str) -> str:
        """What the command prints. It must end well."""
        process = await asyncio.create_subprocess_exec(
            STELLWERK, *arguments, "--config", str(self.config),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def publish(self) -> str:
        key = str(self.server.key_file("owner"))
        return await self.stellwerk("domain", "publish", ZONE, "--server", self.server.address, "--key", key, "--yes")

    async def do(self, *commands: Command[Any]) -> None:
        for command in commands:
            await carry_out(self.running.gateway.store, command_line("tests"), command, self.clock)

    async def pass_time(self, seconds: float, every: float = 6 * HOUR) -> None:
        """The clock goes on in steps, and the desk looks at each."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + every)
            await self.scheduler.run_due()

    async def state(self) -> str:
        (row,) = await self.running.gateway.store.read(select(domain.c.state).where(domain.c.name == ZONE))
        return str(row.state)

    async def seen(self) -> list[tuple[str, bool]]:
        """The names that the resolver gave records of, and whether DNSSEC vouches for them; the gateway's own not."""
        (row,) = await self.running.gateway.store.read(select(domain.c.observations).where(domain.c.name == ZONE))
        looks = [each for each in json.loads(row.observations) if not each["authoritative"] and each["texts"]]
        return sorted({(each["name"], each["ad"]) for each in looks if each["name"].endswith(ZONE)})

    async def rcpt(self) -> str:
        """The reply to RCPT for the mailbox in the domain, without the trace's id."""
        gateway = self.running.gateway
        await gateway.directory.version.look()
        source = Address.parse("out@sender.test")
        transaction = await gateway.pipeline.mail(session("mx"), source, MailParameters())
        assert isinstance(transaction, Transaction)
        reply = await gateway.pipeline.rcpt(transaction, Recipient(Address.parse(ANNA)))
        return str(reply).partition(" [")[0]

    async def letters(self) -> list[str]:
        """The subjects of the owner's notices since the last time, without the domain's name."""
        rows = await self.running.gateway.store.read(select(job).order_by(job.c.created_at, job.c.id))
        told = [message_from_bytes(row.content, policy=default) for row in rows[self._read :]]
        self._read = len(rows)
        return [str(each["Subject"]).partition(": ")[2] for each in told if each["To"] == OWNER]


@asynccontextmanager
async def desk(tmp_path: Path, server: Knot, nameserver: str) -> AsyncIterator[Here]:
    """The resolver is at `nameserver`; the owner's own server is asked too."""
    config = config_file(tmp_path, tables=SETTINGS)
    config.write_text(config.read_text().replace("[server]", '[server]\nmx_hosts = ["mx1.gateway.test"]', 1))
    async with running(tmp_path, tables=SETTINGS) as gateway:
        probing = Probing(
            nameservers=(nameserver,),
            authorities={ZONE: [server.address]},
            treat_as_public=(ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24")),
            try_seconds=10.0,
            lookup_seconds=30.0,
            clock=gateway.clock,
        )
        store, notices = gateway.gateway.store, Notices(installation(tmp_path))
        announcer = Announcer(store, Runner({}), notices, lambda: 0)
        scheduler = Scheduler(store, DnsChecker(probing), NAMES, notices, announcer, gateway.clock)
        here = Here(gateway, scheduler, config, server)
        await here.do(AddOrganisation("acme"), AddContext("acme", "main"))
        await here.stellwerk("domain", "add", ZONE, "--organisation", "acme", "--contact", OWNER)
        gateway.clock.now = time.time()  # the command has the real time: the claim is not of tomorrow
        yield here


def own(tmp_path: Path) -> Path:
    directory = tmp_path / "knot"
    directory.mkdir()
    return directory


async def test_a_life_from_publishing_to_suspension_and_back(tmp_path: Path) -> None:
    async with knot(own(tmp_path)) as server, desk(tmp_path, server, server.address) as here:
        await here.pass_time(60, every=30)
        assert (await here.state(), await here.rcpt()) == ("pending", FOREIGN)

        assert "published; " in await here.publish()
        await here.pass_time(10 * 60, every=60)
        assert await here.state() == "active"
        await here.do(AddMailbox(ANNA, "acme", "main", "shared"))
        assert await here.rcpt() == TAKEN
        assert await here.letters() == ["the domain is proven", "mail comes through us"]

        assert await here.server.script(LOST) == (0, "")
        await here.pass_time(4 * DAY)
        assert (await here.state(), await here.rcpt()) == ("grace", TAKEN)
        await here.pass_time(14 * DAY)
        assert (await here.state(), await here.rcpt()) == ("suspended", LATELY)
        assert await here.letters() == [
            "your key is gone from DNS (nothing is lost yet)",
            "day 3 without your key in DNS",
            "day 7 without your key in DNS",
            "day 13 without your key in DNS",
            "suspended",
        ]
        await here.pass_time(5 * DAY)
        assert (await here.state(), await here.rcpt()) == ("suspended", SUSPENDED)

        await here.publish()  # the old key: it is public and brings nothing back
        await here.pass_time(2 * DAY)
        assert await here.state() == "suspended"
        await here.do(NewToken(ZONE))
        await here.publish()
        assert len(await server.texts(CHALLENGE, "TXT")) == 2
        await here.pass_time(HOUR, every=60)
        assert (await here.state(), await here.rcpt()) == ("active", TAKEN)
        assert "in service again" in await here.letters()


@pytest.mark.server("unbound")
async def test_a_zone_that_knot_signs_is_proven_at_the_first_look(tmp_path: Path) -> None:
    async with knot(own(tmp_path), signed=[ZONE]) as server:
        anchors = "".join(f"{ZONE}. 300 IN DNSKEY {key}\n" for key in await server.texts(ZONE, "DNSKEY"))
        assert anchors
        served = dict.fromkeys((ZONE, GATEWAY), server.address)
        (tmp_path / "unbound").mkdir()
        async with (
            unbound(tmp_path / "unbound", {}, served, anchors) as resolver,
            desk(tmp_path, server, resolver) as here,
        ):
            await here.publish()
            await here.pass_time(1, every=1)
            assert await here.state() == "active"
            assert await here.seen() == [(CHALLENGE, True), (ZONE, True)]


@pytest.mark.server("unbound")
async def test_a_zone_that_nobody_signs_is_looked_at_twice(tmp_path: Path) -> None:
    async with knot(own(tmp_path)) as server:
        served = dict.fromkeys((ZONE, GATEWAY), server.address)
        (tmp_path / "unbound").mkdir()
        async with unbound(tmp_path / "unbound", {}, served) as resolver, desk(tmp_path, server, resolver) as here:
            await here.publish()
            await here.pass_time(1, every=1)
            assert await here.state() == "pending"
            await here.pass_time(120, every=30)
            assert await here.state() == "active"
