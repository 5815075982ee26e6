"""Calls one hook of one plugin directly: no chain, no policy, and what the hook raises reaches the test."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.api import Directory, Dns, Mailbox, MailDomainAnswer, Plugin, Services, StoreReader
from gateway.mail.address import Address
from gateway.testing.clock import Clock

P = TypeVar("P", bound=Plugin[Any])


class NoStore(StoreReader):
    """Has no rows."""

    async def read(self, query: Any, params: Mapping[str, Any] | None = None) -> list[Any]:
        return []


@dataclass(frozen=True)
class KnownMailbox:
    """A mailbox with nothing special about it."""

    address: Address
    kind: str = "personal"
    organisation: str = ""
    context: str = ""
    receives: bool = True
    vip: bool = False
    max_message_bytes: int | None = None
    plugins: Mapping[str, bool] = field(default_factory=dict)


class FewMailboxes(Directory):
    """Hosts exactly these addresses and their domains."""

    def __init__(self, mailboxes: Iterable[str]) -> None:
        self._mailboxes = {Address.parse(mailbox).key for mailbox in mailboxes}
        self._domains = {Address.parse(mailbox).domain for mailbox in mailboxes}

    def hosts(self, domain: str) -> bool:
        return domain in self._domains

    def is_local(self, address: Address) -> bool:
        return self.hosts(address.domain)

    smallest_message_limit: int | None = None

    async def has_mailbox(self, address: Address) -> bool:
        return address.key in self._mailboxes

    async def mailbox(self, address: Address) -> Mailbox | None:
        return KnownMailbox(address) if await self.has_mailbox(address) else None


class NoDns(Dns):
    """Raises: give a plugin that asks DNS a whole gateway and `start_dns`."""

    async def mail_domain(self, domain: str, role: str) -> MailDomainAnswer:
        raise LookupError(f"this test has no DNS; {domain} was asked for")


def make_plugin(
    cls: type[P],
    settings: Mapping[str, Any] | None = None,
    *,
    mailboxes: Iterable[str] = ("anna@example.test",),
    clock: Clock | None = None,
    services: Services | None = None,
) -> P:
    """An instance with checked settings. Raises pydantic's ValidationError when `settings` are wrong."""
    made = services or Services(
        NoStore(), FewMailboxes(list(mailboxes)), NoDns(), clock or Clock(), logging.getLogger("stellwerk.plugin.test")
    )
    return cls(cls.config_model.model_validate(settings or {}), made)


def call_hook(plugin: Plugin[Any], hook: str, **arguments: Any) -> Any:
    """What the hook returns: awaited when it is a coroutine, a list when it is a generator.

    Only the arguments that the hook names are passed on, as in the gateway. Not for use inside a running event loop:
    there `await plugin.message_received(...)` itself.
    """
    function = getattr(plugin, hook)
    missing = [name for name in inspect.signature(function).parameters if name not in arguments]
    if missing:
        raise TypeError(f"{hook} names {', '.join(missing)}: give it to call_hook as well")
    wanted = {name: arguments[name] for name in inspect.signature(function).parameters}
    answer = function(**wanted)
    if inspect.isawaitable(answer):
        return asyncio.run(_awaited(answer))
    return list(answer) if inspect.isgenerator(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer
