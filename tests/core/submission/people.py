"""A whole gateway with a submission listener and people who send, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.directory.actor import command_line
from gateway.directory.change import Command, carry_out
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddAlias, AddMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.people import AddPerson
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import MailParameters, Recipient, Session
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction
from gateway.trace import latest
from tests.core.gateways import OUTBOUND, Running, Sent, running, session

T = TypeVar("T")

LISTENER = """
[[listener]]
name = "submission"
role = "submission"
address = "127.0.0.1:0"
auth_without_tls = true
"""
COMMANDS: tuple[Command[Any], ...] = (
    AddOrganisation("acme", "Acme Ltd"),
    AddContext("acme", "sales"),
    TrustDomain("acme.test", organisation="acme"),
    TrustDomain("new.test", organisation="acme"),
    AddPerson("anna@acme.test", "acme", "sales", "Anna Berg"),
    AddPerson("bo@acme.test", "acme", "sales", "Bo Dahl"),
    AddMailbox("anna@acme.test", "acme", "sales", owner="anna@acme.test"),
    AddMailbox("anna@new.test", "acme", "sales", owner="anna@acme.test"),
    TrustDomain("new.test", trusted=False),
    AddMailbox("bo@acme.test", "acme", "sales", owner="bo@acme.test"),
    AddMailbox("team@acme.test", "acme", "sales", "shared", display_name="Acme Sales"),
    AddAlias("info@acme.test", "team@acme.test"),
    AddAlias("a.berg@acme.test", "anna@acme.test"),
    AddMember("team@acme.test", "anna@acme.test", Rights(send_on_behalf=True)),
    AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)),
)
"""anna@acme.test (alias a.berg) also owns anna@new.test, of a domain that is not trusted.

As team@acme.test (alias info) bo may send; anna on its behalf."""


class People:
    """The gateway, and how people use it."""

    def __init__(self, gateway: Running) -> None:
        self.running = gateway
        self.gateway = gateway.gateway

    async def do(self, command: Command[T]) -> T:
        """Carry out a command of the directory, and let this process see it."""
        done = await carry_out(self.gateway.store, command_line("tests"), command, self.running.clock)
        await self.gateway.directory.version.look()
        return done.result

    async def session(self, login: str, **more: Any) -> Session:
        """A connection on which somebody has logged in."""
        identity = await self.gateway.submission.person(login)
        assert identity is not None
        return session("submission", direction="outbound", identity=identity, tls="TLSv1.3", **more)

    async def mail(self, came: Session, sender: str) -> Transaction | Reply:
        source = Address.parse(sender) if sender else None
        return await self.gateway.pipeline.mail(came, source, MailParameters())

    async def send(
        self, raw: str, *to: str, login: str = "anna@acme.test", sender: str | None = None, came: Session | None = None
    ) -> Sent:
        """A whole transaction, none of whose commands is refused before the end of data."""
        transaction = await self.mail(came or await self.session(login), login if sender is None else sender)
        assert isinstance(transaction, Transaction), transaction
        for each in to:
            reply = await self.gateway.pipeline.rcpt(transaction, Recipient(Address.parse(each)))
            assert reply.is_accept, reply
        sent = Sent(transaction, await self.gateway.pipeline.process(transaction, MemoryBody(raw.encode())))
        self.running.confirm(sent)
        return sent

    async def stories(self) -> list[dict[str, Any]]:
        await self.running.written()
        return await latest(self.gateway.store, 100)


@asynccontextmanager
async def people(
    directory: Path, *plugins: str, listener: str = LISTENER, tables: str = OUTBOUND
) -> AsyncIterator[People]:
    """A gateway with the directory of `COMMANDS`. `listener` may go on with more settings."""
    async with running(directory, *plugins, tables=listener + tables) as gateway:
        made = People(gateway)
        for command in COMMANDS:
            await made.do(command)
        yield made
