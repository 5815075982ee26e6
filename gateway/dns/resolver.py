"""Look-ups with definite answers: `Found`, `NotFound` or `Unknown`, cached, asked once however many wait for them.

What an answer means for a message is decided elsewhere (`mail_domain.py`); wire and cache have their own modules.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from gateway.dns.answers import (
    MAX_ALIASES,
    Answer,
    ChainEnd,
    Found,
    NotFound,
    Trouble,
    Unknown,
    cut,
    extended_errors,
    name_text,
    read_response,
    trouble_of,
)
from gateway.dns.cache import AnswerCache, Key
from gateway.dns.transport import ExchangeError, Nameserver, Response, exchange, exchange_over_tcp, system_nameservers
from gateway.dns.trouble import TroubleMeter

UDP_PAYLOAD = 1232  # fits every path unfragmented; a larger answer comes over TCP
DOWN_SECONDS = 30.0  # a server that did not answer is asked after the others for so long
MAX_SERVFAILS = 2  # the first answer and one retry

# The sender's question, not the resolver's health: an alias loop is the zone's own fault, the others never left here.
_NO_ERROR_OF_THE_RESOLVER = frozenset({Trouble.LOOP, Trouble.BUDGET, Trouble.CLOSED})
_NOT_CACHED = frozenset({Trouble.BUSY, Trouble.BUDGET, Trouble.CLOSED})


class Budget:
    """How many look-ups one message may still cause. Answers from the cache are free."""

    __slots__ = ("remaining",)

    def __init__(self, lookups: int = 20) -> None:
        self.remaining = lookups

    def spend(self) -> bool:
        """Take one; False when nothing is left."""
        if self.remaining <= 0:
            return False
        self.remaining -= 1
        return True


@dataclass(slots=True)
class _Trail:
    """What one look-up met on its way, for the words and the cache weight of its answer."""

    problems: list[tuple[Trouble, str]] = field(default_factory=list)
    servfails: int = 0
    octets: int = 0
    servers: list[Nameserver] = field(default_factory=list)
    authenticated: bool = True
    rcode: str = ""
    ede: tuple[int, ...] = ()
    last: Nameserver | None = None

    def unknown(self, key: Key, trouble: Trouble, words: str = "") -> Unknown:
        """The last problem is the reason; each is told once."""
        told = list(dict.fromkeys([text for _, text in self.problems] + ([words] if words else [])))
        server = "" if self.last is None else str(self.last)
        return Unknown(*key, trouble, cut("; ".join(told)), self.rcode, server, self.ede)


class Resolver:
    """Asks recursive DNS servers. One per process and event loop; `close()` it, or use it with `async with`.

    `nameservers` are texts like `127.0.0.1:53`; without any, those of /etc/resolv.conf. Each server is tried `tries`
    times in turn, `try_seconds` each, everything for one name and type within `lookup_seconds` (aliases and the
    wait for one of `max_parallel` places included). `clock` gives monotonic seconds for the age of answers;
    the time-outs on the wire are always real time. `queries` bounds what leaves for the wire, retries included, where a
    stranger chooses whom to ask. `tcp_only` is for answers that nobody shall forge.
    """

    def __init__(
        self,
        nameservers: Iterable[str | Nameserver] = (),
        *,
        tries: int = 2,
        try_seconds: float = 0.8,
        lookup_seconds: float = 3.0,
        max_parallel: int = 200,
        max_entries: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
        queries: Budget | None = None,
        tcp_only: bool = False,
    ) -> None:
        servers = tuple(Nameserver.parse(server) if isinstance(server, str) else server for server in nameservers)
        self.nameservers = servers or system_nameservers()
        self.counts: Counter[str] = Counter()
        """Responses by rcode, and `timeout`, `unreachable`, `malformed`, `tcp`, `cached`, `joined`. No names."""
        self._tries = tries
        self._try_seconds = try_seconds
        self._lookup_seconds = lookup_seconds
        self._clock = clock
        self._queries = queries
        self._tcp_only = tcp_only
        self._cache = AnswerCache(clock, max_entries=max_entries)
        self._meter = TroubleMeter(clock)
        self._slots = asyncio.Semaphore(max_parallel)
        self._running: dict[Key, asyncio.Task[Answer]] = {}
        self._down_until: dict[Nameserver, float] = {}
        self._closed = False

    async def __aenter__(self) -> Resolver:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End running look-ups; whoever waits for one gets `Unknown` with the reason `closed`."""
        self._closed = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    @property
    def in_trouble(self) -> bool:
        """More than 5 % of the recent look-ups failed: defer, do not reject."""
        return self._meter.in_trouble

    @property
    def cached_answers(self) -> int:
        return len(self._cache)

    def cached(self, name: str | dns.name.Name, rdtype: str) -> Answer | None:
        """The answer if it is known now, a remembered failure included; never asks."""
        answer = self._cache.get(_key(name, rdtype))
        if answer is not None:
            self.counts["cached"] += 1
        return answer

    async def lookup(
        self,
        name: str | dns.name.Name,
        rdtype: str,
        *,
        budget: Budget | None = None,
        stale_ok: bool = False,
    ) -> Answer:
        """The records of `name` (ASCII, A-labels, always absolute) of type `rdtype` ("MX", "TXT", ...).

        With `stale_ok` records that expired within the last hour stand in for `Unknown`, marked `stale`: only for
        callers that use them to accept. Never raises for what DNS says; `ValueError` for a name or type that cannot be.
        """
        key = _key(name, rdtype)
        answer = self._cache.get(key)
        if answer is not None:
            self.counts["cached"] += 1
        elif budget is not None and not budget.spend():
            answer = Unknown(*key, Trouble.BUDGET, "this message has caused its share of DNS look-ups")
        else:
            answer = await self._shared(key)
        if stale_ok and isinstance(answer, Unknown):
            return self._cache.stale(key) or answer
        return answer

    async def _shared(self, key: Key) -> Answer:
        """One task per name and type, shielded: a waiter that is cancelled leaves it to the others."""
        if self._closed:
            return Unknown(*key, Trouble.CLOSED, "the resolver is closed")
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._run(key, *_question(key)), name=f"dns {key[1]} {key[0]}")
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        else:
            self.counts["joined"] += 1
        return await asyncio.shield(task)

    async def _run(self, key: Key, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
        trail = _Trail()
        started = False
        answer: Answer
        try:
            async with asyncio.timeout(self._lookup_seconds), self._slots:
                started = True
                answer = await self._follow(key, name, rdtype, trail)
        except TimeoutError:
            trouble = Trouble.TIMEOUT if started else Trouble.BUSY
            words = "no answer" if started else "too many look-ups at once, no place became free"
            answer = trail.unknown(key, trouble, f"{words} within {self._lookup_seconds:g} s")
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return Unknown(*key, Trouble.CLOSED, "the resolver was closed")
        if not isinstance(answer, Unknown) or answer.reason not in _NOT_CACHED:
            self._cache.put(key, answer, trail.octets)
        self._meter.add(failed=isinstance(answer, Unknown) and answer.reason not in _NO_ERROR_OF_THE_RESOLVER)
        return answer

    async def _follow(self, key: Key, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, trail: _Trail) -> Answer:
        """Ask, and ask again for the target of an alias when the server has not included it."""
        aliases: list[dns.name.Name] = []
        ttls: list[int] = []
        while True:
            response = await self._ask(name, rdtype, trail)
            if response is None:
                return trail.unknown(key, trail.problems[-1][0])
            end = read_response(response, name, rdtype)
            aliases += end.aliases
            ttls.append(end.ttl)
            if end.kind == "lame":
                return trail.unknown(key, Trouble.LAME, f"{trail.servers[-1]} only referred to other servers")
            if end.kind == "loop" or (end.kind == "unfinished" and end.name in aliases):
                return trail.unknown(key, Trouble.LOOP, f"the aliases of {key[0]} form a loop")
            if len(aliases) > MAX_ALIASES:
                return trail.unknown(key, Trouble.LOOP, f"{key[0]} has more than {MAX_ALIASES} aliases in a row")
            if end.kind != "unfinished":
                return _answer(key, end, aliases, min(ttls), trail)
            name = end.name

    async def _ask(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, trail: _Trail
    ) -> dns.message.Message | None:
        """The first NOERROR or NXDOMAIN response of any server; None when all tries are spent."""
        edns: int | bool = 0
        for _ in range(self._tries):
            for server in self._order():
                if self._queries is not None and not self._queries.spend():
                    trail.problems.append((Trouble.BUDGET, "this check has sent as many queries as it may"))
                    return None
                trail.last = server
                query = dns.message.make_query(name, rdtype, use_edns=edns, payload=UDP_PAYLOAD)
                query.flags |= dns.flags.AD  # asks for the AD bit without the signatures (RFC 6840 5.7)
                try:
                    ask = exchange_over_tcp if self._tcp_only else exchange
                    response = await ask(query, server, self._try_seconds)
                except ExchangeError as error:
                    self.counts[error.trouble.value] += 1
                    self._down_until[server] = self._clock() + DOWN_SECONDS
                    trail.problems.append((error.trouble, str(error)))
                    continue
                self._down_until.pop(server, None)
                rcode = response.message.rcode()
                trail.rcode, trail.ede = dns.rcode.to_text(rcode), extended_errors(response.message)
                self.counts[trail.rcode] += 1
                if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                    self._note(response, server, trail)
                    return response.message
                trouble, words = trouble_of(response.message)
                trail.problems.append((trouble, f"{server} answered {words}"))
                if rcode == dns.rcode.FORMERR:
                    edns = False  # a server from before RFC 6891
                trail.servfails += rcode == dns.rcode.SERVFAIL
                if trail.servfails >= MAX_SERVFAILS:
                    return None
        return None

    def _note(self, response: Response, server: Nameserver, trail: _Trail) -> None:
        self.counts["tcp"] += response.over_tcp
        if response.over_tcp and not self._tcp_only and self._queries is not None:
            self._queries.spend()  # the same question went out a second time
        trail.octets += response.octets
        trail.servers.append(server)
        # Anyone on the path could have set the bit: it is believed only when there is no path (RFC 6840 5.8).
        trail.authenticated &= bool(response.message.flags & dns.flags.AD) and server.is_loopback

    def _order(self) -> list[Nameserver]:
        """The configured order, servers that failed lately last."""
        if not self._down_until:
            return list(self.nameservers)
        now = self._clock()
        return sorted(self.nameservers, key=lambda server: self._down_until.get(server, 0.0) > now)


def _answer(key: Key, end: ChainEnd, aliases: list[dns.name.Name], ttl: int, trail: _Trail) -> Found | NotFound:
    canonical = name_text(end.name)
    passed = tuple(name_text(alias) for alias in aliases)
    server = str(trail.servers[-1])
    if end.kind == "records":
        return Found(*key, end.records, ttl, canonical, passed, trail.authenticated, server, ede=trail.ede)
    reason = end.kind
    assert reason in ("nxdomain", "nodata")
    return NotFound(*key, reason, ttl, canonical, passed, trail.authenticated, server, trail.ede)


def _key(name: str | dns.name.Name, rdtype: str) -> Key:
    """One spelling per name; whether it can be asked for is found when it is first asked."""
    if isinstance(name, str):
        if not name.isascii():
            raise ValueError(f"'{name}' is not ASCII: look up the A-label form (xn--...)")
        return name.lower().removesuffix("."), rdtype.upper()
    return name_text(name), rdtype.upper()


def _question(key: Key) -> tuple[dns.name.Name, dns.rdatatype.RdataType]:
    try:
        return dns.name.from_text(key[0] + "."), dns.rdatatype.from_text(key[1])
    except dns.exception.DNSException as error:
        raise ValueError(f"cannot look up {key[1]} of '{cut(key[0])}': {error}") from None
