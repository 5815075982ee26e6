"""`check_host()` of RFC 7208 4: what the SPF records of a domain say about an address. Whom to ask, the caller says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, TypeAlias

import dns.name
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR

from gateway.dns.answers import Answer, Found, NotFound, Unknown, name_text
from gateway.domains.checks.look import addresses_in, txt_values
from gateway.domains.checks.spf.macros import Address, Identity, expand, wants_validated_name
from gateway.domains.checks.spf.record import COUNTED, Mechanism, Record, SpfSyntaxError, parse, spf_values

Outcome: TypeAlias = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
Cause: TypeAlias = Literal["", "multiple", "syntax", "lookups", "void", "no_record", "mx_hosts"]
Lookup: TypeAlias = Callable[[str, str], Awaitable[Answer]]

MAX_LOOKUPS = 10  # 4.6.4
MAX_VOID = 2
MAX_HOSTS = 10  # of one `mx`, and names of one `ptr`
TIMEOUT_SECONDS = 20.0

_BY_QUALIFIER: dict[str, Outcome] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """`cause` says which rule a permerror breaks, `words` what was met there, `unknown` which look-up failed.

    `matched` is the term that decided.
    """

    outcome: Outcome
    cause: Cause = ""
    words: str = ""
    matched: str = ""
    lookups: int = 0
    void: int = 0
    unknown: Unknown | None = None


class _Permanent(Exception):
    def __init__(self, cause: Cause, words: str) -> None:
        super().__init__(words)
        self.cause = cause


class _Temporary(Exception):
    def __init__(self, unknown: Unknown) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


async def check_host(
    ip: str, mail_from: str, helo: str, lookup: Lookup, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> SpfVerdict:
    """Judge the MAIL FROM identity, or the HELO identity for the null sender (2.4).

    `lookup` is asked for (name, type) and never raises for what DNS says. `mail_from` is `local@domain` or empty.
    """
    sender = mail_from or f"postmaster@{helo}"
    if not sender.rpartition("@")[0]:
        sender = f"postmaster@{sender.rpartition('@')[2]}"
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    evaluation = _Evaluation(Identity(address, sender, helo), lookup)
    domain = sender.rpartition("@")[2].lower().removesuffix(".")
    try:
        async with asyncio.timeout(timeout_seconds):
            outcome = await evaluation.check(domain)
    except TimeoutError:
        return evaluation.verdict("temperror", words=f"not settled within {timeout_seconds:g} s")
    except _Temporary as error:
        return replace(evaluation.verdict("temperror", words=str(error)), unknown=error.unknown)
    except _Permanent as error:
        return evaluation.verdict("permerror", error.cause, str(error))
    return evaluation.verdict(outcome)


class _Evaluation:
    """One run; the limits are counted over all records that it comes to (4.6.4)."""

    def __init__(self, identity: Identity, lookup: Lookup) -> None:
        self.identity = identity
        self.lookup = lookup
        self.lookups = 0
        self.void = 0
        self.matched = ""

    def verdict(self, outcome: Outcome, cause: Cause = "", words: str = "") -> SpfVerdict:
        return SpfVerdict(outcome, cause, words, self.matched, self.lookups, self.void)

    async def check(self, domain: str) -> Outcome:
        """`check_host()` for one domain; `include` and `redirect` come here again."""
        if not _is_domain(domain):
            return "none"
        answer = await self.lookup(domain, "TXT")
        if isinstance(answer, Unknown):
            raise _Temporary(answer)
        values = spf_values(txt_values(answer))
        if not values:
            return "none"
        if len(values) > 1:
            raise _Permanent("multiple", f"{domain} has {len(values)} SPF records")
        try:
            record = parse(values[0])
        except SpfSyntaxError as error:
            raise _Permanent("syntax", f"{domain}: {error}") from None
        return await self.walk(record, domain)

    async def walk(self, record: Record, domain: str) -> Outcome:
        for mechanism in record.mechanisms:
            if await self.matches(mechanism, domain):
                self.matched = mechanism.text
                return _BY_QUALIFIER[mechanism.qualifier]
        if not record.redirect:
            return "neutral"
        self.count(f"redirect={record.redirect}")
        target = await self.expand(record.redirect, domain)
        outcome = await self.check(target)
        if outcome == "none":
            raise _Permanent("no_record", f"redirect={target}: there is no SPF record")
        return outcome

    async def matches(self, mechanism: Mechanism, domain: str) -> bool:
        if mechanism.name == "all":
            return True
        if mechanism.network is not None:
            return self.identity.ip in mechanism.network
        assert mechanism.name in COUNTED
        self.count(mechanism.text)
        target = await self.expand(mechanism.domain, domain) if mechanism.domain else domain
        if mechanism.name == "include":
            return await self.included(target)
        if mechanism.name == "exists":
            return isinstance(await self.ask(target, "A"), Found)
        if mechanism.name == "a":
            return await self.has_address(target, mechanism)
        if mechanism.name == "mx":
            return await self.mx_has_address(target, mechanism)
        return await self.validated_name(target) != ""

    async def included(self, target: str) -> bool:
        outcome = await self.check(target)
        if outcome == "none":
            raise _Permanent("no_record", f"include:{target}: there is no SPF record")
        return outcome == "pass"

    async def has_address(self, host: str, mechanism: Mechanism) -> bool:
        answer = await self.ask(host, "A" if self.identity.ip.version == 4 else "AAAA")
        return any(_within(self.identity.ip, each, mechanism) for each in _addresses(answer))

    async def mx_has_address(self, target: str, mechanism: Mechanism) -> bool:
        answer = await self.ask(target, "MX")
        records = answer.of(MX) if isinstance(answer, Found) else ()
        hosts = [record.exchange for record in records if record.exchange != dns.name.root]
        if len(hosts) > MAX_HOSTS:
            raise _Permanent("mx_hosts", f"{target} has more than {MAX_HOSTS} mail hosts")
        for host in hosts:
            if await self.has_address(name_text(host), mechanism):
                return True
        return False

    async def validated_name(self, target: str) -> str:
        """A name of the client that leads back to it and lies at or below `target` (5.5); "" when there is none."""
        answer = await self.lookup(self.identity.ip.reverse_pointer, "PTR")
        if isinstance(answer, NotFound):
            self.count_void(answer)
        records = answer.of(PTR) if isinstance(answer, Found) else ()
        names = [name_text(record.target) for record in records][:MAX_HOSTS]
        wanted = target.lower()
        below = [name for name in names if name == wanted or name.endswith("." + wanted)]
        for name in sorted(below, key=lambda name: name != wanted):
            forward = await self.lookup(name, "A" if self.identity.ip.version == 4 else "AAAA")
            if str(self.identity.ip) in map(str, _addresses(forward)):
                return name
        return ""

    async def expand(self, text: str, domain: str) -> str:
        validated = "unknown"
        if wants_validated_name(text):
            validated = await self.validated_name(domain) or "unknown"
        return expand(text, self.identity, domain, validated)

    async def ask(self, name: str, rdtype: str) -> Answer:
        if not _is_domain(name, single=True):
            return NotFound(name, rdtype, "nxdomain", 0, name)  # 4.3 and 4.8: such a name matches nothing
        answer = await self.lookup(name, rdtype)
        if isinstance(answer, Unknown):
            raise _Temporary(answer)
        if isinstance(answer, NotFound):
            self.count_void(answer)
        return answer

    def count(self, term: str) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _Permanent("lookups", f"'{term}' would be look-up number {self.lookups}; {MAX_LOOKUPS} are allowed")

    def count_void(self, answer: NotFound) -> None:
        self.void += 1
        if self.void > MAX_VOID:
            raise _Permanent("void", f"{answer}: the third look-up that finds nothing; {MAX_VOID} are allowed")


def _addresses(answer: Answer) -> list[Address]:
    return [ip_address(text) for text in addresses_in(answer)]


def _within(ip: Address, address: Address, mechanism: Mechanism) -> bool:
    if isinstance(ip, IPv4Address):
        return isinstance(address, IPv4Address) and ip in IPv4Network((address, mechanism.cidr4), strict=False)
    return isinstance(address, IPv6Address) and ip in IPv6Network((address, mechanism.cidr6), strict=False)


def _is_domain(name: str, *, single: bool = False) -> bool:
    """4.3: well-formed labels, at least two of them, and not too long."""
    labels = name.split(".")
    well_formed = all(0 < len(label) <= 63 for label in labels) and name.isascii() and "\\" not in name
    well_formed = well_formed and len(name) <= 253
    return well_formed and (single or len(labels) > 1)
