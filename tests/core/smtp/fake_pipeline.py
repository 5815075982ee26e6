"""A pipeline without hooks, store and delivery: example.test is hosted here, messages are kept in a list."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway.mail.address import Address
from gateway.mail.body import Body
from gateway.mail.envelope import Credentials, Identity, MailParameters, Recipient, Session
from gateway.mail.reply import ACCEPTED, BAD_CREDENTIALS, RECIPIENT_OK, RELAY_DENIED, UNKNOWN_USER, Reply
from gateway.mail.transaction import Transaction
from gateway.pipeline import Pipeline, Verdict

MAILBOXES = ("anna", "bo", "postmaster")
LOGINS = {("anna@example.test", "open sesame"), ("anna@example.test", "x" * 1024)}


@dataclass
class Kept:
    """One message as the pipeline got it."""

    transaction: Transaction
    sender: str
    recipients: tuple[str, ...]
    data: bytes
    client_gone: bool


@dataclass
class FakePipeline(Pipeline):
    """Everything it was told, for tests to look at."""

    kept: list[Kept] = field(default_factory=list)
    refusals: list[tuple[str, Reply, int]] = field(default_factory=list)
    told: list[list[dict[str, Any]]] = field(default_factory=list)
    """The events of each refused transaction."""
    sessions: list[Session] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    credentials: list[Credentials] = field(default_factory=list)
    recipients: list[Recipient] = field(default_factory=list)
    parameters: list[MailParameters] = field(default_factory=list)
    keep_bodies: bool = True
    hold: asyncio.Event | None = None
    """When set, `process` waits for it."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """What to say for a recipient after the dot, by address."""
    failing: set[str] = field(default_factory=set)
    """Names of methods that raise, as a bug would."""
    count: int = 0

    async def connect(self, session: Session) -> Reply | None:
        self._fail("connect")
        return None

    async def authenticate(self, session: Session, credentials: Credentials) -> Identity | Reply:
        self._fail("authenticate")
        self.credentials.append(credentials)
        if self.hold is not None:
            await self.hold.wait()
        if (credentials.user, credentials.password) in LOGINS:
            return Identity(Address.parse(credentials.user), "p1", credential_version=1)
        return self.replies.get("AUTH", BAD_CREDENTIALS)

    async def mail(self, session: Session, sender: Address | None, parameters: MailParameters) -> Transaction | Reply:
        self._fail("mail")
        if "MAIL" in self.replies:
            return self.replies["MAIL"]
        self.count += 1
        if self.keep_bodies:
            self.sessions.append(session)
            self.parameters.append(parameters)
        return Transaction(f"t{self.count}", session, sender, parameters)

    async def rcpt(self, transaction: Transaction, recipient: Recipient) -> Reply:
        self._fail("rcpt")
        if transaction.session.role == "inbound":
            if recipient.address.domain not in ("example.test", "gw.example.test"):
                return RELAY_DENIED.tagged(transaction.id)
            if recipient.address.local.lower() not in MAILBOXES:
                return UNKNOWN_USER.tagged(transaction.id)
        if self.keep_bodies:
            self.recipients.append(recipient)
        if not transaction.has(recipient):
            transaction.accept(recipient)
        return RECIPIENT_OK

    async def process(self, transaction: Transaction, body: Body) -> Verdict:
        self._fail("process")
        if self.hold is not None:
            await self.hold.wait()
        recipients = tuple(str(recipient.address) for recipient in transaction.recipients)
        if self.keep_bodies:
            data = body.read(0, len(body))
            self.kept.append(
                Kept(transaction, transaction.envelope().return_path, recipients, data, transaction.client_gone)
            )
        default = ACCEPTED.tagged(transaction.id)
        replies = tuple(self.replies.get(recipient, default).tagged(transaction.id) for recipient in recipients)
        return Verdict(max(replies, key=lambda reply: reply.code), replies)

    def refused(self, transaction: Transaction, reply: Reply, size: int) -> Reply:
        self._fail("refused")
        self.refusals.append((transaction.id, reply, size))
        self.told.append(list(transaction.events))
        return reply.tagged(transaction.id)

    def confirm(self, transaction: Transaction) -> None:
        if self.keep_bodies:
            self.confirmed.append(transaction.id)

    def abandon(self, transaction: Transaction) -> None:
        self.abandoned.append(transaction.id)

    def _fail(self, method: str) -> None:
        if method in self.failing:
            raise RuntimeError(f"secret detail of {method}")
