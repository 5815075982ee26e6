"""The names people type for nouns, checked once: handles, addresses, extensions. Pure."""

from __future__ import annotations

import re

from gateway.directory.errors import BadValue
from gateway.mail.address import Address, AddressError, normalise_domain

_HANDLE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\Z")
_EXTENSION = re.compile(r"[0-9]{1,4}\Z")
MAX_TEXT = 200


def handle(text: str, noun: str) -> str:
    """The name of an organisation or context. Raises `BadValue`."""
    if not _HANDLE.match(text):
        raise BadValue(f'"{text}" is no name for {noun}; expected up to 64 of a-z, 0-9 and -, for example "sales"')
    return text


def address(text: str) -> Address:
    """An address for a mailbox, alias or login: no subaddress and no address literal. Raises `BadValue`."""
    try:
        parsed = Address.parse(text)
    except AddressError as error:
        raise BadValue(f'"{text}" is no mail address: {error}; expected "name@domain"') from None
    if "+" in parsed.local or set(parsed.local) & set('@%!"\\ '):
        raise BadValue(
            f'"{text}" cannot be an address here: what stands behind a + is a subaddress, and @, %, !, quotes and '
            'spaces are taken for routes elsewhere; expected "name@domain"'
        )
    return parsed


def domain(text: str) -> str:
    """A domain in its normal form. Raises `BadValue`."""
    try:
        name = normalise_domain(text)
    except AddressError as error:
        raise BadValue(f'"{text}" is no domain: {error}; expected for example "example.org"') from None
    if "." not in name:
        raise BadValue(f'"{text}" is a single label; expected a domain such as "example.org"')
    return name


def extension(text: str) -> str:
    """Up to four digits, or empty for none. Raises `BadValue`."""
    if text and not _EXTENSION.match(text):
        raise BadValue(f'"{text}" is no extension; expected one to four digits, for example "123"')
    return text


def line(text: str, what: str) -> str:
    """A name or title that may come to stand in a header: one line without control characters. Raises `BadValue`."""
    stripped = text.strip()
    if len(stripped) > MAX_TEXT or not stripped.isprintable():
        raise BadValue(f"{what} must be one line of at most {MAX_TEXT} printable characters; found {text[:40]!r}")
    return stripped
