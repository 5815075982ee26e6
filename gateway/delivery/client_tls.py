"""TLS towards a next hop: how much of it is asked for, and the context that checks it.

Files are read here; what is said before and after is in opening.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import StartupError


@dataclass(slots=True)
class ClientTls:
    """Encryption to one next hop.

    `required` encrypts and checks the certificate, or no mail goes. Otherwise TLS is used as it comes, unchecked, and
    plain text where there is none: it keeps out listeners, not somebody who stands in the way (RFC 7435). `implicit`
    begins with the first byte instead of STARTTLS (RFC 8314 section 3). `name` is what the certificate must be for,
    when it is not the host of the address.
    """

    required: bool = False
    implicit: bool = False
    name: str = ""
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Made once, from the files as they are then; reads the disk. Raises `StartupError`."""
        if self._context is None:
            self._context = self._made()
        return self._context

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.required:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file is None:
            context.load_default_certs()
        else:
            # A hop's own certificate is as good an anchor as that of who signed it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            _load("tls_ca_file", self.ca_file, lambda: context.load_verify_locations(self.ca_file))
        if (certificate := self.certificate) is not None:
            key = self.key or certificate
            _load("tls_key", key, lambda: key.open("rb").close())  # else the error would not say which of the two
            _load("tls_certificate", certificate, lambda: context.load_cert_chain(certificate, key))
        return context


def _load(setting: str, path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise StartupError(f"{setting}: {path} is no usable PEM file: {error.reason or error}") from None
    except OSError as error:
        raise StartupError(f"{setting}: {path}: {error.strerror}; the worker's user must be able to read it") from None
