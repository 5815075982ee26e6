"""The paths of MAIL and RCPT as addresses, or the reply that refuses them (RFC 5321 4.1.2). Nothing is looked up."""

from __future__ import annotations

import re

from gateway.mail.address import Address, AddressError
from gateway.mail.reply import ADDRESS_LITERAL, BAD_ADDRESS, BAD_SENDER_ADDRESS, UNKNOWN_USER, Reply

_SOURCE_ROUTE = re.compile(r"@[^:@]+(?:,@[^:@,]+)*:")  # RFC 5321 appendix C: taken, and not obeyed
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PathError(ValueError):
    """The path is no address that mail can go to; `reply` says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def path_address(path: str) -> Address:
    """The address in `path`, which is not empty; a source route is dropped. Raises `AddressError`."""
    return Address.parse(_SOURCE_ROUTE.sub("", path, count=1) if path[0] == "@" else path)


def sender_address(path: str) -> Address:
    """The sender that `path` (without its angle brackets, not empty) names. Raises `PathError`."""
    try:
        return path_address(path)
    except AddressError as error:
        raise PathError(BAD_SENDER_ADDRESS.says(f"malformed sender address: {error}")) from None


def recipient_address(path: str, hostname: str) -> Address:
    """The recipient that `path` (without its angle brackets) names. Raises `PathError`.

    `hostname` is the domain of `postmaster`, the one address without a domain that RFC 5321 4.5.1 wants.
    """
    if not path:
        raise PathError(BAD_ADDRESS)
    if path.lower() == "postmaster":
        path = f"{path}@{hostname}"
    try:
        return path_address(path)
    except AddressError as error:
        if error.literal:
            raise PathError(ADDRESS_LITERAL) from None
        if "@" not in path and not _CONTROL.search(path):
            raise PathError(UNKNOWN_USER.says("no such mailbox here: the address has no domain")) from None
        raise PathError(BAD_ADDRESS.says(f"malformed address: {error}")) from None
