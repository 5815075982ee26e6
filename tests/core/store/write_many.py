"""One of several processes that write to the same database: `write_many.py URL NAME COUNT`. Run by test_processes."""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy import Column, Integer, MetaData, Table, Text

from gateway.store.store import Store, Write, insert

note = Table("note", MetaData(), Column("id", Text, primary_key=True), Column("number", Integer))


async def main(url: str, name: str, count: int) -> None:
    store = Store.open(url)
    numbers = iter(range(count))

    async def write_one_by_one() -> None:
        for number in numbers:
            await store.write([Write(insert(note), {"id": f"{name}-{number}", "number": number})])

    await asyncio.gather(*(write_one_by_one() for _ in range(5)))
    print(store.counters.commits)
    await asyncio.to_thread(store.close)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
