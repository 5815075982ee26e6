"""Which names may be claimed: one normal form, refused names, and names that wait for an operator. Asks nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import idna
from publicsuffixlist import PublicSuffixList

from gateway.directory.errors import BadValue

MAX_NAME_OCTETS = 253  # RFC 1035 2.3.4: 255 on the wire
MAX_LABEL_OCTETS = 63

Hold: TypeAlias = Literal["", "private_suffix", "mixed_script", "confusable", "parent_owned_by_other"]
"""Why an operator must approve; empty: nobody need."""

# RFC 6761 6.3 and 6.4, RFC 6762, RFC 7686, RFC 9476, RFC 8375, RFC 3172, and ICANN's "internal": nobody can own a name
# below them in the public DNS. `test` and `example` are looked up like any other name (RFC 6761 6.2 and 6.5).
SPECIAL_USE = ("localhost", "local", "onion", "invalid", "alt", "internal", "home.arpa", "arpa")

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")  # a host name's (RFC 1123 2.1)
_DIGITS = re.compile(r"[0-9]+\Z")
# UTS 39 5.2, "highly restrictive": what East Asian names mix, with Latin; anything else is one script.
_MIXES = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
# Lower-case letters that are drawn as Latin ones (UTS 39, confusables): Cyrillic, Greek, Armenian. No name is refused
# for them: one whose label has no other letters waits for somebody to look at it.
_LIKE_LATIN = frozenset("авеікмнорсстухуѕјһԁԛԝѵьӏгпɡαεικνορτυχγωօսոհցզ")


@dataclass(frozen=True, slots=True)
class Claimable:
    """`name` is compared and stored (A-labels, lower case), `shown` is for people, `hold` says why somebody looks."""

    name: str
    shown: str
    hold: Hold = ""


def claimable(text: str, own_names: Collection[str] = ()) -> Claimable:
    """The domain that somebody typed. `own_names`: the gateway's own, with their parents reserved.

    UTS 46 non-transitional and IDNA 2008 (RFC 5891). Raises `BadValue`, which says what is wrong with the name.
    """
    name = _normal(text)
    labels = name.split(".")
    if len(labels) == 1:
        raise BadValue(f'"{text}" is a single label; expected a domain such as "example.org"')
    if _DIGITS.match(labels[-1]):
        raise BadValue(f'"{text}" ends in a number, so it is an address or no name at all; expected a domain')
    for special in SPECIAL_USE:
        if name == special or name.endswith("." + special):
            raise BadValue(
                f'"{text}" is below "{special}", which nobody owns in the public DNS, so nobody can prove it'
            )
    for own in sorted(own_names):
        if name == own or own.endswith("." + name) or name.endswith("." + own):
            raise BadValue(
                f'"{text}" is the gateway\'s own ({own}) or above or below it, and is not given to anybody; '
                "an operator may take it for an organisation: stellwerk domain trust"
            )
    if _icann().publicsuffix(name) == name:
        raise BadValue(f'"{text}" is a public suffix: everybody registers names below it, and nobody owns it')
    return Claimable(name, shown(name), _hold(name))


def shown(name: str) -> str:
    """The form for people: U-labels where the name has any."""
    try:
        return idna.decode(name) if "xn--" in name else name
    except idna.IDNAError:
        return name


def parents(name: str) -> tuple[str, ...]:
    """Names above, nearest first, without the top label."""
    labels = name.split(".")
    return tuple(".".join(labels[depth:]) for depth in range(1, len(labels) - 1))


def _normal(text: str) -> str:
    unfit = next((c for c in text if not (c.isprintable() or c in "\u200c\u200d") or c in " *_@/:[]"), None)
    if unfit is not None:
        raise BadValue(f'{text!a} is no domain: it holds {unfit!a}; expected for example "example.org"')
    try:
        name = idna.encode(text.removesuffix("."), uts46=True, transitional=False, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise BadValue(f'{text!a} is no domain: {error}; expected for example "example.org"') from None
    name = name.lower()
    if len(name) > MAX_NAME_OCTETS:
        raise BadValue(f"the name is longer than {MAX_NAME_OCTETS} octets: {text[:40]}...")
    for label in name.split("."):
        if len(label) > MAX_LABEL_OCTETS or not _LABEL.match(label):
            raise BadValue(f'"{text}" is no domain: "{label}" is no part of a host name (letters, digits, - inside)')
    return name


def _hold(name: str) -> Hold:
    if _all().publicsuffix(name) == name:
        return "private_suffix"
    for label in shown(name).split("."):
        letters = [c for c in label if c.isalpha()]
        scripts = {unicodedata.name(c, "UNKNOWN").partition(" ")[0] for c in letters}
        if len(scripts) > 1 and not any(scripts <= mix for mix in _MIXES):
            return "mixed_script"
        if letters and not label.isascii() and all(c in _LIKE_LATIN for c in letters):
            return "confusable"
    return ""


@cache
def _icann() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@cache
def _all() -> PublicSuffixList:
    return PublicSuffixList()
