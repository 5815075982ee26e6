"""SIGKILL under load: nothing acknowledged is lost, and a duplicate is only where the journal says `unknown`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from gateway.testing.sink import Sink
from tests.integration.gateway_process import GatewayProcess, StartGateway, gateway_process
from tests.integration.ports import PortReservation
from tests.integration.waiting import until

__all__ = ["gateway_process"]

ROUNDS = 20
CLIENTS = 16
ACKNOWLEDGED_PER_ROUND = 100
CONFIG = """
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "{state}"

[store]
url = "sqlite:///{state}/stellwerk.db"

[[listener]]
name = "mx"
address = "127.0.0.1:{port}"
greeting_delay_ms = 0
max_connections_per_client = 100

[next_hop.sink]
kind = "smtp"
address = "{sink}"

[routing]
hosted = "sink"

[hosted."example.test"]
mailboxes = ["*"]

[log]
level = "warning"
"""


@dataclass
class Ledger:
    """What the clients know. A message is `acknowledged` at its 250, `confirmed` when what followed was answered."""

    acknowledged: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    awaiting: set[str] = field(default_factory=set)
    broken_while_awaiting: int = 0
    refusals: list[str] = field(default_factory=list)
    number: int = 0

    def next_message(self) -> str:
        self.number += 1
        return f"m{self.number:06d}"


def content_of(message: str) -> bytes:
    return f"Subject: {message}\r\nMessage-ID: <{message}@client.test>\r\n\r\nbody of {message}\r\n".encode()


class Client:
    """Sends message after message on one connection, and each until it is acknowledged, as a mail server would."""

    def __init__(self, port: int, ledger: Ledger, stop: asyncio.Event) -> None:
        self._port = port
        self._ledger = ledger
        self._stop = stop
        self._unanswered = ""
        self._to_confirm = ""

    async def run(self) -> None:
        while not self._stop.is_set() or self._unanswered:
            try:
                await self._connection()
            except (ConnectionError, EOFError):
                self._to_confirm = ""
                await asyncio.sleep(0.02)

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await self._expect(reader, "220")
            await self._say(reader, writer, b"EHLO client.test\r\n", "250")
            while not self._stop.is_set() or self._unanswered:
                self._unanswered = self._unanswered or self._ledger.next_message()
                if not await self._transaction(reader, writer, self._unanswered):
                    await asyncio.sleep(0.02)
            writer.write(b"QUIT\r\n")
            await self._expect(reader, "221")
        finally:
            writer.close()

    async def _transaction(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: str) -> bool:
        ledger = self._ledger
        await self._say(reader, writer, b"MAIL FROM:<s@client.test>\r\n", "250")
        if self._to_confirm:
            ledger.confirmed.add(self._to_confirm)
            self._to_confirm = ""
        await self._say(reader, writer, f"RCPT TO:<{message}@example.test>\r\n".encode(), "250")
        await self._say(reader, writer, b"DATA\r\n", "354")
        ledger.attempts[message] += 1
        writer.write(content_of(message) + b".\r\n")
        ledger.awaiting.add(message)
        try:
            reply = await self._reply(reader)
        except (ConnectionError, EOFError):
            ledger.broken_while_awaiting += 1
            raise
        finally:
            ledger.awaiting.discard(message)
        if not reply.startswith("250"):
            ledger.refusals.append(reply)
            assert reply.startswith(("451", "421")), f"a fault on our side became the sender's: {reply}"
            return False
        ledger.acknowledged.add(message)
        self._unanswered, self._to_confirm = "", message
        return True

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, code: str) -> None:
        writer.write(data)
        await self._expect(reader, code)

    async def _expect(self, reader: asyncio.StreamReader, code: str) -> None:
        reply = await self._reply(reader)
        if reply.startswith("421"):
            raise ConnectionResetError(reply)
        assert reply.startswith(code), reply

    async def _reply(self, reader: asyncio.StreamReader) -> str:
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line[3:4] != b"-":
                return line.decode().strip()


class Killer:
    """Kills the whole gateway or only its SMTP worker, in turn, at the moment the issue of this test asks for."""

    def __init__(self, process: GatewayProcess, ledger: Ledger) -> None:
        self._process = process
        self._ledger = ledger

    async def round(self, number: int) -> None:
        """One kill that hit at least one transaction between its final dot and its reply; repeated until it did."""
        while True:
            before = len(self._ledger.acknowledged)

            def is_ripe(before: int = before) -> bool:
                ledger = self._ledger
                return len(ledger.acknowledged) - before >= ACKNOWLEDGED_PER_ROUND and bool(ledger.awaiting)

            await until(is_ripe, f"round {number}: {ACKNOWLEDGED_PER_ROUND} acknowledged and one awaiting its reply")
            broken = self._ledger.broken_while_awaiting
            if number % 2:
                self._process.kill_workers()
            else:
                await self._process.kill()
                await self._process.start()
            await until(partial(self._noticed, broken), "the clients noticed")
            if self._ledger.broken_while_awaiting > broken:
                return

    def _noticed(self, broken: int) -> bool:
        return not self._ledger.awaiting or self._ledger.broken_while_awaiting > broken


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_and_every_duplicate_is_explained(
    gateway_process: StartGateway, tmp_path: Path
) -> None:
    ports = PortReservation()
    port = ports.take()
    ledger = Ledger()
    stop = asyncio.Event()
    async with Sink() as sink:
        state = tmp_path / "state"
        process = await gateway_process(CONFIG.format(sink=sink.address, port=port, state=state))
        clients = [asyncio.create_task(Client(port, ledger, stop).run()) for _ in range(CLIENTS)]
        try:
            killer = Killer(process, ledger)
            for number in range(ROUNDS):
                await killer.round(number)
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*clients), 120)
        await process.stop()
        copies = Counter(message.to[0].partition("@")[0] for message in sink.messages)
        for message in sink.messages:
            name = message.to[0].partition("@")[0]
            assert message.data.endswith(content_of(name)), f"{name} arrived changed"
    ports.release()
    doubts = unknown_attempts(state / "stellwerk.db")
    print(summary(ledger, copies, doubts))
    check(ledger, copies, doubts)


def check(ledger: Ledger, copies: Counter[str], doubts: dict[str, int]) -> None:
    assert len(ledger.acknowledged) >= ROUNDS * ACKNOWLEDGED_PER_ROUND
    lost = sorted(message for message in ledger.acknowledged if not copies[message])
    assert not lost, f"acknowledged and lost: {lost[:10]}"
    for message, count in copies.items():
        if count > 1:
            assert ledger.attempts[message] >= count, (
                f"{message} came {count} times after {ledger.attempts[message]} tries"
            )
            assert doubts.get(message, 0) >= count - 1, f"{message} came {count} times, the journal knows no doubt"
    once = {message for message in ledger.confirmed if ledger.attempts[message] == 1}
    assert all(copies[message] == 1 for message in once), "confirmed at the first attempt, yet doubled"


def unknown_attempts(database: Path) -> dict[str, int]:
    """How often the one step of each message was unknown, by the message's name."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT recipient, max(doubts) FROM journal_step GROUP BY recipient").fetchall()
    connection.close()
    return {recipient.partition("@")[0]: doubts for recipient, doubts in rows}


def summary(ledger: Ledger, copies: Counter[str], doubts: dict[str, int]) -> str:
    doubled = sum(count > 1 for count in copies.values())
    return (
        f"{len(ledger.acknowledged)} acknowledged, {len(ledger.confirmed)} confirmed, {sum(copies.values())} arrived, "
        f"{doubled} doubled, {sum(map(bool, doubts.values()))} of unknown outcome, "
        f"{ledger.broken_while_awaiting} cut between dot and reply, {len(ledger.refusals)} told to wait"
    )
