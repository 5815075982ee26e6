"""Checks of the listeners' certificates for `stellwerk doctor`. They need the rights of whoever starts the gateway."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.certificates import read_certificate, server_context, validity
from gateway.config.listener import ListenerConfig
from gateway.config.models import Config
from gateway.doctor.findings import Found, failed, ok, warning
from gateway.errors import StartupError

RENEW_DAYS = 14
"""Whoever renews by a timer has done so long before; who does so by hand should hear of it."""


def certificate_findings(config: Config, now: datetime | None = None) -> Iterator[Found]:
    """Whether the certificate of each listener with TLS serves, and for how long."""
    for listener in config.listeners:
        if listener.tls != "none":
            yield _finding(listener, now or datetime.now(UTC))


def _finding(listener: ListenerConfig, now: datetime) -> Found:
    try:
        certificate = read_certificate(listener)
        holds = validity(listener, certificate)
        server_context(listener, certificate)
    except StartupError as error:
        return failed(str(error))
    where = f'listener "{listener.name}", tls_certificate {listener.tls_certificate}'
    if problem := holds.problem(now):
        return failed(f"{where}: {problem}")
    days = (holds.ends - now).days
    if days < RENEW_DAYS:
        return warning(f"{where}: expires in {days} days, on {holds.ends:%Y-%m-%d}; renew it, then reload the gateway")
    return ok(f"{where}: good for {days} days")


def careless_context() -> ssl.SSLContext:
    """For finding out whether somebody answers, whoever it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
