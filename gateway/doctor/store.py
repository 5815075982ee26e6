"""Checks of the database for `stellwerk doctor`: reached, safe, of the right revisions, writable. None changes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence

from gateway.checking import check_store_files
from gateway.config.models import Config
from gateway.doctor.findings import Found, failed, ok, warning
from gateway.store.engine import Server, parse_url, server_facts
from gateway.store.store import Store
from gateway.store.upgrade import Owner, status

_MANY_SQLITE_WORKERS = 2
_CONNECTIONS_OF_A_PROCESS = 3
"""One writer, two readers."""
_CLOCKS_APART_SECONDS = 5.0


async def store_findings(config: Config, owners: Sequence[Owner]) -> AsyncIterator[Found]:
    """Raises StoreUnavailable or StartupError, whose text is a finding, when the database cannot be asked."""
    if config.store.url.startswith("sqlite") and config.server.workers > _MANY_SQLITE_WORKERS:
        yield warning(
            f"{config.server.workers} workers share one SQLite file and wait for each other; "
            "set server.workers to 1, or use PostgreSQL"
        )
    check_store_files(config.store.url)
    server = await asyncio.to_thread(server_facts, parse_url(config.store.url))
    if server is not None:
        for found in _server(server, config.server.workers):
            yield found
    statuses = await asyncio.to_thread(status, config.store.url, owners)
    if all(owner.current is None for owner in statuses):
        yield warning("the store is empty; the first `stellwerk serve` makes its tables")
        return
    for owner in statuses:
        if owner.unknown:
            yield failed(
                f"tables of {owner.owner} have revision {owner.current}, which this version does not know; "
                "install the version that made them"
            )
        elif not owner.ready:
            what = f"tables of {owner.owner} need {len(owner.pending)} migrations"
            if config.store.auto_upgrade:
                yield warning(f"{what}; the next start runs them (store.auto_upgrade)")
            else:
                yield failed(f"{what}; run: stellwerk db upgrade")
    if all(owner.ready for owner in statuses):
        store = Store.open(config.store.url, busy_timeout_seconds=config.store.busy_timeout_seconds)
        try:
            await store.prove()
        finally:
            await asyncio.to_thread(store.close)
        yield ok("the store has the right revisions and can be written")


def _server(server: Server, workers: int) -> Iterator[Found]:
    yield ok(f"PostgreSQL {server.version} answers")
    if server.encoding != "UTF8":
        yield failed(
            f"the database has the encoding {server.encoding}, which cannot hold every address; make it anew: "
            "createdb --encoding=UTF8 --template=template0"
        )
    if server.careless:
        yield warning(
            f"the server has {', '.join(f'{name} = off' for name in server.careless)}: when it goes down, commits are "
            "lost that mail was acknowledged for; set it to on"
        )
    # During a reload the old processes are there as well.
    needed = 2 * _CONNECTIONS_OF_A_PROCESS * (workers + 1)
    if server.connections < needed:
        yield warning(
            f"the server allows {server.connections} connections and this node takes up to {needed} of them during a "
            "reload; raise max_connections there"
        )
    apart = time.time() - server.clock
    if abs(apart) > _CLOCKS_APART_SECONDS:
        yield warning(
            f"this clock and the server's are {abs(apart):.0f} seconds apart; nodes that share a store need one time, "
            "let NTP keep it"
        )
