"""Certificates of listeners: read from their files, judged, made into what TLS needs. No connection is known here.

Who starts the gateway reads the files, once for each generation of workers, and hands their contents to processes that
may not be able to read them. So a key can belong to root alone, and a worker that is replaced at night serves what its
generation began with.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.config.listener import ListenerConfig
from gateway.config.models import Config
from gateway.errors import StartupError
from gateway.rights import own_name

# Forward secrecy and authenticated encryption only. Suites of TLS 1.3 are all of that kind and set by OpenSSL.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MAX_FILE_BYTES = 1024 * 1024
_SEQUENCE, _EXPLICIT_VERSION, _UTC_TIME = 0x30, 0xA0, 0x17  # X.690 8.1.2, 8.9; RFC 5280 4.1


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one listener shows, as PEM: its certificate with the chain, the key, the authority of its clients or ""."""

    listener: str
    chain: str
    key: str
    client_authority: str = ""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate holds (RFC 5280 4.1.2.5)."""

    begins: datetime
    ends: datetime

    def problem(self, now: datetime) -> str:
        """Why it does not hold at `now`; empty when it does."""
        if now >= self.ends:
            return f"expired on {self.ends:%Y-%m-%d %H:%M} UTC; renew it"
        if now < self.begins:
            return f"is valid from {self.begins:%Y-%m-%d %H:%M} UTC only; check the clock"
        return ""


def read_certificates(config: Config) -> tuple[Certificate, ...]:
    """The certificates of all listeners with TLS, unjudged. Raises `StartupError` with every file that is wrong."""
    found: list[Certificate] = []
    problems: list[str] = []
    for listener in config.listeners:
        if listener.tls == "none":
            continue
        try:
            found.append(read_certificate(listener))
        except StartupError as error:
            problems.append(str(error))
    if problems:
        raise StartupError("\n".join(problems))
    return tuple(found)


def read_certificate(listener: ListenerConfig) -> Certificate:
    """The files of one listener that has TLS. Raises `StartupError`."""
    if listener.tls_certificate is None:
        raise StartupError(f'listener "{listener.name}" has tls = "{listener.tls}" and no tls_certificate')
    authority = ""
    if listener.tls_client_ca is not None:
        authority = _read(listener, "tls_client_ca", listener.tls_client_ca)
    return Certificate(
        listener.name,
        _read(listener, "tls_certificate", listener.tls_certificate),
        _read(listener, "tls_key", listener.tls_key or listener.tls_certificate),
        authority,
    )


def server_context(listener: ListenerConfig, certificate: Certificate) -> ssl.SSLContext:
    """The server's side of TLS. Raises `StartupError` when certificate and key do not serve, whatever their dates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[listener.tls_min_version]
    context.set_ciphers(CIPHERS)
    # A client could keep a worker busy with handshakes for ever (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION
    _load(context, listener, certificate)
    if certificate.client_authority:
        try:
            context.load_verify_locations(cadata=certificate.client_authority)
        except (ssl.SSLError, ValueError) as error:
            raise _wrong(listener, "tls_client_ca", listener.tls_client_ca, f"no certificate in it ({error})") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def own_context(listener: ListenerConfig) -> ssl.SSLContext | None:
    """For a process that reads the files of a listener itself. Raises `StartupError`; None when it has no TLS."""
    return None if listener.tls == "none" else server_context(listener, read_certificate(listener))


def validity(listener: ListenerConfig, certificate: Certificate) -> Validity:
    """When the listener's own certificate holds. Raises `StartupError` when there is none."""
    block = _BLOCK.search(certificate.chain)
    try:
        return _validity(ssl.PEM_cert_to_DER_cert(block[0])) if block else _no_certificate()
    except (ValueError, IndexError):
        raise _wrong(
            listener, "tls_certificate", listener.tls_certificate, "no certificate in PEM form in it"
        ) from None


def check_certificates(config: Config, certificates: tuple[Certificate, ...], now: datetime) -> None:
    """Make sure that every certificate serves, and holds at `now`. Raises `StartupError` with all that do not."""
    problems = []
    for certificate in certificates:
        listener = config.listener(certificate.listener)
        assert listener is not None
        try:
            holds = validity(listener, certificate)
            server_context(listener, certificate)
            if problem := holds.problem(now):
                raise _wrong(listener, "tls_certificate", listener.tls_certificate, problem)
        except StartupError as error:
            problems.append(str(error))
    if problems:
        raise StartupError("\n".join(problems))


def _read(listener: ListenerConfig, setting: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            if setting == "tls_key" and (stat.S_IMODE(os.fstat(file.fileno()).st_mode) & stat.S_IROTH):
                raise _wrong(
                    listener, setting, path, f"every account of this machine may read the key; run: chmod o-rwx {path}"
                )
            return file.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except OSError as error:
        who = f"user {own_name()} cannot read it: " if isinstance(error, PermissionError) else ""
        raise _wrong(listener, setting, path, f"{who}{error.strerror}") from None


def _load(context: ssl.SSLContext, listener: ListenerConfig, certificate: Certificate) -> None:
    # OpenSSL takes both from files only; these are in memory, and gone at the end.
    with _in_memory(certificate.chain) as chain, _in_memory(certificate.key) as key:
        try:
            context.load_cert_chain(chain, key, password=_no_password)
        except _EncryptedKeyError:
            why = "the key is encrypted, and nobody is there to type its password; store it without one"
            raise _wrong(listener, "tls_key", listener.tls_key or listener.tls_certificate, why) from None
        except ssl.SSLError as error:
            raise _wrong(listener, *_whose_fault(listener, error)) from None


def _whose_fault(listener: ListenerConfig, error: ssl.SSLError) -> tuple[str, Path | None, str]:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "tls_key", listener.tls_key or listener.tls_certificate, "the key does not belong to the certificate"
    return "tls_certificate", listener.tls_certificate, f"certificate and key do not serve: {_reason(error)}"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "not a certificate and a key in PEM form").replace("_", " ").lower()


class _EncryptedKeyError(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    descriptor = os.memfd_create("stellwerk-pem")
    try:
        with os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _wrong(listener: ListenerConfig, setting: str, path: Path | None, why: str) -> StartupError:
    return StartupError(f'listener "{listener.name}", {setting} {path}: {why}')


def _no_certificate() -> Validity:
    raise ValueError("no PEM block")


def _validity(der: bytes) -> Validity:
    """RFC 5280 4.1: Certificate, TBSCertificate; in it version, serial number, algorithm, issuer, validity."""
    _, certificate, _ = _element(der)
    _, fields, _ = _element(certificate)
    tag, _, rest = _element(fields)
    if tag == _EXPLICIT_VERSION:
        _, _, rest = _element(rest)
    for _ in ("algorithm", "issuer"):
        _, _, rest = _element(rest)
    tag, dates, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    kind, begins, rest = _element(dates)
    begun = _time(kind, begins)
    kind, ends, _ = _element(rest)
    return Validity(begun, _time(kind, ends))


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """X.690 8.1: tag, contents and what follows. Raises `IndexError` or `ValueError`."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if len(der) < start + length:
        raise ValueError("cut off")
    return der[0], der[start : start + length], der[start + length :]


def _time(tag: int, text: bytes) -> datetime:
    """RFC 5280 4.1.2.5: UTCTime has two digits for the years 1950 to 2049, GeneralizedTime four."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits >= "5" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
