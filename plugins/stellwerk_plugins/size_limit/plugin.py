"""size_limit: refuses messages and attachments that are too big, by listener and by recipient's domain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from weakref import WeakKeyDictionary

from gateway.api import (
    Address,
    Message,
    Plugin,
    Recipient,
    Refuse,
    Registry,
    Reply,
    Route,
    Services,
    Tag,
    Transaction,
    hookimpl,
    reply,
)
from stellwerk_plugins.size_limit.attachments import attachment_bytes
from stellwerk_plugins.size_limit.config import Effective, SizeLimitSettings, strictest


class SizeLimit(Plugin[SizeLimitSettings]):
    """Announced sizes at RCPT, real ones at the end of data. What is too big for some only is refused for them."""

    config_model = SizeLimitSettings
    timeout_seconds = 30.0

    def __init__(self, config: SizeLimitSettings, services: Services) -> None:
        super().__init__(config, services)
        self._harmless = config.smallest
        self._measured: WeakKeyDictionary[Message, int | None] = WeakKeyDictionary()

    @hookimpl
    def register(self, registry: Registry) -> None:
        registry.tag("attachment_bytes", "decoded octets of all attachments, for messages large enough to be measured")

    @hookimpl
    def smtp_rcpt_check(self, transaction: Transaction, recipient: Recipient) -> Awaitable[Reply | None] | None:
        announced = transaction.parameters.size
        if announced is None or self._is_harmless(announced):
            return None
        return self._announced(transaction.session.listener, recipient.address, announced)

    async def _announced(self, listener: str, recipient: Address, announced: int) -> Reply | None:
        limit = await self._limit(listener, recipient)
        return _too_big("message is", f"{announced} octets announced", announced, limit.message)

    @hookimpl
    def message_received(self, message: Message) -> Awaitable[Reply | Tag | None] | None:
        return None if self._is_harmless(len(message.body)) else self._received(message)

    async def _received(self, message: Message) -> Reply | Tag | None:
        attachments = await self._attachments(message)
        recipients = message.envelope.recipients
        limits = [await self._limit(message.session.listener, recipient.address) for recipient in recipients]
        if all(_refusal(message, limit, attachments) for limit in limits):
            return _refusal(message, strictest(limits), attachments)
        return None if attachments is None else Tag("attachment_bytes", attachments)

    @hookimpl
    def route_recipient(self, message: Message, recipient: Address) -> Awaitable[Route | None] | None:
        return None if self._is_harmless(len(message.body)) else self._route(message, recipient)

    async def _route(self, message: Message, recipient: Address) -> Route | None:
        limit = await self._limit(message.session.listener, recipient)
        refusal = _refusal(message, limit, await self._attachments(message))
        return None if refusal is None else Refuse(refusal, rule=recipient.domain, reason=refusal.text)

    def _is_harmless(self, octets: int) -> bool:
        """Whether a message of that size keeps every limit there is."""
        directory = self.services.directory.smallest_message_limit
        return octets <= self._harmless and (directory is None or octets <= directory)

    async def _limit(self, listener: str, recipient: Address) -> Effective:
        """What the configuration says of the domain, and the mailbox's own limit if that is stricter."""
        limit = self.config.effective(listener, recipient.domain)
        mailbox = await self.services.directory.mailbox(recipient)
        own = None if mailbox is None else mailbox.max_message_bytes
        if own is None or (limit.message is not None and limit.message <= own):
            return limit
        return limit._replace(message=own)

    async def _attachments(self, message: Message) -> int | None:
        """Measured once, in a thread: a spilled message is read from the disk."""
        if message not in self._measured:
            self._measured[message] = await asyncio.to_thread(attachment_bytes, message.body)
        return self._measured[message]


def _refusal(message: Message, limit: Effective, attachments: int | None) -> Reply | None:
    size = len(message.body)
    return _too_big("message is", f"{size} octets", size, limit.message) or (
        _too_big("attachments are", f"{attachments} octets decoded", attachments or 0, limit.attachments)
    )


def _too_big(what: str, found: str, size: int, limit: int | None) -> Reply | None:
    if limit is None or size <= limit:
        return None
    return reply.TOO_BIG.says(f"the {what} too big: {found}, at most {limit} are taken here")
