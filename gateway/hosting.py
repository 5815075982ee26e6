"""What the core itself says of an address once no plugin has: taken or not at RCPT, and where its mail goes."""

from __future__ import annotations

from dataclasses import replace

from gateway.config.models import Config
from gateway.directory.lookup import Mailbox
from gateway.directory.mailboxes import MAIN
from gateway.directory.service import DirectoryService
from gateway.mail.address import Address
from gateway.mail.reply import (
    MAILBOX_DISABLED,
    NEXT_HOP_MISCONFIGURED,
    RECIPIENT_OK,
    RELAY_DENIED,
    UNKNOWN_USER,
    Reply,
)
from gateway.routing.route import Deliver, Redirect, Refuse, Route


class Hosting:
    """The mailboxes of the directory and of the configuration, and the next hops that their mail goes to."""

    def __init__(self, config: Config, directory: DirectoryService) -> None:
        self._config = config
        self._directory = directory

    def claim(self, address: Address, mailbox: Mailbox | None) -> Reply | None:
        """The answer to RCPT for an address of a hosted domain, whose mailbox it is; None for one elsewhere."""
        if mailbox is not None:
            return RECIPIENT_OK if mailbox.takes_mail else MAILBOX_DISABLED
        return UNKNOWN_USER if self._directory.hosts(address.domain) else None

    async def route(self, outbound: str, address: Address) -> Route:
        """`outbound` is the next hop for addresses elsewhere, empty for none. Raises `StoreUnavailable`."""
        routing = self._config.routing
        mailbox = await self._directory.mailbox(address)
        if mailbox is not None:
            return self._into(mailbox, address)
        suspended = self._directory.refusal(address.domain)
        if suspended is not None:  # it stays ours for that long: mail for it must not go out and come back
            return Refuse(suspended, "suspended", "its domain is suspended")
        if self._directory.is_local(address):
            # A plugin leads to somebody who is not listed: the next hop knows who there is, unless the directory does.
            return (
                Refuse(UNKNOWN_USER) if self._directory.lists_all(address.domain) else Deliver(routing.hosted, "hosted")
            )
        if outbound:
            return Deliver(outbound, "outbound" if outbound == routing.outbound else "relay")
        return Refuse(RELAY_DENIED, reason="no next hop for mail to the outside")

    def _into(self, mailbox: Mailbox, address: Address) -> Route:
        """On to the main address, to whoever follows somebody who has left, or to its next hop."""
        if not mailbox.receives:
            return Refuse(MAILBOX_DISABLED, "receives", "the mailbox is set to receive nothing")
        if mailbox.successors is not None:
            if mailbox.successors:
                return Redirect(mailbox.successors, rule="successor", reason="its owner has left")
            return Refuse(MAILBOX_DISABLED, "successor", "its owner has left, and nobody follows")
        if mailbox.asked != MAIN:
            _, plus, detail = address.local.partition("+")
            main = replace(mailbox.address, local=f"{mailbox.address.local}{plus}{detail}")
            return Redirect((main,), rule=mailbox.asked, reason=f"{mailbox.asked} of {mailbox.address}")
        via = mailbox.next_hop or self._config.routing.hosted
        if via not in self._config.next_hops:
            return Refuse(NEXT_HOP_MISCONFIGURED, "next_hop", f"its next hop {via} is not configured")
        return Deliver(via, "hosted")
