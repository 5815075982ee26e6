"""The desk process of a whole gateway looks at domains by itself, and SMTP processes do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from sqlalchemy import select

from gateway.api import DomainFacts, Plugin, Settings, hookimpl
from gateway.app import Gateway, ProcessRole
from gateway.directory.actor import command_line
from gateway.directory.change import carry_out
from gateway.directory.organisations import AddOrganisation
from gateway.directory.tables import domain
from gateway.domains.checker import Answered, Asked
from gateway.domains.claims import ClaimDomain
from tests.core.domains.claiming import NAME, OWNER
from tests.core.domains.installation import installation


async def all_is_well(asked: Asked, /) -> Answered:
    return Answered("pass", "pass", asked.tokens[0], sure=True)


class Witness(Plugin[Settings]):
    """Says that a domain is in service."""

    taken: ClassVar[asyncio.Event]

    @hookimpl
    def domain_state_changed(self, old: str, new: str, facts: DomainFacts) -> None:
        if new == "active":
            self.taken.set()


@asynccontextmanager
async def started(tmp_path: Path, role: ProcessRole) -> AsyncIterator[Gateway]:
    Witness.taken = asyncio.Event()
    gateway = Gateway(
        installation(tmp_path, "en", "witness"), role=role, checker=all_is_well, given={"witness": Witness}
    )
    await gateway.start()
    try:
        for command in (AddOrganisation("acme"), ClaimDomain(NAME, "acme", OWNER)):
            await carry_out(gateway.store, command_line("tests"), command, gateway.clock)
        yield gateway
    finally:
        await gateway.stop()


async def test_a_claim_is_looked_at_and_taken_into_service(tmp_path: Path) -> None:
    async with started(tmp_path, "desk") as gateway:
        await asyncio.wait_for(Witness.taken.wait(), 60)
        await gateway.directory.version.look()
        assert gateway.directory.hosts(NAME)
        (row,) = await gateway.store.read(select(domain.c.state))
        assert row.state == "active"


async def test_an_smtp_process_asks_nobody(tmp_path: Path) -> None:
    async with started(tmp_path, "smtp") as gateway:
        running = {task.get_name() for task in asyncio.all_tasks()}
        assert "look at domains" not in running
        (row,) = await gateway.store.read(select(domain.c.state))
        assert row.state == "pending"
