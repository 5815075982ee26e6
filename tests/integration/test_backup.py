"""Backup and restore as commands beside a gateway that carries mail all the time, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.testing.sink import Sink
from tests.core.backup.backups import empty
from tests.databases import is_sqlite, query
from tests.integration.gateway_process import GatewayProcess, StartGateway, gateway_process
from tests.integration.load import config_text
from tests.integration.ports import reserved_ports
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

__all__ = ["gateway_process"]

pytestmark = pytest.mark.slow

CLIENTS = 8
BACKUPS = 4


@dataclass
class Load:
    """Clients that send message after message, each until it is acknowledged, as a mail server would."""

    port: int
    acknowledged: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    number: int = 0
    stopping: bool = False

    async def run(self) -> None:
        while not self.stopping:
            self.number += 1
            name = f"m{self.number:06d}"
            while name not in self.acknowledged:
                await self._try(name)

    async def _try(self, name: str) -> None:
        try:
            async with Client.connect(self.port) as client:
                content = f"Subject: {name}\r\nMessage-ID: <{name}@client.test>\r\n\r\n{name}\r\n".encode()
                reply = await client.send("s@client.test", ["anna@example.test"], content)
                if reply.startswith("250"):
                    self.acknowledged.add(name)
                else:
                    self.refused[reply[:3]] += 1
        except ConnectionError:
            await asyncio.sleep(0.05)

    async def grows(self, count: int = 20) -> None:
        """Wait until that many more messages are acknowledged."""
        goal = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= goal, f"{goal} messages are acknowledged")


def names(sink: Sink) -> Counter[str]:
    return Counter(message.data.split(b"\r\n\r\n")[1].strip().decode() for message in sink.messages)


async def test_backups_and_a_restore_while_mail_flows(
    tmp_path: Path, gateway_process: StartGateway, store_url: str
) -> None:
    async with Sink() as sink:
        with reserved_ports() as ports:
            port = ports.take()
            gateway = await gateway_process(config_text(store_url, Path("state"), port, sink))
            load = Load(port)
            clients = [asyncio.create_task(load.run()) for _ in range(CLIENTS)]
            try:
                for number in range(BACKUPS):
                    await load.grows()
                    await gateway.command("backup", str(tmp_path / f"b{number}.tar"))
                await load.grows()
                told = json.loads(await gateway.command("restore", "--yes", "--json", str(tmp_path / "b0.tar")))
                assert told["carried_over"]
                await load.grows()
            finally:
                load.stopping = True
                await asyncio.gather(*clients)
            await gateway.command("db", "status")
            await gateway.stop()
    taken = names(sink)
    assert load.acknowledged <= set(taken)
    assert set(load.refused) <= {"451"}
    assert [name for name, count in taken.items() if count > 1] == []
    for number in range(BACKUPS):
        await is_sound_on_another_machine(gateway, store_url, tmp_path / f"b{number}.tar")
    # Of the last one, since a story is written up to a second after its message.
    assert query(store_url, "SELECT count(*) FROM trace")[0][0] > 0


async def is_sound_on_another_machine(gateway: GatewayProcess, url: str, backup: Path) -> None:
    """Restored where nothing is, it is at its revision, has no journal, and the file in it is consistent."""
    checked = json.loads(await gateway.command("restore", "--check", "--json", str(backup)))
    assert checked["needs_a_stop"] == ""
    await asyncio.to_thread(empty, url)
    told = json.loads(await gateway.command("restore", "--json", str(backup)))
    assert (told["carried_over"], told["doubtful_jobs"]) == (False, [])
    await gateway.command("db", "status")
    assert query(url, "SELECT count(*) FROM journal_entry") == [(0,)]
    if is_sqlite(url):
        assert query(url, "PRAGMA integrity_check") == [("ok",)]


async def test_the_same_bytes_are_delivered_after_a_restore_on_a_new_machine(
    tmp_path: Path, gateway_process: StartGateway, store_url: str
) -> None:
    content = b"Subject: again\r\n\r\nthe very same bytes\r\n"
    async with Sink() as sink:
        with reserved_ports() as ports:
            port = ports.take()
            text = config_text(store_url, Path("state"), port, sink)
            gateway = await gateway_process(text)

            async def accepted() -> bool:
                async with Client.connect(port) as client:  # it is closed without QUIT: nothing is confirmed
                    reply = await client.send("s@client.test", ["anna@example.test"], content)
                    return reply.startswith("250")  # 451: what became of the one before is not written yet

            async def send() -> None:
                await until(accepted, "the message is accepted")

            await send()
            await send()
            assert len(sink.messages) == 1  # the second was answered from the journal
            await gateway.command("backup", str(tmp_path / "b.tar"))
            await gateway.command("restore", "--yes", str(tmp_path / "b.tar"))
            await send()
            assert len(sink.messages) == 1  # the present journal is no old one
            await gateway.stop()
            await asyncio.to_thread(empty, store_url)
            await gateway.command("restore", str(tmp_path / "b.tar"))
            await gateway.start()
            await send()
            await gateway.stop()
    assert len(sink.messages) == 2
