"""What people are told to enter in their mail programs. Nothing is served here: the servers are beside the gateway."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.section import Section
from gateway.mail.address import Address, AddressError

Security = Literal["tls", "starttls"]


def _sender(text: str) -> str:
    if text:
        try:
            Address.parse(text)
        except AddressError as error:
            raise ValueError(f"expected an address: {error}") from None
    return text


class ImapSetup(Section):
    """Where mail programs read mail by IMAP."""

    server: str = Field("", description="its name; empty: people are not told of it")
    port: int = Field(993, ge=1, le=65_535, description="its port")
    security: Security = Field("tls", description="tls from the first octet on, or starttls")


class Pop3Setup(Section):
    """Where mail programs fetch mail by POP3."""

    server: str = Field("", description="its name; empty: people are not told of it")
    port: int = Field(995, ge=1, le=65_535, description="its port")
    security: Security = Field("tls", description="tls from the first octet on, or starttls")


class SmtpSetup(Section):
    """Where mail programs send mail."""

    server: str = Field("", description="its name; empty: people are not told of it")
    port: int = Field(465, ge=1, le=65_535, description="its port")
    security: Security = Field("tls", description="tls from the first octet on, or starttls")


class ClientSetupConfig(Section):
    """What `stellwerk user send-credentials` tells people to enter in their mail programs."""

    sender: Annotated[str, AfterValidator(_sender)] = Field(
        "",
        description="From of that mail; empty: postmaster at server.hostname",
        json_schema_extra={"allowed": "an address"},
    )
    help: str = Field("", description="whom to ask, as one line of that mail; empty: nobody is named", max_length=200)
    imap: ImapSetup = Field(default_factory=ImapSetup)
    pop3: Pop3Setup = Field(default_factory=Pop3Setup)
    smtp: SmtpSetup = Field(default_factory=SmtpSetup)
