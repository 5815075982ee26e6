"""A migrated store and a small directory in it: two organisations, two contexts of one sharing a domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Select, Table, update

from gateway.directory.actor import Actor, command_line
from gateway.directory.change import Command, Done, carry_out
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddAlias, AddMailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.people import AddPerson
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from tests.databases import MadeOnce

T = TypeVar("T")

OPERATOR = command_line("tests")
NOON = 1_700_000_000.0


@dataclass
class Kept:
    """The store, a clock that the test moves, and the two ways to use them."""

    store: Store
    url: str
    now: float = NOON

    async def do(self, command: Command[T], actor: Actor = OPERATOR, *, dry_run: bool = False) -> T:
        """Carry out one command; what it returns."""
        return (await self.tell(command, actor, dry_run=dry_run)).result

    async def tell(self, command: Command[T], actor: Actor = OPERATOR, *, dry_run: bool = False) -> Done[T]:
        """As `do`, with the audit entries that it made."""
        return await carry_out(self.store, actor, command, lambda: self.now, dry_run=dry_run)

    async def undo(self, table: Table, identity: str, **values: Any) -> None:
        """Give a row other values past every command."""
        statement = update(table).where(table.c.id == identity).values(**values)

        def run(connection: Connection, payloads: Sequence[Any], /) -> Sequence[None]:
            connection.execute(statement)
            return [None] * len(payloads)

        await self.store.write([Write(run, None)])

    async def rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in await self.store.read(query)]


@pytest.fixture
async def kept(store_url: str, made_once: MadeOnce) -> AsyncIterator[Kept]:
    """An empty directory."""
    await asyncio.to_thread(made_once.put, "empty", store_url, _make_empty)
    store = Store.open(store_url)
    yield Kept(store, store_url)
    await asyncio.to_thread(store.close)


@pytest.fixture
async def another(tmp_path: Path) -> AsyncIterator[Callable[[], Kept]]:
    """A second, empty directory on a store of its own."""
    url = f"sqlite:///{tmp_path}/another.db"
    upgrade(url, [CORE])
    store = Store.open(url)
    yield lambda: Kept(store, url)
    await asyncio.to_thread(store.close)


TOWN: tuple[Command[Any], ...] = (
    AddOrganisation("acme", "Acme Ltd"),
    AddContext("acme", "sales"),
    AddContext("acme", "plant"),
    TrustDomain("acme.test", organisation="acme"),
    AddOrganisation("other"),
    AddContext("other", "main"),
    TrustDomain("other.test", organisation="other"),
    AddPerson("anna@acme.test", "acme", "sales", "Anna Berg", "organisation_admin"),
    AddPerson("bo@acme.test", "acme", "plant", "Bo Dahl"),
    AddPerson("cleo@other.test", "other", "main", "Cleo Fink"),
    AddMailbox("anna@acme.test", "acme", "sales", owner="anna@acme.test"),
    AddMailbox("bo@acme.test", "acme", "plant", owner="bo@acme.test"),
    AddMailbox("cleo@other.test", "other", "main", owner="cleo@other.test"),
    AddMailbox("team@acme.test", "acme", "sales", "shared", display_name="Acme Sales"),
    AddAlias("info@acme.test", "team@acme.test"),
)
"""The commands that make `town`."""


def _make_empty(url: str) -> None:
    upgrade(url, [CORE])


def make_town(url: str) -> None:
    """A new store with the directory of `town`. For a thread without an event loop."""

    async def fill() -> None:
        store = Store.open(url)
        for command in TOWN:
            await carry_out(store, OPERATOR, command, lambda: NOON)
        await asyncio.to_thread(store.close)

    upgrade(url, [CORE])
    asyncio.run(fill())


@pytest.fixture
async def town(store_url: str, made_once: MadeOnce) -> AsyncIterator[Kept]:
    """Organisation `acme` with contexts `sales` and `plant` on acme.test (trusted), and `other` on other.test.

    anna@acme.test (sales, organisation admin), bo@acme.test (plant), cleo@other.test own mailboxes of their names;
    team@acme.test is shared and has the alias info@acme.test.
    """
    await asyncio.to_thread(made_once.put, "town", store_url, make_town)
    store = Store.open(store_url)
    yield Kept(store, store_url)
    await asyncio.to_thread(store.close)
