"""Text that a stranger put into the DNS, made fit for a page, a terminal and a log. It judges nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import dns.rdata
from dns.rdtypes.ANY.SPF import SPF
from dns.rdtypes.ANY.TXT import TXT

MAX_CHARACTERS = 512
MAX_RECORDS = 10  # of one answer, kept with an observation

# Cc control, Cf format (the bidi marks, zero-width joiners, tags), Cs surrogates, Co private, Cn unassigned, Zl and Zp
# line and paragraph separators: nothing that a reader would see, and all that could deceive one.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(text: str, limit: int = MAX_CHARACTERS) -> str:
    """`text` without control, bidi and other invisible characters, cut at 512."""
    plain = "".join(character for character in text[: 4 * limit] if _is_plain(character))
    return plain if len(plain) <= limit else plain[: limit - 4] + " ..."


def joined(record: TXT | SPF) -> bytes:
    """The strings of a TXT record with nothing between them (RFC 7208 3.3, RFC 6376 3.6.2.2)."""
    return b"".join(record.strings)


def as_text(octets: bytes) -> str:
    r"""UTF-8 where it is, \xNN for every other octet, so that two different records never look alike."""
    return octets.decode("utf-8", errors="backslashreplace")


def texts_of(records: Iterable[dns.rdata.Rdata]) -> tuple[str, ...]:
    """How records are shown: the joined strings of TXT, zone-file text of the others; sorted, for servers shuffle."""
    raw = (as_text(joined(record)) if isinstance(record, TXT | SPF) else record.to_text() for record in records)
    return tuple(shown(text) for text in sorted(raw)[:MAX_RECORDS])


def _is_plain(character: str) -> bool:
    return (character.isascii() and character.isprintable()) or (
        not character.isascii() and unicodedata.category(character) not in _DROPPED
    )
