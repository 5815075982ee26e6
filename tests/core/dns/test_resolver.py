"""The resolver against a real server on loopback: single flight, retries, TCP, caching, budget, closing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.name
import pytest
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.A import A

from gateway.dns.answers import Answer, Found, NotFound, Trouble, Unknown
from gateway.dns.resolver import Budget, Resolver
from gateway.dns.transport import Nameserver, system_nameservers
from gateway.errors import StartupError
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.dns.timing import PATIENT, FakeClock

RECORDS: list[Record] = [
    ("a.test", "MX", "20 mx2.a.test.", 300),
    ("a.test", "MX", "10 mx1.a.test.", 300),
    ("alias.test", "CNAME", "alias2.test.", 20),
    ("alias2.test", "CNAME", "a.test.", 40),
    ("far.test", "CNAME", "gone.test.", 20),
    ("empty.test", "CNAME", "mx1.a.test.", 20),
    ("loop1.test", "CNAME", "loop2.test.", 60),
    ("loop2.test", "CNAME", "loop1.test.", 60),
    *[(f"chain{n}.test", "CNAME", f"chain{n + 1}.test.", 60) for n in range(40)],
    ("mx1.a.test", "A", "192.0.2.1", 300),
    *[("big.test", "TXT", '"' + f"{n:03}" * 60 + '"', 300) for n in range(30)],
]


@pytest.fixture
def refused_address() -> Iterator[str]:
    """A UDP port that nobody else can take and that refuses: its socket talks to one other peer only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.connect(("127.0.0.1", 9))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


async def test_found_records_are_typed_and_complete() -> None:
    async with DnsServer(RECORDS) as server, Resolver([server.address], **PATIENT) as resolver:
        answer = await resolver.lookup("A.test.", "mx")
    assert isinstance(answer, Found)
    assert sorted(record.preference for record in answer.of(MX)) == [10, 20]
    assert answer.of(A) == ()
    assert (answer.name, answer.rdtype, answer.ttl, answer.canonical) == ("a.test", "MX", 300, "a.test")
    assert (answer.aliases, answer.authenticated, answer.stale) == ((), False, False)
    assert answer.server == server.address


