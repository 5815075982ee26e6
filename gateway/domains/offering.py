"""What one claim has to publish here: the configuration's names put together with the claim's token. No I/O."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from gateway.config.client_setup import ClientSetupConfig
from gateway.config.models import Config
from gateway.directory.errors import Conflict
from gateway.domains.records import Offer, Service
from gateway.domains.showing import Shown

# RFC 6186 3 and RFC 8314 5.1: which service a server is, by what it speaks from the first octet on.
_SERVICES = {
    ("imap", "tls"): "imaps",
    ("imap", "starttls"): "imap",
    ("pop3", "tls"): "pop3s",
    ("pop3", "starttls"): "pop3",
    ("smtp", "tls"): "submissions",
    ("smtp", "starttls"): "submission",
}


def offer_of(config: Config, shown: Shown, *, existing_spf: str = "", reports_to: str = "") -> Offer:
    """Raises `Conflict` when the installation does not know its MX hosts, or the claim has no token."""
    row = shown.row
    if not config.server.mx_hosts:
        raise Conflict(
            "the gateway does not know by which names it is reached from outside, so no MX can be named; "
            'set server.mx_hosts, for example ["mx1.example.org"]'
        )
    if not row.token:
        raise Conflict(
            f"{row.name} is {row.state} and has no token to publish; claim it: "
            f"stellwerk domain add {row.name} --organisation {shown.organisation} --contact ADDRESS"
        )
    return offer_from(config, row, existing_spf=existing_spf, reports_to=reports_to)


def offer_from(config: Config, row: Row[Any], *, existing_spf: str = "", reports_to: str = "") -> Offer:
    """The same for a row that is known to have a token."""
    return Offer(
        domain=row.name,
        label=config.domains.label,
        scope="tree" if row.scope == "tree" else "exact",
        token=row.token,
        gateway=config.gateway_name,
        mx_hosts=tuple(host.lower().removesuffix(".") for host in config.server.mx_hosts),
        ttl=config.domains.ttl_seconds,
        spf_include=config.domains.spf_include,
        existing_spf=existing_spf,
        reports_to=reports_to or f"postmaster@{row.name}",
        services=_services(config.client_setup),
    )


def _services(setup: ClientSetupConfig) -> tuple[Service, ...]:
    """Those that people are told of (`[client_setup]`)."""
    return tuple(
        Service(_SERVICES[protocol, one.security], one.server.lower().removesuffix("."), one.port)
        for protocol, one in (("imap", setup.imap), ("pop3", setup.pop3), ("smtp", setup.smtp))
        if one.server
    )
