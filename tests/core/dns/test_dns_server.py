"""The test DNS server, asked by dnspython's own client, so that resolver and server do not share their mistakes."""

from __future__ import annotations

import asyncio
import struct

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from gateway.testing.dns_behaviour import Behaviour, BehaviourTable, behaviour_of
from gateway.testing.dns_server import DnsServer, Record

RECORDS: list[Record] = [
    ("a.test", "A", "192.0.2.1", 300),
    ("a.test", "A", "192.0.2.2", 200),
    ("A.test", "TXT", '"one" "two"', 300),
    ("alias.test", "CNAME", "a.test.", 60),
    ("far.test", "CNAME", "gone.a.test.", 60),
    ("loop1.test", "CNAME", "loop2.test.", 60),
    ("loop2.test", "CNAME", "loop1.test.", 60),
    ("*.wild.test", "MX", "10 mx.wild.test.", 300),
    ("mx.wild.test", "A", "192.0.2.3", 300),
    ("deep.empty.test", "A", "192.0.2.4", 300),
    ("zone.test", "NS", "ns.zone.test.", 300),
    ("own.test", "SOA", "ns.own.test. root.own.test. 1 2 3 4 77", 99),
]


async def ask(server: DnsServer, name: str, rdtype: str) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, use_edns=0)
    return await dns.asyncquery.udp(query, server.host, port=server.port, timeout=10)


def texts(message: dns.message.Message) -> list[str]:
    """Record texts, rrset by rrset; dnspython shuffles the records of one when it writes them."""
    return [text for rrset in message.answer for text in sorted(record.to_text() for record in rrset)]


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode", "answer"),
    [
        ("a.test", "A", "NOERROR", ["192.0.2.1", "192.0.2.2"]),
        ("A.TEST", "TXT", "NOERROR", ['"one" "two"']),
        ("alias.test", "A", "NOERROR", ["a.test.", "192.0.2.1", "192.0.2.2"]),
        ("alias.test", "CNAME", "NOERROR", ["a.test."]),
        ("alias.test", "MX", "NOERROR", ["a.test."]),
        ("far.test", "A", "NXDOMAIN", ["gone.a.test."]),
        ("loop1.test", "A", "NOERROR", ["loop2.test.", "loop1.test."]),
        ("any.thing.wild.test", "MX", "NOERROR", ["10 mx.wild.test."]),
        ("any.wild.test", "A", "NOERROR", []),
        ("mx.wild.test", "MX", "NOERROR", []),  # a name of its own is no match for the wildcard (RFC 4592 2.2.1)
        ("sub.mx.wild.test", "MX", "NXDOMAIN", []),  # nor what is below it
        ("empty.test", "A", "NOERROR", []),
        ("gone.test", "A", "NXDOMAIN", []),
    ],
)
async def test_ordinary_answers(name: str, rdtype: str, rcode: str, answer: list[str]) -> None:
    async with DnsServer(RECORDS) as server:
        response = await ask(server, name, rdtype)
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert texts(response) == answer
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    assert has_soa == (rcode == "NXDOMAIN" or not answer or (rdtype == "MX" and answer == ["a.test."]))


@pytest.mark.parametrize(
    ("name", "soa"),
    [
        ("gone.test", "test. 30 IN SOA ns.test. hostmaster.test. 1 7200 900 1209600 30"),
        ("x.zone.test", "zone.test. 30 IN SOA ns.zone.test. hostmaster.zone.test. 1 7200 900 1209600 30"),
        ("x.own.test", "own.test. 99 IN SOA ns.own.test. root.own.test. 1 2 3 4 77"),
    ],
)
async def test_a_negative_answer_has_the_soa_of_its_zone(name: str, soa: str) -> None:
    async with DnsServer(RECORDS, soa_minimum=30) as server:
        response = await ask(server, name, "A")
    assert [rrset.to_text() for rrset in response.authority] == [soa]


@pytest.mark.parametrize(
    ("behaviour", "rcodes"),
    [
        ("SERVFAIL", ["SERVFAIL", "SERVFAIL"]),
        ("REFUSED", ["REFUSED"]),
        ("NXDOMAIN", ["NXDOMAIN"]),
        (["SERVFAIL", "NXDOMAIN", "OK"], ["SERVFAIL", "NXDOMAIN", "NOERROR", "NOERROR"]),
        ("DELAY:0.01", ["NOERROR"]),
    ],
)
async def test_behaviour(behaviour: Behaviour, rcodes: list[str]) -> None:
    async with DnsServer(RECORDS, {"a.test/A": behaviour}) as server:
        seen = [dns.rcode.to_text((await ask(server, "a.test", "A")).rcode()) for _ in rcodes]
        assert seen == rcodes
        assert texts(await ask(server, "a.test", "TXT")) == ['"one" "two"']
        asked = len(rcodes)
        assert (server.count("a.test", "A"), server.count("A.test."), server.count()) == (asked, asked + 1, asked + 1)


