"""Whether mail for a domain comes to this gateway: its MX records, seen by the resolver and by its own servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, TypeAlias

import dns.name
from dns.rdtypes.ANY.MX import MX

from gateway.dns.answers import Answer, Found, NotFound, Unknown, name_text
from gateway.domains.checks.look import Look, addresses_in, own_addresses, quoted
from gateway.domains.checks.ownership import domain_is_gone
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "mx"
MAX_TARGETS = 6  # of strangers, whose addresses are looked at

Kind: TypeAlias = Literal["ours", "vanity", "alias", "mixed", "missing", "foreign", "dotless", "literal", "unknown"]
_REACHES_US: frozenset[Kind] = frozenset({"ours", "vanity", "alias"})


@dataclass(frozen=True, slots=True)
class Target:
    """One MX record and whose it is. `vanity`: another name for our addresses only; `mixed`: for ours and others'."""

    preference: int
    host: str
    kind: Kind


async def check_mx(
    domain: str, mx_hosts: Sequence[str], addresses: Iterable[str], probe: Probe, *, registrable: str = ""
) -> Result:
    """`mx_hosts` are the gateway's mail hosts, `addresses` all that they have as the world sees them.

    Without any, those that the DNS gives for the hosts, should it matter.
    """
    hosts = tuple(host.lower().removesuffix(".") for host in mx_hosts)
    ours = frozenset(str(ip_address(address)) for address in addresses)
    return await _MxCheck(domain, hosts, ours, registrable, Look(CHECK, probe, required=True)).run()


