"""Restoring into PostgreSQL while others have tables of it: nobody's transaction ends because of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.store.engine import open_engine, parse_url
from tests.core.backup.backups import back_up, restore
from tests.core.gateways import config, running
from tests.databases import postgresql_only, query
from tests.integration.waiting import until

pytestmark = [postgresql_only, pytest.mark.slow]


def somebody_waits(url: str) -> bool:
    found = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
    return query(url, f"{found} WHERE datname = current_database())") != [(0,)]


@pytest.mark.parametrize("order", [("trace", "job"), ("job", "trace")], ids=" then ".join)
async def test_a_writer_that_has_a_table_gets_the_others(
    tmp_path: Path, store_url: str, order: tuple[str, str]
) -> None:
    async with running(tmp_path):
        backup = back_up(config(tmp_path), tmp_path / "backup.tar")
    engine = open_engine(parse_url(store_url), "write")

    def take(connection: Connection, table: str) -> None:
        connection.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))

    with engine.connect() as writer, writer.begin():
        take(writer, order[0])
        restoring = asyncio.create_task(asyncio.to_thread(restore, config(tmp_path), backup))
        await until(lambda: somebody_waits(store_url), "the restore waits for the writer")
        await asyncio.to_thread(take, writer, order[1])
        writer.execute(text("INSERT INTO meta (key, value) VALUES ('written', 'yes')"))
    assert (await restoring).carried_over
    assert query(store_url, "SELECT count(*) FROM meta WHERE key = 'written'") == [(0,)]
    engine.dispose()
