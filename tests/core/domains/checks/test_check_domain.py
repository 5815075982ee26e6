"""All checks of a domain together: their order, their budget, and that not knowing never becomes a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domains.checks.domain import Expected, check_domain, check_gateway, check_required
from gateway.domains.checks.mta_sts import StsFetching
from gateway.domains.checks.result import Result
from gateway.domains.probing import MAX_QUERIES
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.certificates import Authority
from tests.core.domains.checks.healthy import (
    DOMAIN,
    EXPECTED,
    MX_RECORDS,
    NAME_SERVERS,
    POLICY,
    RECORDS,
    SPF_RECORD,
    TOKEN_RECORD,
    probing,
    without,
)
from tests.dns.policy_server import policy_server

SECURE: dict[str, Behaviour] = {
    f"{DOMAIN}/MX": "AD",
    f"{DOMAIN}/SOA": "AD",
    "_25._tcp.mx1.gateway.test/TLSA": "AD",
}
CHECKS = ["ownership", "mx", "spf", "dkim", "dmarc", "mta_sts", "tls_rpt", "dane", "srv", "caa", "dnssec"]


async def check(
    records: list[Record], behaviour: dict[str, Behaviour] | None = None, expected: Expected = EXPECTED
) -> tuple[dict[str, Result], DnsServer]:
    authority = Authority()
    async with (
        DnsServer(records, SECURE if behaviour is None else behaviour) as server,
        policy_server(authority, f"mta-sts.{DOMAIN}", 200, POLICY) as port,
    ):
        fetching = StsFetching(port, authority.client())
        results = await check_domain(DOMAIN, expected, probing(server), fetching=fetching)
    assert len({result.check for result in results}) == len(results)
    return {result.check: result for result in results}, server


async def test_a_domain_in_order_passes_everything_within_the_budget() -> None:
    results, server = await check([*RECORDS, *NAME_SERVERS])
    assert list(results) == CHECKS
    assert {name: (result.status, result.reason) for name, result in results.items()} == dict.fromkeys(
        CHECKS, ("pass", "ok")
    )
    assert [name for name, result in results.items() if result.required] == ["ownership", "mx"]
    assert results["ownership"].facts["name_servers"] == f"ns1.{DOMAIN} ns2.{DOMAIN}"
    assert any(seen.authoritative for seen in results["mx"].observations)
    assert server.count() <= MAX_QUERIES


async def test_what_is_not_expected_is_not_asked_for() -> None:
    bare = Expected(claim=EXPECTED.claim, mx_hosts=EXPECTED.mx_hosts, addresses=EXPECTED.addresses)
    results, server = await check(RECORDS, {}, bare)
    assert {"dkim", "dane", "srv", "caa"}.isdisjoint(results)
    assert server.count(rdtype="TLSA") == server.count(rdtype="SRV") == server.count(rdtype="CAA") == 0


@pytest.mark.parametrize("word", ["SERVFAIL", "REFUSED", "LAME", "FORMERR"])
async def test_a_resolver_that_knows_nothing_fails_nothing(word: str) -> None:
    expected = replace(EXPECTED, tlsa={})  # of TLSA a SERVFAIL is a finding: senders wait because of it
    results, server = await check(RECORDS, {"*/*": word}, expected)
    assert {result.status for result in results.values()} == {"temp"}
    assert server.count() <= MAX_QUERIES


async def test_one_look_up_that_fails_turns_no_pass_into_a_failure() -> None:
    _, healthy = await check(RECORDS)
    asked = {(query.name, query.rdtype) for query in healthy.queries} - {("_25._tcp.mx1.gateway.test", "TLSA")}
    assert len(asked) > 15
    for name, rdtype in sorted(asked):
        results, _ = await check(RECORDS, {**SECURE, f"{name}/{rdtype}": "SERVFAIL"})
        failed = {result.check for result in results.values() if result.status == "fail"}
        assert not failed, (name, rdtype, failed)


async def test_advice_leaves_enough_queries_for_what_gates_mail() -> None:
    terms = " ".join(f"include:i{n}.test" for n in range(9))
    greedy: list[Record] = [(DOMAIN, "TXT", f'"v=spf1 {terms} -all"', 300)]
    greedy += [(f"i{n}.test", "TXT", f'"v=spf1 mx:h{n}.test -all"', 300) for n in range(9)]
    greedy += [(f"h{n}.test", "MX", f"10 m{n}-{k}.test.", 300) for n in range(9) for k in range(9)]
    greedy += [(f"m{n}-{k}.test", "A", "198.51.100.7", 300) for n in range(9) for k in range(9)]
    results, server = await check([*without(SPF_RECORD), *NAME_SERVERS, *greedy])
    assert results["ownership"].status == results["mx"].status == "pass"
    assert server.count() <= MAX_QUERIES


async def test_lost_packets_count_against_the_budget_as_well() -> None:
    async with DnsServer(RECORDS, {"*/*": "TIMEOUT"}) as server:
        impatient = probing(server, try_seconds=0.05, lookup_seconds=0.5, max_queries=12)
        results = await check_domain(DOMAIN, replace(EXPECTED, dkim_keys=()), impatient)
    assert {result.status for result in results} == {"temp"}
    assert server.count() <= 12


async def test_the_required_checks_can_be_had_alone() -> None:
    async with DnsServer(without(TOKEN_RECORD)) as server:
        results = await check_required(DOMAIN, EXPECTED, probing(server))
    assert [(result.check, result.reason) for result in results] == [("ownership", "token_missing"), ("mx", "ok")]


@pytest.mark.parametrize(("kind", "unasked"), [("ownership", "MX"), ("mx", "TXT")])
async def test_only_what_is_due_is_asked_for(kind: str, unasked: str) -> None:
    async with DnsServer(RECORDS) as server:
        results = await check_required(DOMAIN, EXPECTED, probing(server), [kind])
    assert [(result.check, result.status) for result in results] == [(kind, "pass")]
    assert server.count(rdtype=unasked) == 0


async def test_a_domain_that_is_gone_says_so_twice() -> None:
    async with DnsServer([]) as server:
        results = await check_required(DOMAIN, EXPECTED, probing(server))
    assert {(result.status, result.reason) for result in results} == {("fail", "domain_nxdomain")}


async def test_results_survive_being_stored() -> None:
    results, _ = await check([*without(*MX_RECORDS), *NAME_SERVERS])
    for result in results.values():
        assert Result.from_json(result.as_json()) == result


async def test_the_gateways_own_reverse_names() -> None:
    records: list[Record] = [
        ("10.2.0.192.in-addr.arpa", "PTR", "mx1.gateway.test.", 300),
        ("mx1.gateway.test", "A", "192.0.2.10", 300),
    ]
    async with DnsServer(records) as server:
        results = await check_gateway("mx1.gateway.test", ["192.0.2.10", "2001:db8::10"], probing(server))
    assert [(result.check, result.reason) for result in results] == [
        ("host", "host_spf_missing"), ("ptr", "ok"), ("ptr", "ptr_missing"),
    ]  # fmt: skip
