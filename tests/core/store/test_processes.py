"""Several processes on one database: SMTP workers, the desk and the command line."""

from __future__ import annotations

import asyncio
import fcntl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway.store.writer import Write, Writer
from tests.core.store.conftest import Database
from tests.databases import sqlite_only

PROCESSES = 4
EACH = 50


async def test_four_processes_write_to_one_database_and_nothing_fails(database: Database) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.core.store.write_many", database.url, f"p{number}", str(EACH)),
            cwd=Path(__file__).parents[3],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert [errors.decode() for _, errors in outputs] == [""] * PROCESSES
    assert database.query("SELECT count(*), count(DISTINCT id) FROM note") == [(PROCESSES * EACH, PROCESSES * EACH)]
    for commits, _ in outputs:
        assert EACH / 5 <= int(commits) <= EACH


@sqlite_only
async def test_the_lock_file_is_held_for_the_whole_transaction_and_not_longer(
    database: Database, writer: Writer
) -> None:
    lock_file = database.path.with_name(database.path.name + ".lock")

    def is_locked() -> bool:
        with lock_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def look(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        return [is_locked()]

    assert await writer.write([Write(look, None)]) == [True]
    await asyncio.to_thread(writer.close)
    assert not is_locked()
