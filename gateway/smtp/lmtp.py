"""LMTP (RFC 2033): the SMTP conversation with LHLO, and a reply for each recipient after the dot."""
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from gateway.mail.envelope import Client
from gateway.mail.reply import BAD_SEQUENCE, SYNTAX_ERROR, Reply
from gateway.mail.transaction import Transaction
from gateway.smtp.server import SmtpServer
from gateway.smtp.session import Service

if TYPE_CHECKING:
    from gateway.pipeline import Verdict


class LmtpServer(SmtpServer):
    """One LMTP conversation."""

    verbs: ClassVar[dict[bytes, str]] = SmtpServer.verbs | {b"LHLO": "smtp_LHLO"}

    def __init__(self, service: Service, client: Client) -> None:
        super().__init__(service, client)
        self._order: list[str] = []  # keys of the addresses of all RCPTs answered 250, repeated ones too

    async def smtp_LHLO(self, argument: str) -> None:
        await super().smtp_EHLO(argument)

    async def smtp_EHLO(self, argument: str) -> None:
        self._refuse(SYNTAX_ERROR.says("this is LMTP, begin with LHLO"))  # RFC 2033 4.1

    async def smtp_HELO(self, argument: str) -> None:
        await self.smtp_EHLO(argument)

    @property
    def _no_recipients(self) -> Reply:
        return BAD_SEQUENCE  # RFC 2033 4.2

    def _end_transaction(self) -> None:
        super()._end_transaction()
        self._order = []

    def _recipient_taken(self, transaction: Transaction, key: str) -> None:
        self._order.append(key)

    def _replies(self, transaction: Transaction, verdict: Verdict) -> Sequence[Reply]:
        """RFC 2033 4.2: a forward path given twice and accepted twice gets two replies."""
        if len(self._order) == len(verdict.replies):
            return verdict.replies
        by_key = dict(zip((each.address.key for each in transaction.recipients), verdict.replies, strict=True))
        return [by_key[key] for key in self._order]

    def _all(self, reply: Reply) -> Sequence[Reply]:
        return (reply,) * len(self._order)
