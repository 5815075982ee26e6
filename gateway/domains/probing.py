"""Whom a check of a domain asks, and whom never: the resolver, and the servers that the domain's NS records name.

The owner of a claimed domain chooses those servers, so they could be anybody's: no packet goes to an address that is
not public unless a setting lists it, and one check sends at most 40 queries. What answers mean is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from dns.rdtypes.ANY.NS import NS
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from gateway.config.models import DnsConfig
from gateway.dns.answers import Answer, Found, NotFound, Trouble, Unknown, name_text
from gateway.dns.mail_domain import unresolvable
from gateway.dns.public_address import Network, is_usable
from gateway.dns.resolver import Budget, Resolver
from gateway.dns.transport import DNS_PORT, Nameserver

MAX_QUERIES = 40
MAX_AUTHORITIES = 4
MAX_CUTS = 4  # how far up from the domain the zone is looked for
ADVICE_RESERVE = 18  # queries that advice leaves for the checks that gate mail

Servers = tuple[Nameserver, ...]

_NO_TCP = frozenset({Trouble.TIMEOUT, Trouble.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Probing:
    """What an installation sets for its checks; `open()` gives what one check of one domain uses.

    `nameservers` are the resolvers (none: the system's), `second_nameservers` resolvers outside whose word is wanted
    beside theirs. `authorities` names zones whose servers are asked at these addresses, whatever NS says, and
    `treat_as_public` networks that may be asked although they are private: both are for private installations and
    tests. `never` are networks of our own that no claim may make us send to. `clock` gives POSIX seconds.
    """

    nameservers: tuple[str, ...] = ()
    second_nameservers: tuple[str, ...] = ()
    authorities: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    treat_as_public: tuple[Network, ...] = ()
    never: tuple[Network, ...] = ()
    max_queries: int = MAX_QUERIES
    try_seconds: float = 0.8
    lookup_seconds: float = 3.0
    port: int = DNS_PORT
    """Of the servers that NS records name."""
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, config: DnsConfig) -> Probing:
        """What `[dns]` sets."""
        return cls(
            nameservers=tuple(config.nameservers),
            second_nameservers=tuple(config.second_nameservers),
            authorities={zone.lower().removesuffix("."): servers for zone, servers in config.authorities.items()},
            treat_as_public=tuple(ip_network(each, strict=False) for each in config.treat_as_public),
            never=tuple(ip_network(each, strict=False) for each in config.never_ask),
        )

    def open(self) -> Probe:
        """A fresh probe: nothing that an earlier check has seen is believed."""
        return Probe(self)

    def may_ask(self, address: str) -> bool:
        """Whether a packet may go to an address that somebody else chose."""
        ip = ip_address(address)
        return is_usable(address, self.treat_as_public) and not any(ip in network for network in self.never)


@dataclass(frozen=True, slots=True)
class Zone:
    """Where the records of a name live. `apex` is empty when no zone was found; `exists` is False for NXDOMAIN.

    `exists` is None when the DNS gave no definite answer.
    """

    apex: str
    servers: Servers
    exists: bool | None
    answers: tuple[Answer, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The NS set of the zone, sorted; empty when it is not known."""
        last = self.answers[-1] if self.answers else None
        return tuple(sorted(name_text(each.target) for each in last.of(NS))) if isinstance(last, Found) else ()


class Probe:
    """Use with `async with`. `resolver` gives the resolver's view; answers are asked for once, however many want them.

    `required` and `advice` are the shares of the query budget: advice leaves enough for what gates mail, until
    `required_done()` is called.
    """

    def __init__(self, probing: Probing) -> None:
        self.probing = probing
        self.wire = Budget(probing.max_queries)
        self.required: Budget = Budget(probing.max_queries)
        self.advice: Budget = _Advice(self.wire)
        self.resolver = self._resolver(probing.nameservers)
        self.second = self._resolver(probing.second_nameservers) if probing.second_nameservers else None
        self._authorities: dict[Nameserver, tuple[Resolver, Resolver]] = {}
        self._zones: dict[str, asyncio.Task[Zone]] = {}

    @property
    def queries_sent(self) -> int:
        return self.probing.max_queries - self.wire.remaining

    def required_done(self) -> None:
        """What gates mail is settled: advice may use up the rest."""
        assert isinstance(self.advice, _Advice)
        self.advice.reserve = 0

    async def __aenter__(self) -> Probe:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._zones.values():
            task.cancel()
        await asyncio.gather(*self._zones.values(), return_exceptions=True)
        async with AsyncExitStack() as stack:
            of_zone = [resolver for pair in self._authorities.values() for resolver in pair]
            for resolver in (self.resolver, self.second, *of_zone):
                if resolver is not None:
                    stack.push_async_callback(resolver.close)

    async def zone(self, domain: str) -> Zone:
        """The zone that holds `domain` and the servers that may be asked for it; worked out once."""
        task = self._zones.get(domain)
        if task is None:
            task = asyncio.create_task(self._find_zone(domain))
            self._zones[domain] = task
        return await asyncio.shield(task)

    async def ask_authority(self, server: Nameserver, name: str, rdtype: str, budget: Budget) -> Answer:
        """The answer of one server of the zone, over TCP, and over UDP only where there is no TCP.

        A forged datagram could show a key that is not there; there is no validation on this way.
        """
        if server not in self._authorities:
            over_tcp = self._resolver((server,), tries=1, tcp_only=True)
            self._authorities[server] = (over_tcp, self._resolver((server,), tries=1))
        over_tcp, over_udp = self._authorities[server]
        answer = await over_tcp.lookup(name, rdtype, budget=budget)
        if isinstance(answer, Unknown) and answer.reason in _NO_TCP:
            answer = await over_udp.lookup(name, rdtype, budget=budget)
        return answer

    def _resolver(self, servers: Iterable[str | Nameserver], *, tries: int = 2, tcp_only: bool = False) -> Resolver:
        return Resolver(
            servers,
            tries=tries,
            try_seconds=self.probing.try_seconds,
            lookup_seconds=self.probing.lookup_seconds,
            queries=self.wire,
            tcp_only=tcp_only,
        )

    async def _find_zone(self, domain: str) -> Zone:
        """Walk up from `domain` to the first name with NS records; a top-level name is nobody's zone here."""
        exists: bool | None = True
        answers: list[Answer] = []
        name = domain
        for _ in range(MAX_CUTS):
            listed = self._listed(name)
            if listed:
                # Asked all the same, because a name that does not exist must be known as such.
                exists = await self._exists(domain, answers) if not answers else exists
                return Zone(name, listed, exists, tuple(answers))
            answer = await self.resolver.lookup(name, "NS", budget=self.required)
            answers.append(answer)
            if name == domain:
                exists = _existence(answer)
            if isinstance(answer, Unknown):
                return Zone("", (), exists, tuple(answers))
            if isinstance(answer, Found) and not answer.aliases:
                return Zone(name, await self._addresses(answer), exists, tuple(answers))
            name = name.partition(".")[2]
            if "." not in name:
                break
        return Zone("", (), exists, tuple(answers))

    async def _exists(self, domain: str, answers: list[Answer]) -> bool | None:
        answer = await self.resolver.lookup(domain, "NS", budget=self.required)
        answers.append(answer)
        return _existence(answer)

    def _listed(self, zone: str) -> Servers:
        return tuple(Nameserver.parse(text) for text in self.probing.authorities.get(zone, ()))

    async def _addresses(self, found: Found) -> Servers:
        """One address of each of the first servers, an IPv4 one where there is one: what most installations reach."""
        names = [name_text(record.target) for record in found.of(NS)]
        usable = [name for name in sorted(names) if unresolvable(name) is None][:MAX_AUTHORITIES]
        addresses = await asyncio.gather(*(self._address(name) for name in usable))
        return tuple(dict.fromkeys(Nameserver(each, self.probing.port) for each in addresses if each is not None))

    async def _address(self, host: str) -> str | None:
        for rdtype in ("A", "AAAA"):
            answer = await self.resolver.lookup(host, rdtype, budget=self.required)
            if isinstance(answer, Found):
                addresses = [str(record.address) for record in answer.records if isinstance(record, A | AAAA)]
                allowed = [address for address in addresses if self.probing.may_ask(address)]
                if allowed:
                    return allowed[0]
        return None


def _existence(answer: Answer) -> bool | None:
    if isinstance(answer, Unknown):
        return None
    return not (isinstance(answer, NotFound) and answer.reason == "nxdomain" and not answer.aliases)


class _Advice(Budget):
    """Spends nothing of its own: it only looks at what is left on the wire."""

    __slots__ = ("_wire", "reserve")

    def __init__(self, wire: Budget) -> None:
        super().__init__(0)
        self._wire = wire
        self.reserve = ADVICE_RESERVE

    def spend(self) -> bool:
        return self._wire.remaining > self.reserve
