"""The directory as mail and plugins see it: the static mailboxes of the configuration, then the database.

It reads only; changes go through change.py. A domain in the configuration is answered from there alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.exc import DBAPIError

from gateway.directory.cache import Reads, Version, VersionedCache
from gateway.directory.lookup import Domains, Mailbox, find_mailbox, read_domains
from gateway.directory.static import POSTMASTER, StaticDirectory
from gateway.mail.address import Address
from gateway.mail.reply import Reply


class DirectoryService:
    """Who has a mailbox here. `start` before the first question; in a process that lives on, `watch` sees changes."""

    def __init__(self, static: StaticDirectory, store: Reads, clock: Callable[[], float] = time.time) -> None:
        self.version = Version(store)
        self._static = static
        self._store = store
        self._clock = clock
        self._domains = Domains()
        self._mailboxes: VersionedCache[Mailbox | None] = VersionedCache(self.version)
        self.version.on_change(self._read_domains)

    async def start(self) -> None:
        """Know the domains. Raises `StoreUnavailable`."""
        await self.version.look()

    async def start_if_there_are_tables(self) -> None:
        """As `start`, for commands that look on: before the first migration there are the static mailboxes only."""
        try:
            await self.start()
        except DBAPIError:
            return

    @property
    def is_started(self) -> bool:
        """Whether the database has been read; without tables there is nothing to read."""
        return self.version.number >= 0

    def watch(self) -> asyncio.Task[None]:
        """See changes until the task is cancelled."""
        return asyncio.create_task(self.version.watch(), name="watch over the directory")

    async def _read_domains(self) -> None:
        self._domains = await read_domains(self._store)

    # What plugins may ask (gateway.api.Directory)

    def hosts(self, domain: str) -> bool:
        """Whether mail for `domain` (A-label, lower case) is taken: it stands in the configuration, or may receive."""
        if self._static.hosts(domain):
            return True
        held = self._domains.states.get(domain)
        return held.takes_mail_at(self._clock()) if held is not None else domain in self._domains.intake

    def refusal(self, domain: str) -> Reply | None:
        """What is answered for every address of a domain that is held here and suspended; None for any other."""
        held = self._domains.states.get(domain)
        if held is None or self._static.hosts(domain):
            return None
        return held.refusal_at(self._clock())

    @property
    def static_domains(self) -> frozenset[str]:
        """Those of the configuration, for which the database is not asked."""
        return self._static.domains

    def hosted(self) -> frozenset[str]:
        """Every domain that mail is taken for: those of the configuration, and those of the database that may."""
        known = self._domains.intake.union(self._domains.states)
        return self._static.domains.union(name for name in known if self.hosts(name))

    def is_local(self, address: Address) -> bool:
        """Whether its mail stays here, be there such a mailbox or not: a hosted domain, or the gateway's postmaster."""
        return self.hosts(address.domain) or self._static.has_mailbox(address)

    @property
    def smallest_message_limit(self) -> int | None:
        """No mailbox has a stricter limit on messages than this many octets; None: none has any."""
        return self._domains.smallest_limit

    @property
    def has_answers(self) -> bool:
        """Whether any mailbox has an out-of-office text, so that it is worth asking."""
        return self._domains.has_answers

    def lists_all(self, domain: str) -> bool:
        """Whether the database knows every mailbox of the domain; behind one of the configuration others may."""
        return not self._static.hosts(domain) and domain in self._domains.states

    async def has_mailbox(self, address: Address) -> bool:
        """Whether the address, its +subaddress left aside, is one. Raises `StoreUnavailable`."""
        return await self.mailbox(address) is not None

    async def mailbox(self, address: Address) -> Mailbox | None:
        """What the address leads to; None for nobody, and in domains that do not receive. Raises `StoreUnavailable`."""
        if self._static.has_mailbox(address):
            return Mailbox("", address)
        if self._static.hosts(address.domain) or not self.hosts(address.domain):
            return None
        # Addresses of the directory have no "+" (names.py): behind it is a subaddress.
        key = f"{address.local.partition('+')[0].lower()}@{address.domain}"
        found = await self._mailboxes.get(key, self._find)
        if found is None and key.startswith(POSTMASTER + "@"):
            return self._postmaster(address)
        return found

    async def _find(self, key: str) -> Mailbox | None:
        return await find_mailbox(self._store, key)

    def _postmaster(self, address: Address) -> Mailbox:
        """Every domain has one (RFC 5321 4.5.1): the organisation's contact, else a mailbox of that name."""
        box = Mailbox("", Address(POSTMASTER, address.domain))
        contact = self._domains.contacts.get(address.domain)
        return replace(box, successors=(Address.parse(contact),)) if contact else box
