"""Certificates for tests, made on the spot: an authority, what it signs, and files as an installation keeps them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import trustme

from gateway.certificates import Certificate, server_context
from gateway.config.listener import ListenerConfig

NAME = "gw.example.test"


@dataclass
class Authority:
    """A certificate authority that both sides of a test trust."""

    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    def issue(self, name: str = NAME, *, days: float = 30, since_days: float = 1) -> trustme.LeafCert:
        """A certificate for `name` that began `since_days` ago and holds for `days` from now."""
        now = datetime.now(UTC)
        begins, ends = now - timedelta(days=since_days), now + timedelta(days=days)
        return self.ca.issue_cert(name, not_before=begins, not_after=ends)

    def write(self, directory: Path, name: str = "gw", leaf: trustme.LeafCert | None = None) -> tuple[Path, Path]:
        """`leaf` (else a good one) as certificate file and private key file."""
        leaf = leaf or self.issue()
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.touch(0o600)
        key.write_bytes(leaf.private_key_pem.bytes())
        return certificate, key

    def client(self, *, version: ssl.TLSVersion | None = None, own: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """What a client needs that trusts this authority; `own` is shown to the server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if own is not None:
            own.configure_cert(context)
        return context

    def server(self, listener: ListenerConfig, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """What the gateway makes of a certificate of this authority."""
        leaf = leaf or self.issue()
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems).decode()
        clients = self.pem if listener.tls_client_ca else ""
        return server_context(
            listener, Certificate(listener.name, chain, leaf.private_key_pem.bytes().decode(), clients)
        )


@cache
def authority() -> Authority:
    """One for the whole run: a key costs more than most tests."""
    return Authority()


def tls_settings(**more: Any) -> dict[str, Any]:
    """Settings of a listener with TLS whose certificate is given to it in memory."""
    return {"tls": "starttls", "tls_certificate": Path("given")} | more
