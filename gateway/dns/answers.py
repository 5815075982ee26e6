"""What a DNS look-up can end with, and how a response is read into it; nothing here sends or stores anything.

Three answers and no fourth: only `NotFound` may ever take something away from anyone, `Unknown` never may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias, TypeVar

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.SOA import SOA

MAX_ALIASES = 16  # unbound follows 11, BIND 16; a longer chain is a mistake or an attack
MAX_WORDS = 512  # text that others wrote, cut before it reaches a log or a page

_BOGUS = range(6, 13)  # RFC 8914 4.7-4.13: DNSSEC bogus ... NSEC missing
_R = TypeVar("_R", bound=dns.rdata.Rdata)


class Trouble(StrEnum):
    """Why nothing is known."""

    TIMEOUT = "timeout"
    SERVFAIL = "servfail"
    BOGUS = "bogus"  # SERVFAIL, and the resolver says that DNSSEC validation failed
    REFUSED = "refused"
    RCODE = "rcode"  # any other response code that is neither yes nor no
    UNREACHABLE = "unreachable"  # no server took the packet: refused port, no route
    MALFORMED = "malformed"
    LAME = "lame"  # a referral where an answer was due
    LOOP = "loop"  # an alias chain that never ends
    BUDGET = "budget"  # this message has asked enough
    BUSY = "busy"  # too many look-ups at once, none became free in time
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Found:
    """The records of (`name`, `rdtype`). `ttl` in seconds is the smallest of the alias chain, as the server gave it.

    `aliases` are the names passed on the way to `canonical`. `authenticated` is the AD bit, believed only from a
    resolver on loopback. `stale` answers have expired: they may support an acceptance and nothing else. `ede` are the
    codes of the extended errors that came along (RFC 8914).
    """

    name: str
    rdtype: str
    records: tuple[dns.rdata.Rdata, ...]
    ttl: int
    canonical: str
    aliases: tuple[str, ...] = ()
    authenticated: bool = False
    server: str = ""
    stale: bool = False
    ede: tuple[int, ...] = ()

    def of(self, kind: type[_R]) -> tuple[_R, ...]:
        """The records of one dnspython class, typed: `found.of(dns.rdtypes.ANY.MX.MX)`."""
        return tuple(record for record in self.records if isinstance(record, kind))

    def __str__(self) -> str:
        texts = ", ".join(record.to_text() for record in self.records)
        via = f" (an alias of {self.canonical})" if self.aliases else ""
        return cut(f"{self.name} {self.rdtype}{via}: {texts}")


@dataclass(frozen=True, slots=True)
class NotFound:
    """A definite no: the name does not exist (`nxdomain`), or has no record of this type (`nodata`).

    `ttl` in seconds is min(SOA TTL, SOA minimum, alias TTLs) (RFC 2308 5), 0 when the answer carried no SOA.
    """

    name: str
    rdtype: str
    reason: Literal["nxdomain", "nodata"]
    ttl: int
    canonical: str
    aliases: tuple[str, ...] = ()
    authenticated: bool = False
    server: str = ""
    ede: tuple[int, ...] = ()

    def __str__(self) -> str:
        what = "no such name (NXDOMAIN)" if self.reason == "nxdomain" else "no such record (NODATA)"
        via = f" (an alias of {self.canonical})" if self.aliases else ""
        return cut(f"{self.name} {self.rdtype}{via}: {what}")


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing was learnt. `detail` says in plain words what was tried and what came back; `rcode` is the last one."""

    name: str
    rdtype: str
    reason: Trouble
    detail: str = ""
    rcode: str = ""
    server: str = ""
    ede: tuple[int, ...] = ()

    def __str__(self) -> str:
        return cut(f"{self.name} {self.rdtype}: {self.detail or self.reason.value}")


