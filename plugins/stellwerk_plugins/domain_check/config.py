"""The settings of domain_check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from gateway.api import Address, AddressError, Field, Settings


def _pattern(text: str) -> str:
    """A domain as an A-label in lower case; a leading dot stays."""
    name = text.removeprefix(".")
    try:
        return text[: len(text) - len(name)] + Address.parse(f"postmaster@{name}").domain
    except AddressError as error:
        raise ValueError(f"expected a domain, or one behind a dot: {error}") from None


DomainPattern = Annotated[str, AfterValidator(_pattern)]


class DomainCheckSettings(Settings):
    """Which domains are looked up, and what becomes of mail from those that do not exist."""

    check_senders: bool = Field(True, strict=True, description="look up the domain of MAIL FROM")
    check_recipients: bool = Field(True, strict=True, description="look up the domains of recipients outside")
    unknown_sender_domain: Literal["reject", "defer"] = Field(
        "reject", description="a sender's domain that does not exist: 550, or 450 while you watch for the first week"
    )
    skip_domains: list[DomainPattern] = Field(
        [], description='domains that are never looked up; ".example.test" means all below example.test'
    )

    def skips(self, domain: str) -> bool:
        """Whether `domain` (A-label, lower case) is in `skip_domains`."""
        if not self.skip_domains:
            return False
        below = (domain[index:] for index, character in enumerate(domain) if character == ".")
        return not {domain, *below}.isdisjoint(self.skip_domains)
