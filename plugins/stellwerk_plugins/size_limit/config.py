"""The settings of size_limit, and which of them counts for a listener and a recipient's domain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from gateway.api import Address, AddressError, Field, ListenerName, Settings


def _a_label(domain: str) -> str:
    """Domains are compared as A-labels in lower case, however they were written."""
    try:
        return Address.parse(f"postmaster@{domain}").domain
    except AddressError as error:
        raise ValueError(f"expected a domain: {error}") from None


Octets = Annotated[int, Field(strict=True, gt=0)]
Domain = Annotated[str, AfterValidator(_a_label)]

DEFAULT_ATTACHMENT_BYTES = 26_214_400  # 25 MiB


class Limits(Settings):
    """The two limits. What is left out is taken from the next wider table."""

    max_message_bytes: Octets | None = Field(None, description="whole message as it is transferred, header included")
    max_attachment_bytes: Octets | None = Field(None, description="all attachments of a message together, decoded")


class Effective(NamedTuple):
    """The limits for one recipient, in octets; None is no limit."""

    message: int | None
    attachments: int


class SizeLimitSettings(Limits):
    """Limits for everybody, and exceptions by listener and by recipient's domain."""

    max_message_bytes: Octets | None = Field(
        None, description="whole message as it is transferred; unset: only the gateway's own limit"
    )
    max_attachment_bytes: Octets = Field(
        DEFAULT_ATTACHMENT_BYTES, description="all attachments of a message together, decoded"
    )
    listener: dict[ListenerName, Limits] = Field({}, description="limits for what comes in by the listener NAME")
    domain: dict[Domain, Limits] = Field({}, description="limits for recipients in this domain; they come before all")

    def effective(self, listener: str, domain: str) -> Effective:
        """What counts for one recipient: each limit from the most specific table that sets it."""
        message, attachments = self.max_message_bytes, self.max_attachment_bytes
        for table in (self.listener.get(listener), self.domain.get(domain)):
            if table is not None:
                message = table.max_message_bytes or message
                attachments = table.max_attachment_bytes or attachments
        return Effective(message, attachments)

    @property
    def smallest(self) -> int:
        """No message of at most this size breaks any limit: what is decoded is never larger than what is coded."""
        tables: list[Limits] = [self, *self.listener.values(), *self.domain.values()]
        limits = [limit for table in tables for limit in (table.max_message_bytes, table.max_attachment_bytes)]
        return min(limit for limit in limits if limit is not None)


def strictest(limits: Iterable[Effective]) -> Effective:
    """What a message must keep to in order to pass for all of them."""
    messages, attachments = zip(*limits, strict=True)
    return Effective(min((limit for limit in messages if limit is not None), default=None), min(attachments))