Answer: TypeAlias = Found | NotFound | Unknown


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where one response leads: to records, to a definite no, to a name it leaves open, or nowhere."""

    kind: Literal["records", "nxdomain", "nodata", "unfinished", "lame", "loop"]
    name: dns.name.Name
    ttl: int
    aliases: tuple[dns.name.Name, ...] = ()
    records: tuple[dns.rdata.Rdata, ...] = ()


def read_response(response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> ChainEnd:
    """Follow the aliases inside a NOERROR or NXDOMAIN response from `name` as far as it goes."""
    aliases: list[dns.name.Name] = []
    ttls: list[int] = []
    while True:
        records = _rrset(response.answer, name, rdtype)
        if records is not None:
            return ChainEnd("records", name, min([records.ttl, *ttls]), tuple(aliases), tuple(records))
        alias = _rrset(response.answer, name, dns.rdatatype.CNAME)
        if alias is None:
            break
        target = alias[0]
        assert isinstance(target, CNAME)
        aliases.append(name)
        ttls.append(alias.ttl)
        name = target.target
        if name in aliases or len(aliases) > MAX_ALIASES:
            return ChainEnd("loop", name, 0, tuple(aliases))
    soa_ttl = _negative_ttl(response)
    kind: Literal["nxdomain", "nodata", "unfinished", "lame"]
    if response.rcode() == dns.rcode.NXDOMAIN:
        kind = "nxdomain"  # with aliases it speaks of the last name (RFC 6604 3)
    elif soa_ttl is None and aliases:
        return ChainEnd("unfinished", name, min(ttls), tuple(aliases))
    elif soa_ttl is None and _is_referral(response):
        kind = "lame"
    else:
        kind = "nodata"
    return ChainEnd(kind, name, min([soa_ttl or 0, *ttls]), tuple(aliases))


def trouble_of(response: dns.message.Message) -> tuple[Trouble, str]:
    """Reason and words for a response whose code is neither NOERROR nor NXDOMAIN."""
    rcode = response.rcode()
    text = dns.rcode.to_text(rcode)
    codes = extended_errors(response)
    if codes:
        text += " (" + ", ".join(_ede_name(code) for code in codes) + ")"
    if rcode == dns.rcode.SERVFAIL:
        return (Trouble.BOGUS if any(code in _BOGUS for code in codes) else Trouble.SERVFAIL), text
    return (Trouble.REFUSED if rcode == dns.rcode.REFUSED else Trouble.RCODE), text


def extended_errors(response: dns.message.Message) -> tuple[int, ...]:
    """The codes of the extended DNS errors in a response (RFC 8914)."""
    return tuple(int(option.code) for option in response.options if isinstance(option, dns.edns.EDEOption))


def name_text(name: dns.name.Name) -> str:
    """Lower case without the final dot, unprintable octets as \\DDD; the root is the empty string."""
    return "" if name == dns.name.root else name.to_text(omit_final_dot=True).lower()


def cut(text: str) -> str:
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 4] + " ..."


def _rrset(
    section: list[dns.rrset.RRset], name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    for rrset in section:
        if rrset.rdtype == rdtype and rrset.rdclass == dns.rdataclass.IN and rrset.name == name and len(rrset):
            return rrset
    return None


def _negative_ttl(response: dns.message.Message) -> int | None:
    for rrset, soa in _authority(response):
        if isinstance(soa, SOA):
            return min(rrset.ttl, soa.minimum)
    return None


def _is_referral(response: dns.message.Message) -> bool:
    if response.flags & dns.flags.AA:
        return False
    return any(rrset.rdtype == dns.rdatatype.NS for rrset, _ in _authority(response))


def _authority(response: dns.message.Message) -> Iterator[tuple[dns.rrset.RRset, dns.rdata.Rdata]]:
    for rrset in response.authority:
        for record in rrset:
            yield rrset, record


def _ede_name(code: int) -> str:
    return dns.edns.EDECode.make(code).name.replace("_", " ").lower()