@pytest.mark.parametrize("behaviour", ["TIMEOUT", "DROP:1"])
async def test_silence(behaviour: str) -> None:
    async with DnsServer(RECORDS, {"*/A": behaviour}) as server:
        query = dns.message.make_query("a.test", "A")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, server.host, port=server.port, timeout=0.05)
        assert server.count() == 1
        if behaviour == "DROP:1":
            assert texts(await ask(server, "a.test", "A")) == ["192.0.2.1", "192.0.2.2"]


async def test_ad_and_lame() -> None:
    async with DnsServer(RECORDS, {"a.test/A": "AD", "a.test/MX": "LAME"}) as server:
        assert (await ask(server, "a.test", "A")).flags & dns.flags.AD
        assert not (await ask(server, "a.test", "TXT")).flags & dns.flags.AD
        referral = await ask(server, "a.test", "MX")
        assert [rrset.rdtype for rrset in referral.authority] == [dns.rdatatype.NS]
        assert not referral.answer


async def test_truncation_on_demand_and_by_size() -> None:
    big: list[Record] = [("big.test", "TXT", '"' + f"{n:03}" * 60 + '"', 300) for n in range(20)]
    async with DnsServer([*RECORDS, *big], {"a.test/A": "TRUNCATE"}) as server:
        for name, rdtype, records in (("a.test", "A", 2), ("big.test", "TXT", 20)):
            assert (await ask(server, name, rdtype)).flags & dns.flags.TC
            query = dns.message.make_query(name, rdtype)
            response = await dns.asyncquery.tcp(query, server.host, port=server.port, timeout=10)
            assert len(texts(response)) == records
            assert (server.count(name, transport="udp"), server.count(name, transport="tcp")) == (1, 1)


async def test_several_questions_on_one_tcp_connection_and_a_stop_with_it_open() -> None:
    async with DnsServer(RECORDS) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for name in ("a.test", "gone.test"):
            wire = dns.message.make_query(name, "A").to_wire()
            writer.write(struct.pack("!H", len(wire)) + wire)
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            assert dns.message.from_wire(await reader.readexactly(size)).question[0].name.to_text() == f"{name}."
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass
    finally:
        writer.close()


async def test_an_ordinary_stub_resolver_works_with_it() -> None:
    async with DnsServer(RECORDS) as server:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [server.host]
        resolver.port = server.port
        answer = await resolver.resolve("alias.test", "A", search=False)
        assert sorted(record.to_text() for record in answer) == ["192.0.2.1", "192.0.2.2"]
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver.resolve("gone.test", "A", search=False)


async def test_records_and_behaviour_change_while_it_runs() -> None:
    async with DnsServer(RECORDS, {"a.test/A": "SERVFAIL"}) as server:
        server.replace_behaviour({})
        server.replace_records([("a.test", "A", "192.0.2.9", 300)])
        assert texts(await ask(server, "a.test", "A")) == ["192.0.2.9"]


async def test_noise_is_passed_over() -> None:
    async with DnsServer(RECORDS) as server:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(server.host, server.port)
        )
        transport.sendto(b"\x00")
        transport.close()
        assert texts(await ask(server, "a.test", "A")) == ["192.0.2.1", "192.0.2.2"]
        assert server.count() == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a.test": "OK"}, "is not name/TYPE"),
        ({"a.test/A": "EXPLODE"}, "'EXPLODE'"),
        ({"a.test/A": "DROP:many"}, "'DROP:many'"),
        ({"a.test/A": []}, "empty list"),
    ],
)
def test_a_wrong_behaviour_is_refused(table: dict[str, Behaviour], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BehaviourTable(table)


def test_the_part_of_one_server() -> None:
    table = {"b.test/A": "REFUSED", "per_server": {"ns1": {}, "ns2": {"a.test/TXT": "NXDOMAIN"}}}
    assert behaviour_of(table, "ns1") == {"b.test/A": "REFUSED"}
    assert behaviour_of(table, "ns2") == {"b.test/A": "REFUSED", "a.test/TXT": "NXDOMAIN"}
    with pytest.raises(ValueError, match="expected a word"):
        behaviour_of({"a.test/A": 7}, "ns1")
