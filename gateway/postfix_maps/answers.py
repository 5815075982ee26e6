"""What each map says to a key, asked live. Files of the same maps are made in listing.py."""

from __future__ import annotations

from typing import Literal, get_args

from gateway.delivery.maildir_folder import safe_segment
from gateway.directory.cache import Reads
from gateway.directory.senders import SenderLogins
from gateway.directory.service import DirectoryService
from gateway.errors import StoreUnavailable
from gateway.mail.address import Address, AddressError, normalise_domain

MapName = Literal["recipients", "domains", "sender-logins"]
MAPS: tuple[MapName, ...] = get_args(MapName)


class MapAnswers:
    """The maps of one gateway. `directory` must have been started."""

    def __init__(self, directory: DirectoryService, store: Reads) -> None:
        self._directory = directory
        self._senders = SenderLogins(store, directory.version)

    async def answer(self, name: MapName, key: str) -> str | None:
        """The value of `key`; None: there is none. Raises `StoreUnavailable` when Postfix must ask again later."""
        await self._directory.version.must_be_fresh()
        if name == "domains":
            return self._domain(key)
        try:
            address = Address.parse(key)
        except AddressError:  # Postfix also asks for local parts, and for "@domain"
            return None
        if name == "recipients":
            return await self._recipient(address)
        return ",".join(await self._senders.of(address)) or None

    def _domain(self, key: str) -> str | None:
        try:
            domain = normalise_domain(key)
        except AddressError:  # ".example.org", by which Postfix asks for subdomains
            return None
        # A suspended one is still ours: Postfix must not call its mail relaying, which is refused for good.
        ours = self._directory.hosts(domain) or self._directory.refusal(domain) is not None
        return domain if ours else None

    async def _recipient(self, address: Address) -> str | None:
        refusal = self._directory.refusal(address.domain)
        if refusal is not None and refusal.is_temporary:
            raise StoreUnavailable(refusal.text)  # Postfix answers 451 4.3.0, as we would
        mailbox = await self._directory.mailbox(address)
        return maildir_of(mailbox.address) if mailbox is not None and mailbox.takes_mail else None


def maildir_of(mailbox: Address) -> str:
    """What the map of recipients says of a mailbox: its Maildir below a base directory, as virtual(8) reads it.

    Everybody else only looks whether there is a value. (From a socketmap virtual(8) takes none; files it reads.)
    """
    local = mailbox.local.partition("+")[0] or mailbox.local
    return f"{safe_segment(mailbox.domain)}/{safe_segment(local)}/"
