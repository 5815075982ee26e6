"""Certificates for tests of TLS towards next hops: one authority, and server contexts that go wrong in every way."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme

NAME = "mx.example.test"


@cache
def authority() -> trustme.CA:
    """The one that `ca_file` makes trusted."""
    return trustme.CA()


def ca_file(directory: Path) -> Path:
    """A file for `tls_ca_file`."""
    path = directory / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return path


def server(*names: str, expired: bool = False, stranger: bool = False, old: bool = False) -> ssl.SSLContext:
    """A server's context with a certificate for `names` (127.0.0.1 and mx.example.test when none are given).

    `stranger`: signed by an authority that nobody knows. `old`: it speaks no TLS above 1.1.
    """
    issuer = trustme.CA() if stranger else authority()
    until = datetime.now(UTC) + timedelta(days=-1 if expired else 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(*(names or ("127.0.0.1", NAME)), not_after=until).configure_cert(context)
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def client_files(directory: Path) -> tuple[Path, Path]:
    """Certificate and key of a client, in two files."""
    certificate, key = directory / "client.pem", directory / "client.key"
    issued = authority().issue_cert("gw.example.test")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return certificate, key
