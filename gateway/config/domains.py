"""How domains are proven by their owners, and who is told about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.section import Section
from gateway.mail.address import Address, AddressError, normalise_domain


def _name(text: str) -> str:
    try:
        return normalise_domain(text) if text else ""
    except AddressError as error:
        raise ValueError(f"expected a host name: {error}") from None


def _address(text: str) -> str:
    try:
        return str(Address.parse(text)) if text else ""
    except AddressError as error:
        raise ValueError(f"expected an address: {error}") from None


HostName = Annotated[str, AfterValidator(_name)]


class DomainsConfig(Section):
    """Proof of domains by DNS. What an owner has to enter must not change later: it stands in everybody's zones."""

    label: str = Field(
        "stellwerk",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="the word in the name of the record that proves ownership: _LABEL-challenge",
        json_schema_extra={"allowed": "letters a-z, digits and -"},
    )
    gateway: HostName = Field(
        "",
        description="how that record calls this gateway; empty: server.hostname",
        json_schema_extra={"allowed": "a host name"},
    )
    spf_include: HostName = Field(
        "",
        description="name of the SPF record that lists this gateway; empty: domains name each of server.mx_hosts",
        json_schema_extra={"allowed": "a host name"},
    )
    ttl_seconds: int = Field(300, ge=60, le=86_400, description="of the records that owners are asked to publish")
    look: bool = Field(
        True, description="whether claimed domains are looked at; without, their states stay as they are"
    )
    reserved: list[HostName] = Field([], description="names nobody may claim, beside those of the gateway itself")
    language: Literal["en", "de"] = Field("en", description="of the notices to owners and to the operator")
    sender: Annotated[str, AfterValidator(_address)] = Field(
        "",
        description="From of the notices; empty: postmaster at server.hostname",
        json_schema_extra={"allowed": "an address"},
    )
    operator: Annotated[str, AfterValidator(_address)] = Field(
        "",
        description="who gets the daily report and what needs a decision; empty: postmaster at server.hostname",
        json_schema_extra={"allowed": "an address"},
    )
    report_hour: int = Field(6, ge=0, le=23, description="hour, in UTC, of the daily report of changes")
