"""Mail under load as mail servers send it, and the proof that none of it is lost. What goes wrong is not in here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.testing.sink import Sink
from tests.databases import query

CLIENTS = 16
CONFIG = """
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "{state}"
workers = {workers}

[store]
url = "{url}"

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


def config_text(url: str, state: Path, port: int, sink: Sink, *, workers: int = 1) -> str:
    """Of a gateway that takes mail for example.test at `port` and hands it to `sink`."""
    return CONFIG.format(url=url, state=state, port=port, sink=sink.address, workers=workers)


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


@asynccontextmanager
async def sending(port: int, ledger: Ledger) -> AsyncIterator[None]:
    """Clients at work for as long as the block lasts; then each gets its last message through."""
    stop = asyncio.Event()
    clients = [asyncio.create_task(Client(port, ledger, stop).run()) for _ in range(CLIENTS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*clients), 120)


def check(ledger: Ledger, copies: Counter[str], doubts: dict[str, int]) -> None:
    """Nothing acknowledged is lost, nothing is doubled but where the journal says so."""
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


def unknown_attempts(store_url: str) -> dict[str, int]:
    """How often the one step of each message was unknown, by the message's name."""
    rows = query(store_url, "SELECT recipient, max(doubts) FROM journal_step GROUP BY recipient")
    return {recipient.partition("@")[0]: doubts for recipient, doubts in rows}


def copies_at(sink: Sink) -> Counter[str]:
    """How many copies of each message arrived. AssertionError when one is not as it was sent."""
    copies: Counter[str] = Counter()
    for message in sink.messages:
        name = message.to[0].partition("@")[0]
        assert message.data.endswith(content_of(name)), f"{name} arrived changed"
        copies[name] += 1
    return copies


def summary(ledger: Ledger, copies: Counter[str], doubts: dict[str, int]) -> str:
    doubled = sum(count > 1 for count in copies.values())
    return (
        f"{len(ledger.acknowledged)} acknowledged, {len(ledger.confirmed)} confirmed, {sum(copies.values())} arrived, "
        f"{doubled} doubled, {sum(map(bool, doubts.values()))} of unknown outcome, "
        f"{ledger.broken_while_awaiting} cut between dot and reply, {len(ledger.refusals)} told to wait"
    )
