"""Macros of SPF, expanded (RFC 7208 7). Pure: the validated name of `%{p}` is looked up elsewhere and handed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias
from urllib.parse import quote

Address: TypeAlias = IPv4Address | IPv6Address

MAX_NAME_OCTETS = 253

_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\}|([%_-]))")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asked about: the client's address, the sender as `local@domain`, the HELO name."""

    ip: Address
    sender: str
    helo: str

    @property
    def local(self) -> str:
        return self.sender.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]


def wants_validated_name(text: str) -> bool:
    return any(match[1] in ("p", "P") for match in _MACRO.finditer(text) if match[1])


def expand(text: str, identity: Identity, domain: str, validated: str = "unknown") -> str:
    """A domain-spec with its macros replaced, cut from the left to 253 octets (7.3), without a final dot."""
    values = {
        "s": identity.sender,
        "l": identity.local,
        "o": identity.domain,
        "d": domain,
        "i": _dotted(identity.ip),
        "p": validated,
        "h": identity.helo,
        "v": "in-addr" if identity.ip.version == 4 else "ip6",
    }

    def replace(match: re.Match[str]) -> str:
        if match[5]:
            return _ESCAPES[match[5]]
        parts = re.split(f"[{re.escape(match[4] or '.')}]", values[match[1].lower()])
        if match[3]:
            parts.reverse()
        if match[2]:
            parts = parts[-int(match[2]) :]
        value = ".".join(parts)
        return quote(value, safe="-._~") if match[1].isupper() else value

    name = _MACRO.sub(replace, text).removesuffix(".")
    while len(name) > MAX_NAME_OCTETS and "." in name:
        name = name.partition(".")[2]
    return name


def _dotted(ip: Address) -> str:
    return str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", ""))