class _MxCheck:
    def __init__(self, domain: str, hosts: tuple[str, ...], ours: frozenset[str], registrable: str, look: Look) -> None:
        self.domain = domain
        self.hosts = hosts
        self.ours = ours
        self.registrable = registrable
        self.look = look
        self.unsettled: dict[str, Unknown] = {}
        wanted = "; ".join(f"{10 * (n + 1)} {host}." for n, host in enumerate(hosts))
        self.facts = {"domain": domain, "wanted": wanted, "host": hosts[0] if hosts else ""}

    async def run(self) -> Result:
        views = await self.look.ask_all(self.domain, self.domain, "MX")
        if isinstance(views.resolver, Unknown):
            return self.look.unknown(views.resolver, **self.facts)
        seen = {self.signature(answer) for answer in views.authorities}
        if len(seen) > 1:
            return self.end("temp", "authoritative_disagree")
        if seen and self.signature(views.resolver) not in seen:
            return self.end("temp", "resolver_behind", seconds=str(views.resolver.ttl))
        return await self.judge(views.resolver)

    def signature(self, answer: Answer) -> frozenset[tuple[int, str]]:
        records = answer.of(MX) if isinstance(answer, Found) else ()
        return frozenset((record.preference, name_text(record.exchange)) for record in records)

    async def judge(self, answer: Found | NotFound) -> Result:
        records = answer.of(MX) if isinstance(answer, Found) else ()
        if not records:
            return await self.without_mx(answer)
        named = [record for record in records if record.exchange != dns.name.root]
        if not named:
            return self.end("fail", "null_mx")
        if len(named) < len(records):
            return self.end("fail", "null_mx_mixed")
        pairs = sorted((record.preference, name_text(record.exchange)) for record in named)
        places = {host: n for n, host in enumerate(dict.fromkeys(host for _, host in pairs))}
        kinds = await asyncio.gather(*(self.kind(host, places[host]) for _, host in pairs))
        targets = [Target(number, host, kind) for (number, host), kind in zip(pairs, kinds, strict=True)]
        return await self.compare(targets, answer)

    async def kind(self, host: str, place: int) -> Kind:
        if host in self.hosts:
            return "ours"
        if _is_literal(host, self.domain):
            return "literal"
        if self.dotless(host):
            return "dotless"
        if place >= MAX_TARGETS:
            return "foreign"
        answers = await asyncio.gather(self.look.ask(host, "A"), self.look.ask(host, "AAAA"))
        if any(isinstance(answer, Found) and answer.canonical in self.hosts for answer in answers):
            return "alias"
        addresses = {address for answer in answers for address in addresses_in(answer)}
        ours = await self.own()
        if addresses and not ours:
            return "unknown"
        if addresses & ours:
            return "mixed" if addresses - ours else "vanity"
        if addresses:
            return "foreign"
        for answer in answers:
            if isinstance(answer, Unknown):
                self.unsettled[host] = answer
                return "unknown"
        return "missing"

    async def own(self) -> frozenset[str]:
        self.ours = self.ours or await own_addresses(self.hosts, self.look)
        return self.ours

    def dotless(self, host: str) -> tuple[str, str] | None:
        """Our host and the zone behind it, which a panel appends to a name without a final dot."""
        for ours in self.hosts:
            rest = host.removeprefix(ours + ".")
            if rest != host and "." in rest and (self.domain == rest or self.domain.endswith("." + rest)):
                return ours, rest
        return None

    async def compare(self, targets: list[Target], answer: Found | NotFound) -> Result:
        by_kind = {kind: [target for target in targets if target.kind == kind] for kind in {t.kind for t in targets}}
        reaching = [target for target in targets if target.kind in _REACHES_US]
        facts = {"targets": quoted([f"{target.preference} {target.host}" for target in targets])}
        if not reaching:
            return self.elsewhere(by_kind, facts)
        best = min(target.preference for target in reaching)
        others = [target for target in targets if target.kind not in _REACHES_US]
        if others:
            first = others[0]
            order: Reason = "foreign_equal" if first.preference == best else "foreign_backup"
            order = "not_primary" if first.preference < best else order
            return self.end("warn", order, other=first.host, **facts)
        if "vanity" in by_kind:
            return self.end("warn", "vanity_mx", other=by_kind["vanity"][0].host, **facts)
        if "alias" in by_kind:
            return self.end("warn", "mx_target_alias", other=by_kind["alias"][0].host, **facts)
        if answer.aliases:
            return self.end("warn", "cname_at_domain", alias=answer.canonical, **facts)
        if await self.is_wildcard(targets):
            return self.end("warn", "wildcard_mx", parent=self.domain.partition(".")[2], **facts)
        lacking = [host for host in self.hosts if host not in {target.host for target in targets}]
        if lacking:
            return self.end("warn", "mx_partial", lacking=quoted(lacking), **facts)
        return self.end("pass", "ok", **facts)

    def elsewhere(self, by_kind: dict[Kind, list[Target]], facts: dict[str, str]) -> Result:
        if "unknown" in by_kind:  # that one may be ours
            host = by_kind["unknown"][0].host
            if host in self.unsettled:
                return self.look.unknown(self.unsettled[host], **self.facts, **facts)
            return self.end("temp", "not_settled", name=host, type="A, AAAA", **facts)
        order: tuple[tuple[Kind, Reason], ...] = (
            ("dotless", "mx_missing_dot"),
            ("literal", "mx_is_ip"),
            ("mixed", "vanity_mx_foreign_ip"),
            ("foreign", "mx_elsewhere"),
        )
        for kind, reason in order:
            if kind in by_kind:
                other = by_kind[kind][0].host
                typed, zone = self.dotless(other) or ("", "")
                return self.end("fail", reason, other=other, typed=typed, zone=zone, **facts)
        return self.end("fail", "mx_target_missing", other=by_kind["missing"][0].host, **facts)

    async def is_wildcard(self, targets: list[Target]) -> bool:
        """Whether the records come from a wildcard beside the domain. The top of a zone is never covered by one."""
        parent = self.domain.partition(".")[2]
        zone = await self.look.probe.zone(self.domain)
        if "." not in parent or self.domain in (zone.apex, self.registrable):
            return False
        star = await self.look.ask(f"*.{parent}", "MX")
        return self.signature(star) == frozenset((target.preference, target.host) for target in targets)

    async def without_mx(self, answer: Found | NotFound) -> Result:
        if await domain_is_gone(self.look, self.domain, self.registrable):
            return self.end("fail", "domain_nxdomain")
        answers = await asyncio.gather(self.look.ask(self.domain, "A"), self.look.ask(self.domain, "AAAA"))
        addresses = {address for each in answers for address in addresses_in(each)}
        ours = await self.own() if addresses else frozenset()
        for unknown in answers:
            if isinstance(unknown, Unknown) and not addresses - ours:
                return self.look.unknown(unknown, **self.facts)
        if addresses and addresses <= ours:
            return self.end("warn", "implicit_mx")
        return self.end("fail", "mx_missing", addresses=", ".join(sorted(addresses)), canonical=answer.canonical)

    def end(self, status: Status, reason: Reason, **facts: str) -> Result:
        return self.look.result(status, reason, **self.facts, **facts)


def _is_literal(host: str, domain: str) -> bool:
    """An address where a host name belongs, perhaps with the zone appended to it."""
    candidate = host
    while candidate:
        try:
            ip_address(candidate)
        except ValueError:
            shorter = candidate
            for zone in (domain, domain.partition(".")[2]):
                if zone:
                    shorter = candidate.removesuffix("." + zone)
                if shorter != candidate:
                    break
            if shorter == candidate:
                return False
            candidate = shorter
        else:
            return True
    return False
