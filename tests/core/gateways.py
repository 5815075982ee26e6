"""Whole gateways on a real store with next hops in memory: what the edge does with them, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import Message as ParsedMessage
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gateway.app import Gateway, ProcessRole
from gateway.config import Config, read
from gateway.mail.address import Address
from gateway.mail.body import Body, MemoryBody
from gateway.mail.envelope import Client, MailParameters, Recipient, Session
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction
from gateway.pipeline import Verdict
from gateway.store.schema import job, journal_entry, journal_step
from gateway.trace import find
from tests.core.fake_next_hop import FakeNextHop
from tests.databases import url_of

HELLO = b"From: out@sender.test\r\nTo: anna@example.test\r\nSubject: hello\r\n\r\nHello.\r\n"
NOW = 1_800_000_000.0

CONFIG = """\
plugins = [{plugins}]
plugin_dir = "{directory}"
[server]
hostname = "gw.example.test"
state_dir = "{directory}/state"
[store]
url = "{url}"
busy_timeout_seconds = 0.05
[[listener]]
name = "mx"
address = "127.0.0.1:0"
transaction_deadline_seconds = {deadline}
[[listener]]
name = "lmtp"
protocol = "lmtp"
role = "filter"
address = "127.0.0.1:0"
trusted_peers = ["127.0.0.1/32"]
transaction_deadline_seconds = {deadline}
[[listener]]
name = "filter"
role = "filter"
address = "127.0.0.1:0"
trusted_peers = ["127.0.0.1/32"]
[[listener]]
name = "proxy"
role = "proxy"
address = "127.0.0.1:0"
trusted_peers = ["127.0.0.1/32"]
[next_hop.mail]
kind = "maildir"
path = "{directory}/mail/{{domain}}/{{local}}"
[next_hop.relay]
kind = "smtp"
address = "127.0.0.1:10026"
[next_hop.store]
kind = "lmtp"
address = "127.0.0.1:24"
[hosted."example.test"]
mailboxes = ["*"]
{tables}
"""
OUTBOUND = '[routing]\noutbound = "relay"\n'

PLUGIN = """\
import asyncio
from dataclasses import replace
from sqlalchemy import Column, MetaData, Table, Text
from gateway.api import *
from gateway.api import hookimpl
{more}

class Mine(Plugin):
{hooks}
"""


def plugin(directory: Path, name: str, hooks: str, more: str = "") -> str:
    """Write a plugin whose class body is `hooks`, into the gateway's `plugin_dir`. Its name."""
    indented = "".join(f"    {line}\n" if line else "\n" for line in hooks.strip("\n").splitlines())
    (directory / f"{name}.py").write_text(PLUGIN.format(hooks=indented or "    pass\n", more=more))
    return name


def config(directory: Path, *plugins: str, tables: str = "", deadline: float = 30.0) -> Config:
    """A configuration that keeps everything below `directory`, its store at `store_url`; `tables` is more TOML."""
    names = ", ".join(f'"{name}"' for name in plugins)
    text = CONFIG.format(plugins=names, directory=directory, url=url_of(directory), tables=tables, deadline=deadline)
    return read(text, "test.toml")


