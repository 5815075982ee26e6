"""Mail addresses: parsed once, compared by one normal form, written back as RFC 5321 wants them.

Nothing here looks anything up; whether an address exists is the directory's question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import idna

MAX_LOCAL_OCTETS = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN_OCTETS = 255  # RFC 5321 4.5.3.1.2
MAX_PATH_OCTETS = 256  # RFC 5321 4.5.3.1.3, angle brackets included

# RFC 5321 4.1.2 dot-string, with RFC 6531 3.3 letting any non-ASCII character stand where an atext does.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_STRING = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*\Z")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"\Z')
_QUOTED_PAIR = re.compile(r"\\(.)")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Underscores are no host name (RFC 1123) but resolve and send mail, so they pass here.
_ASCII_DOMAIN = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\Z")


class AddressError(ValueError):
    """The text is not an address this gateway can route. `literal` tells an address literal (`u@[192.0.2.1]`) apart."""

    def __init__(self, message: str, *, literal: bool = False) -> None:
        super().__init__(message)
        self.literal = literal


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox address.

    `local` is the local part without quotes, in the case it arrived in, so that it can be relayed unchanged.
    `domain` is the IDNA A-label form in lower case without a trailing dot.
    Compare people with `key`, never with `==` on text.
    """

    local: str
    domain: str
    key: str = field(init=False, repr=False, compare=False)
    """The one normal form for comparing and looking up: lower-case local part, A-label domain."""
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # At once: each is asked for about ten times for every message.
        local = self.local
        object.__setattr__(self, "key", f"{local.lower()}@{self.domain}")
        if not local.isalnum() and not _DOT_STRING.match(local):  # the first is what most are, and cheap
            escaped = local.replace("\\", "\\\\").replace('"', '\\"')
            local = f'"{escaped}"'
        object.__setattr__(self, "_text", f"{local}@{self.domain}")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `local@domain` (no angle brackets, no source route). Raises `AddressError` with the reason."""
        local, at, domain = text.rpartition("@")
        if not at or not local:
            raise AddressError("an address needs a local part, an @ and a domain")
        if _SURROGATE.search(text):
            raise AddressError("the address is not valid UTF-8")
        if local[0] == '"':
            if not _QUOTED.match(local):
                raise AddressError("the quoted local part is malformed")
            plain = _QUOTED_PAIR.sub(r"\1", local[1:-1])
        elif _DOT_STRING.match(local):
            plain = local
        else:
            raise AddressError("the local part holds a character that must be quoted")
        if len(local.encode()) > MAX_LOCAL_OCTETS:
            raise AddressError(f"the local part is longer than {MAX_LOCAL_OCTETS} octets")
        address = cls(plain, normalise_domain(domain))
        if len(str(address).encode()) > MAX_PATH_OCTETS - 2:
            raise AddressError(f"the address is longer than {MAX_PATH_OCTETS - 2} octets")
        return address

    @property
    def is_ascii(self) -> bool:
        """False when the address can only travel under SMTPUTF8 (RFC 6531)."""
        return self.local.isascii()

    def __str__(self) -> str:
        return self._text


@lru_cache(maxsize=8192)
def normalise_domain(domain: str) -> str:
    """The A-label, lower-case form of `domain`; one trailing dot is dropped.

    Non-ASCII names go through UTS 46 non-transitional mapping and IDNA 2008 (RFC 5891). Raises `AddressError`.
    """
    if domain.startswith("["):
        raise AddressError("address literals are not routed here", literal=True)
    name = domain.removesuffix(".").lower()
    if not name.isascii() or "xn--" in name:
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise AddressError(f"the domain is no valid international name: {error}") from None
    if len(name) > MAX_DOMAIN_OCTETS:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN_OCTETS} octets")
    if not _ASCII_DOMAIN.match(name):
        raise AddressError("the domain is malformed")
    return name