@pytest.mark.parametrize("follow", [True, False], ids=["chain in one answer", "target not included"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alias.test", ("found", "a.test", ("alias.test", "alias2.test"), 20)),
        ("far.test", ("nxdomain", "gone.test", ("far.test",), 20)),
        ("empty.test", ("nodata", "mx1.a.test", ("empty.test",), 20)),
        ("loop1.test", Trouble.LOOP),
        ("chain0.test", Trouble.LOOP),
        ("chain34.test", ("nxdomain", "chain40.test", tuple(f"chain{n}.test" for n in range(34, 40)), 60)),
    ],
)
async def test_alias_chains(name: str, expected: object, follow: bool) -> None:
    async with (
        DnsServer(RECORDS, follow_aliases=follow) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        answer = await resolver.lookup(name, "MX")
    if isinstance(answer, Unknown):
        assert answer.reason == expected
    else:
        kind = answer.reason if isinstance(answer, NotFound) else "found"
        assert (kind, answer.canonical, answer.aliases, answer.ttl) == expected


@pytest.mark.parametrize(
    ("behaviour", "expected", "queries"),
    [
        ("OK", "Found", 1),
        ("NXDOMAIN", "nxdomain", 1),
        ("NODATA", "nodata", 1),
        ("SERVFAIL", Trouble.SERVFAIL, 2),
        (["SERVFAIL", "OK"], "Found", 2),
        ("REFUSED", Trouble.REFUSED, 2),
        ("NOTIMP", Trouble.RCODE, 2),
        ("LAME", Trouble.LAME, 1),
        ("TIMEOUT", Trouble.TIMEOUT, 2),
        ("GARBAGE", Trouble.TIMEOUT, 2),
        ("DROP:1", "Found", 2),
        (["GARBAGE", "OK"], "Found", 2),
        (["FORGERY", "OK"], "Found", 2),
        ("TRUNCATE", "Found", 2),
        (["TRUNCATE", "TIMEOUT", "OK"], "Found", 3),
        (["TRUNCATE", "GARBAGE", "TRUNCATE", "GARBAGE"], Trouble.MALFORMED, 4),
        (["TRUNCATE", "FORGERY", "TRUNCATE", "OK"], "Found", 4),
    ],
)
async def test_what_a_server_does_and_what_it_means(behaviour: Behaviour, expected: str, queries: int) -> None:
    silent = any(word in str(behaviour) for word in ("TIMEOUT", "DROP", "GARBAGE", "FORGERY"))
    async with (
        DnsServer(RECORDS, {"a.test/MX": behaviour}) as server,
        Resolver([server.address], try_seconds=0.4 if silent else 20, lookup_seconds=50) as resolver,
    ):
        answer = await resolver.lookup("a.test", "MX")
        assert (type(answer).__name__ if isinstance(answer, Found) else answer.reason) == expected
        assert server.count() == queries
        assert isinstance(answer, Unknown) == bool(getattr(answer, "detail", ""))


async def test_a_lookup_ends_when_its_time_is_over() -> None:
    async with (
        DnsServer(RECORDS, {"*/*": "TIMEOUT"}) as server,
        Resolver([server.address], try_seconds=60, lookup_seconds=0.1) as resolver,
    ):
        answer = await resolver.lookup("a.test", "MX")
    assert isinstance(answer, Unknown)
    assert (answer.reason, answer.detail) == (Trouble.TIMEOUT, "no answer within 0.1 s")


async def test_a_large_answer_comes_over_tcp() -> None:
    async with DnsServer(RECORDS) as server, Resolver([server.address], **PATIENT) as resolver:
        answer = await resolver.lookup("big.test", "TXT")
        assert isinstance(answer, Found)
        assert len(answer.records) == 30
        assert (server.count(transport="udp"), server.count(transport="tcp")) == (1, 1)
        assert resolver.counts["tcp"] == 1


async def test_a_refused_port_costs_no_time(refused_address: str) -> None:
    # With a patience of a minute a refusal that went unseen would hang this test.
    async with Resolver([refused_address], try_seconds=60, lookup_seconds=600) as resolver:
        answer = await resolver.lookup("a.test", "MX")
        assert isinstance(answer, Unknown)
        assert answer.reason == Trouble.UNREACHABLE
        assert answer.detail == f"{refused_address} is not reachable: Connection refused"
        assert (resolver.counts["unreachable"], resolver.counts["timeout"]) == (2, 0)


async def test_the_next_server_answers_for_a_refused_one_and_is_asked_first_from_then_on(refused_address: str) -> None:
    clock = FakeClock()
    async with (
        DnsServer(RECORDS) as server,
        Resolver([refused_address, server.address], try_seconds=60, lookup_seconds=600, clock=clock) as resolver,
    ):
        for name in ("a.test", "mx1.a.test", "big.test"):
            assert not isinstance(await resolver.lookup(name, "MX"), Unknown)
        assert resolver.counts["unreachable"] == 1
        clock.advance(31)
        assert isinstance(await resolver.lookup("mx1.a.test", "A"), Found)
        assert resolver.counts["unreachable"] == 2


async def test_a_silent_server_does_not_delay_every_lookup() -> None:
    async with (
        DnsServer(RECORDS, {"*/*": "TIMEOUT"}) as silent,
        DnsServer(RECORDS) as server,
        Resolver([silent.address, server.address], try_seconds=1, lookup_seconds=60) as resolver,
    ):
        for name in ("a.test", "alias.test", "far.test"):
            assert not isinstance(await resolver.lookup(name, "MX"), Unknown)
        assert silent.count() == 1


async def test_a_server_without_edns_is_asked_without() -> None:
    async with (
        DnsServer(RECORDS, {"a.test/MX": ["FORMERR", "OK"]}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        assert isinstance(await resolver.lookup("a.test", "MX"), Found)
        assert [query.edns for query in server.queries] == [True, False]


async def test_authenticated_is_the_ad_bit_of_a_resolver_on_loopback() -> None:
    async with (
        DnsServer(RECORDS, {"a.test/MX": "AD", "gone.test/MX": "AD"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        for name, expected in (("a.test", True), ("gone.test", True), ("alias.test", False)):
            answer = await resolver.lookup(name, "MX")
            assert isinstance(answer, Found | NotFound)
            assert answer.authenticated is expected


async def test_the_ad_bit_from_elsewhere_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nameserver, "is_loopback", property(lambda _: False))
    async with (
        DnsServer(RECORDS, {"a.test/MX": "AD"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        answer = await resolver.lookup("a.test", "MX")
        assert isinstance(answer, Found)
        assert not answer.authenticated


async def test_a_hundred_waiters_cost_one_query() -> None:
    async with (
        DnsServer(RECORDS, {"a.test/MX": "DELAY:0.05"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        answers = await asyncio.gather(*(resolver.lookup("a.test", "MX") for _ in range(100)))
        assert all(isinstance(answer, Found) for answer in answers)
        assert server.count() == 1
        assert resolver.counts["joined"] == 99


@pytest.mark.parametrize("others", [0, 1, 5])
async def test_a_cancelled_waiter_leaves_the_lookup_to_the_others(others: int) -> None:
    async with (
        DnsServer(RECORDS, {"a.test/MX": "DELAY:0.1"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        first = asyncio.create_task(resolver.lookup("a.test", "MX"))
        waiting = [asyncio.create_task(resolver.lookup("a.test", "MX")) for _ in range(others)]
        await server.until_asked()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        answers: list[Answer] = await asyncio.gather(*waiting)
        answers.append(await resolver.lookup("a.test", "MX"))
        assert all(isinstance(answer, Found) for answer in answers)
        assert server.count() == 1


async def test_no_more_lookups_at_once_than_there_are_places() -> None:
    async with (
        DnsServer(RECORDS, {"*/*": "DELAY:0.02"}) as server,
        Resolver([server.address], max_parallel=3, **PATIENT) as resolver,
    ):
        answers = await asyncio.gather(*(resolver.lookup(f"n{number}.test", "A") for number in range(12)))
        assert all(isinstance(answer, NotFound) for answer in answers)
        assert server.most_at_once == 3


async def test_who_finds_no_place_in_time_is_told_and_may_ask_again() -> None:
    async with (
        DnsServer(RECORDS) as server,
        Resolver([server.address], max_parallel=0, lookup_seconds=0.02) as resolver,
    ):
        answer = await resolver.lookup("a.test", "MX")
        assert isinstance(answer, Unknown)
        assert answer.reason == Trouble.BUSY
        assert resolver.cached("a.test", "MX") is None
        assert server.count() == 0


async def test_positive_negative_and_failed_answers_are_asked_again_when_their_time_is_over() -> None:
    clock = FakeClock()
    behaviour = {"broken.test/MX": "SERVFAIL"}
    async with (
        DnsServer(RECORDS, behaviour, soa_minimum=60) as server,
        Resolver([server.address], clock=clock, **PATIENT) as resolver,
    ):
        for name, seconds, queries in (("a.test", 300, 1), ("gone.test", 60, 1), ("broken.test", 5, 2)):
            for moment, expected in ((0.0, queries), (seconds - 1, 0), (2, queries)):
                clock.advance(moment)
                before = server.count()
                await resolver.lookup(name, "MX")
                assert server.count() - before == expected, (name, moment)
        assert resolver.cached_answers == 3


async def test_expired_records_stand_in_only_for_those_who_allow_it() -> None:
    clock = FakeClock()
    async with DnsServer(RECORDS) as server, Resolver([server.address], clock=clock, **PATIENT) as resolver:
        await resolver.lookup("a.test", "MX")
        clock.advance(301)
        server.replace_behaviour({"*/*": "SERVFAIL"})
        assert isinstance(await resolver.lookup("a.test", "MX"), Unknown)
        answer = await resolver.lookup("a.test", "MX", stale_ok=True)
        assert isinstance(answer, Found)
        assert answer.stale
        assert server.count() == 3
        server.replace_behaviour({"*/*": "NXDOMAIN"})
        clock.advance(6)
        assert isinstance(await resolver.lookup("a.test", "MX", stale_ok=True), NotFound)


async def test_the_cache_is_bounded() -> None:
    async with DnsServer(RECORDS) as server, Resolver([server.address], max_entries=10, **PATIENT) as resolver:
        for number in range(25):
            await resolver.lookup(f"n{number}.test", "A")
        assert resolver.cached_answers == 10
        assert isinstance(resolver.cached("n24.test", "A"), NotFound)
        assert resolver.cached("n14.test", "A") is None


async def test_a_budget_pays_for_lookups_and_not_for_cached_answers() -> None:
    async with DnsServer(RECORDS) as server, Resolver([server.address], **PATIENT) as resolver:
        budget = Budget(2)
        for name in ("a.test", "a.test", "alias.test", "alias.test"):
            assert isinstance(await resolver.lookup(name, "MX", budget=budget), Found)
        answer = await resolver.lookup("far.test", "MX", budget=budget)
        assert isinstance(answer, Unknown)
        assert answer.reason == Trouble.BUDGET
        assert isinstance(await resolver.lookup("a.test", "MX", budget=budget), Found)
        assert isinstance(await resolver.lookup("far.test", "MX", budget=Budget()), NotFound)


async def test_failed_lookups_raise_the_trouble_flag_and_loops_do_not() -> None:
    async with (
        DnsServer(RECORDS, {"*/A": "SERVFAIL"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        for number in range(40):
            await resolver.lookup(f"chain{number % 10}.test", "MX")
        assert not resolver.in_trouble
        for number in range(5):
            await resolver.lookup(f"n{number}.test", "A")
        assert resolver.in_trouble
        assert resolver.counts["SERVFAIL"] == 10


async def test_closing_answers_those_who_wait() -> None:
    async with DnsServer(RECORDS, {"*/*": "TIMEOUT", "big.test/TXT": "TRUNCATE"}) as server:
        resolver = Resolver([server.address], **PATIENT)
        waiting = [asyncio.create_task(resolver.lookup(f"n{number}.test", "A")) for number in range(3)]
        await server.until_asked(3)
        await resolver.close()
        for answer in [*await asyncio.gather(*waiting), await resolver.lookup("a.test", "MX")]:
            assert isinstance(answer, Unknown)
            assert answer.reason == Trouble.CLOSED
        assert server.count() == 3


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", ".".join(["x" * 60] * 5), "müller.test"])
async def test_what_cannot_be_a_name_is_the_callers_mistake(name: str) -> None:
    async with Resolver(["127.0.0.1:1"]) as resolver:
        with pytest.raises(ValueError, match=r"cannot look up|not ASCII"):
            await resolver.lookup(name, "MX")


async def test_an_unknown_type_is_the_callers_mistake() -> None:
    async with Resolver(["127.0.0.1:1"]) as resolver:
        with pytest.raises(ValueError, match=r"cannot look up NOSUCH of 'a\.test'"):
            await resolver.lookup("a.test", "nosuch")


async def test_names_from_the_dns_are_looked_up_as_they_are() -> None:
    odd = dns.name.Name((b"a b.c\x00", b"test", b""))
    async with (
        DnsServer([("a\\ b\\.c\\000.test", "A", "192.0.2.7", 300)]) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        assert isinstance(await resolver.lookup(odd, "A"), Found)
        assert isinstance(resolver.cached(odd, "A"), Found)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1", "127.0.0.1", 53),
        ("127.0.0.1:5353", "127.0.0.1", 5353),
        ("::1", "::1", 53),
        ("[::1]", "::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        (" 192.0.2.1 ", "192.0.2.1", 53),
    ],
)
def test_a_server_in_the_configuration(text: str, host: str, port: int) -> None:
    server = Nameserver.parse(text)
    assert (server.host, server.port) == (host, port)
    assert Nameserver.parse(str(server)) == server
    assert server.is_loopback == (host in ("127.0.0.1", "::1"))


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "[::1", "[::1]53"])
def test_a_wrong_server_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a DNS server; write an IP address"):
        Nameserver.parse(text)


def test_the_servers_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nsearch example.test\nnameserver 192.0.2.1\nnameserver ::1\nnameserver junk\nnameserver\n"
    )
    assert system_nameservers(path) == (Nameserver("192.0.2.1"), Nameserver("::1"))
    path.write_text("search example.test\n")
    with pytest.raises(StartupError, match="names no DNS server: add"):
        system_nameservers(path)
    with pytest.raises(StartupError, match="cannot read"):
        system_nameservers(tmp_path / "absent")