@dataclass
class Clock:
    """Goes only when told to."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Sent:
    """A message that went through, as the edge and the tests see it."""

    transaction: Transaction
    verdict: Verdict

    @property
    def code(self) -> int:
        return self.verdict.reply.code

    @property
    def codes(self) -> list[int]:
        return [reply.code for reply in self.verdict.replies]


@dataclass
class Running:
    """A gateway that takes mail. `mail`, `relay` and `store` are its next hops."""

    gateway: Gateway
    clock: Clock
    directory: Path
    mail: FakeNextHop
    relay: FakeNextHop
    store: FakeNextHop
    sent: list[Sent] = field(default_factory=list)

    async def begin(
        self,
        *to: str | Recipient,
        sender: str = "out@sender.test",
        listener: str = "mx",
        parameters: MailParameters | None = None,
    ) -> Transaction:
        """MAIL and RCPT, none of which is refused."""
        source = Address.parse(sender) if sender else None
        transaction = await self.gateway.pipeline.mail(session(listener), source, parameters or MailParameters())
        assert isinstance(transaction, Transaction)
        for each in to:
            recipient = each if isinstance(each, Recipient) else Recipient(Address.parse(each))
            reply = await self.gateway.pipeline.rcpt(transaction, recipient)
            assert reply.is_accept, reply
        return transaction

    async def send(self, *to: str | Recipient, raw: bytes | Body = HELLO, confirm: bool = True, **more: Any) -> Sent:
        """A whole transaction. With `confirm` the client is seen to have got the reply."""
        transaction = await self.begin(*to, **more)
        body = raw if isinstance(raw, Body) else MemoryBody(raw)
        sent = Sent(transaction, await self.gateway.pipeline.process(transaction, body))
        self.sent.append(sent)
        if confirm:
            self.confirm(sent)
        return sent

    def confirm(self, sent: Sent) -> None:
        self.gateway.pipeline.confirm(sent.transaction)

    async def written(self) -> None:
        """Wait for what is held and for the writer."""
        await self.gateway.pipeline.settled()
        await self.gateway.store.write([])

    async def steps(self, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of every step, in order of recipient and position; `closed` tells whether it is."""
        await self.written()
        table = journal_step.c
        order = select(journal_step).order_by(table.entry_id, table.recipient, table.position)
        rows = await self.gateway.store.read(order)
        found = [{**row._mapping, "closed": row.closed_at is not None} for row in rows]
        return [tuple(row[column] for column in columns) for row in found]

    async def states(self) -> dict[str, str]:
        """The state of each final address's step (`recipient` where nothing is handed on)."""
        rows = await self.steps("final", "recipient", "state")
        return {final or recipient: state for final, recipient, state in rows}

    async def entries(self) -> list[str]:
        await self.written()
        rows = await self.gateway.store.read(select(journal_entry.c.id).order_by(journal_entry.c.created_at))
        return [row.id for row in rows]

    async def jobs(self) -> Sequence[Any]:
        """The rows of the outbox."""
        await self.written()
        return await self.gateway.store.read(select(job).order_by(job.c.owner, job.c.created_at, job.c.key))

    async def notifications(self) -> list[tuple[str, str]]:
        """(action, final recipient) of everything that the notifications in the outbox report."""
        return [
            (str(block["Action"]), str(block["Final-Recipient"]).partition("; ")[2])
            for row in await self.jobs()
            if row.kind == "send_mail" and row.content
            for block in reported(row.content)
        ]

    async def story(self, transaction: Transaction) -> dict[str, Any]:
        """What the trace tells of it."""
        await self.written()
        found = await find(self.gateway.store, transaction.id)
        assert found is not None
        return found


def reported(notification: bytes) -> list[ParsedMessage]:
    """The recipient blocks of a delivery status notification."""
    status = message_from_bytes(notification).get_payload(1)
    assert isinstance(status, ParsedMessage)
    blocks = status.get_payload()
    assert isinstance(blocks, list)
    return [block for block in blocks[1:] if isinstance(block, ParsedMessage)]


def session(listener: str = "mx", **more: Any) -> Session:
    client = Client("192.0.2.7", 4711)
    protocol = "lmtp" if listener == "lmtp" else "smtp"
    role = {"mx": "inbound", "lmtp": "filter"}.get(listener, listener)
    found = Session("s1", listener, protocol, role, "inbound", client, client, "client.test")  # type: ignore[arg-type]
    return replace(found, **more)


@asynccontextmanager
async def running(
    directory: Path, *plugins: str, tables: str = "", deadline: float = 30.0, role: ProcessRole = "smtp"
) -> AsyncIterator[Running]:
    """A gateway on a new store in `directory`, stopped at the end."""
    clock = Clock()
    gateway = Gateway(config(directory, *plugins, tables=tables, deadline=deadline), role=role, clock=clock)
    mail, relay, store = FakeNextHop("mail", "maildir"), FakeNextHop("relay", "smtp"), FakeNextHop("store", "lmtp")
    real = list(gateway.next_hops.values())
    gateway.next_hops.update({hop.name: hop for hop in (mail, relay, store)})
    await asyncio.gather(*(hop.close() for hop in real))
    try:
        await gateway.start()
        yield Running(gateway, clock, directory, mail, relay, store)
    finally:
        await gateway.stop()


def texts(verdict: Verdict) -> list[str]:
    """The replies with their ids left out."""
    return [_without_id(reply) for reply in verdict.replies]


def _without_id(reply: Reply) -> str:
    return str(reply).rpartition(" [")[0]
