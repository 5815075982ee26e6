"""A real DNS server inside the test: answers over UDP and TCP on one loopback port, misbehaves on demand, counts.

It plays the recursive resolver the gateway asks, so it knows every zone at once. Nothing but tests imports it.

    async with DnsServer([("sender.test", "MX", "10 mx.sender.test.", 300)], {"sender.test/A": "SERVFAIL"}) as server:
        resolver = Resolver([server.address])
        ...
        assert server.count("sender.test", "MX") == 1
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from gateway.testing.dns_behaviour import Action, Behaviour, BehaviourTable
from gateway.testing.dns_zone import Record, ZoneData

Transport: TypeAlias = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it arrived: `name` in lower case without the final dot, `rdtype` as text."""

    name: str
    rdtype: str
    transport: Transport
    edns: bool


class DnsServer:
    """Serves `records`: rows of name, type, value in zone-file text, TTL in seconds; names are always absolute.

    `behaviour` maps "name/TYPE", "name/*", "*/TYPE" or "*/*" to what happens instead of an ordinary answer (see
    `dns_behaviour`). Wildcards, aliases inside the answer, empty non-terminals and a SOA in negative answers work as in
    RFC 1034, 4592 and 2308; `soa_minimum` is that SOA's minimum and TTL unless `records` bring a SOA. With
    `follow_aliases=False` the target of an alias is left for the asker to look up. `recursive=False` sets AA, not RA.
    """

    def __init__(
        self,
        records: Iterable[Record] = (),
        behaviour: Mapping[str, Behaviour] | None = None,
        *,
        soa_minimum: int = 300,
        follow_aliases: bool = True,
        recursive: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        self.queries: list[Query] = []
        self.most_at_once = 0
        """How many delayed answers were due at the same time, at most."""
        self.host = host
        self.port = 0
        self._zone = ZoneData(records, soa_minimum)
        self._behaviour = BehaviourTable(behaviour or {})
        self._follow_aliases = follow_aliases
        self._recursive = recursive
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._in_work = 0

    async def __aenter__(self) -> DnsServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """`127.0.0.1:port`, as the resolver's configuration takes it."""
        return f"{self.host}:{self.port}"

    def count(self, name: str | None = None, rdtype: str | None = None, transport: Transport | None = None) -> int:
        """How many queries came in, for one name, type or transport, or for any."""
        name = None if name is None else name.lower().removesuffix(".")
        return sum(
            name in (None, query.name) and rdtype in (None, query.rdtype) and transport in (None, query.transport)
            for query in self.queries
        )

    async def until_asked(self, queries: int = 1) -> None:
        """Wait until so many queries have come in since the start."""
        while len(self.queries) < queries:
            self._arrived.clear()
            await self._arrived.wait()

    def replace_records(self, records: Iterable[Record]) -> None:
        """Publish these records instead, while running."""
        self._zone = ZoneData(records, self._zone.soa_minimum)

    def replace_behaviour(self, behaviour: Mapping[str, Behaviour]) -> None:
        """Misbehave like this from now on; sequences and DROP counts start anew."""
        self._behaviour = BehaviourTable(behaviour)

    async def start(self) -> None:
        """Listen on a free port, the same for UDP and TCP."""
        loop = asyncio.get_running_loop()
        for attempt in range(20):
            udp, _ = await loop.create_datagram_endpoint(lambda: _UdpSide(self), local_addr=(self.host, 0))
            port = udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._serve_tcp, self.host, port)
            except OSError:
                udp.close()  # somebody else has this port on TCP
                if attempt == 19:
                    raise
                continue
            self._udp, self.port = udp, port
            return

    async def stop(self) -> None:
        """Close the port and every open connection; delayed answers are dropped."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tcp is not None:
            await self._tcp.wait_closed()

    async def stop_tcp(self) -> None:
        """From now on answer over UDP alone, like a server behind a careless packet filter."""
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()
            self._tcp = None

    def receive_udp(self, wire: bytes, peer: tuple[str | Any, int]) -> None:
        self._spawn(self._reply_udp(wire, peer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply_udp(self, wire: bytes, peer: tuple[str | Any, int]) -> None:
        answer = await self._answer(wire, "udp")
        if answer is not None and self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(answer, peer)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                answer = await self._answer(await reader.readexactly(size), "tcp")
                if answer is not None:
                    writer.write(struct.pack("!H", len(answer)) + answer)
        except (EOFError, OSError, asyncio.CancelledError):
            pass  # the client has gone, or the server stops
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, wire: bytes, transport: Transport) -> bytes | None:
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        question = query.question[0]
        name, rdtype = question.name, question.rdtype
        type_text = dns.rdatatype.to_text(rdtype)
        name_text = name.to_text(omit_final_dot=True).lower()
        self._arrived.set()
        self.queries.append(Query(name_text, type_text, transport, query.edns >= 0))
        action = self._behaviour.next(name_text, type_text)
        if action.delay_seconds:
            await self._delay(action.delay_seconds)
        if action.kind == "silence":
            return None
        if action.kind == "garbage":
            return wire[:2] + b"\x84\x00" + b"\xff" * 12
        response = self._respond(query, action)
        if transport == "udp":
            return self._fit(response, query, truncate=action.kind == "truncate")
        return response.to_wire(max_size=65535)

    async def _delay(self, seconds: float) -> None:
        self._in_work += 1
        self.most_at_once = max(self.most_at_once, self._in_work)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._in_work -= 1

    def _respond(self, query: dns.message.Message, action: Action) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=self._recursive)
        if not self._recursive:
            response.flags |= dns.flags.AA
        question = query.question[0]
        if action.kind == "rcode":
            response.set_rcode(action.rcode)
            if action.rcode == dns.rcode.NXDOMAIN:
                response.authority.append(self._zone.soa(question.name))
        elif action.kind == "bogus":
            response.set_rcode(dns.rcode.SERVFAIL)
            response.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.DNSSEC_BOGUS)])
        elif action.kind == "forgery":
            response.id ^= 1
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif action.kind == "nodata":
            response.authority.append(self._zone.soa(question.name))
        elif action.kind == "lame":
            response.flags &= ~(dns.flags.AA | dns.flags.RA)
            response.authority.append(self._zone.referral(question.name))
        else:
            self._zone.fill(response, question.name, question.rdtype, follow_aliases=self._follow_aliases)
        if action.kind == "authenticated":
            response.flags |= dns.flags.AD
        return response

    def _fit(self, response: dns.message.Message, query: dns.message.Message, *, truncate: bool) -> bytes:
        size = max(query.payload, 512) if query.edns >= 0 else 512
        if not truncate:
            try:
                return response.to_wire(max_size=size)
            except dns.exception.TooBig:
                pass
        empty = dns.message.make_response(query, recursion_available=self._recursive)
        empty.flags |= dns.flags.TC
        return empty.to_wire()


class _UdpSide(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._server.receive_udp(data, addr)


__all__ = ["Behaviour", "DnsServer", "Query", "Record"]
