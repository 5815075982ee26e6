"""Which messages are never answered automatically (RFC 3834 2, and what programs of others understand). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from email.utils import getaddresses

from gateway.mail.address import Address, AddressError
from gateway.mail.headers import Headers

# RFC 3834 2: lists, programs and roles write from such addresses, and no person reads what is sent there.
_NOBODYS = re.compile(
    r"(?:owner|bounces?)-.*|.*-(?:request|owner|bounces?)|mailer-daemon|postmaster|(?:no|do-?not)[-_.]?reply.*|listserv"
    r"|majordomo"
)
_PRECEDENCE = frozenset({"bulk", "list", "junk", "auto_reply"})
_AUTOMATIC = ("x-auto-response-suppress", "x-autoreply", "x-autorespond")
_NAMED_IN = ("to", "cc", "resent-to", "resent-cc")
# A header can name a hundred thousand people (fault catalogue, M24).
_MOST_OCTETS = 65_536


def reason_for_silence(headers: Headers, sender: Address | None, own: Set[str]) -> str:
    """Why the message gets no automatic answer; empty when it may get one.

    `sender` is its return path, `own` the addresses of the mailbox that would answer, in their normal form.
    """
    if sender is None:
        return "it has the null sender"
    if sender.key in own:
        return "it comes from the mailbox itself"
    if _NOBODYS.fullmatch(sender.local.lower()):
        return f"nobody reads mail to {sender}"
    if headers.get("auto-submitted", "no").partition(";")[0].strip().lower() != "no":
        return "it is marked Auto-Submitted"
    precedence = headers.get("precedence").strip().lower()
    if precedence in _PRECEDENCE:
        return f"its Precedence is {precedence}"
    for field in headers:
        if field.name.startswith("list-"):
            return "it comes from a mailing list"
        if field.name in _AUTOMATIC:
            return f"it has the field {field.name.title()}"
    if headers.get("content-type").lower().startswith("multipart/report"):
        return "it is a report"
    if own.isdisjoint(named(headers.texts(name, _MOST_OCTETS) for name in _NAMED_IN)):
        return "it does not name the mailbox in To or Cc"
    return ""


def named(texts: Iterable[Iterable[str]]) -> set[str]:
    """The addresses that stand in these fields, in their normal form, each without its subaddress as well."""
    found: set[str] = set()
    for text in (text for field in texts for text in field):
        try:
            pairs = getaddresses([text])
        except (ValueError, IndexError, RecursionError):  # fault catalogue, finding 5
            continue
        for _, address in pairs:
            try:
                key = Address.parse(address).key
            except AddressError:
                continue
            local, _, domain = key.rpartition("@")
            found |= {key, f"{local.partition('+')[0]}@{domain}"}
    return found
