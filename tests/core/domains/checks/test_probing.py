"""Whom a check asks, and whom never."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from gateway.config.models import DnsConfig
from gateway.dns.answers import Found, NotFound
from gateway.domains.checks.domain import check_required
from gateway.domains.checks.look import Look
from gateway.domains.checks.mx import check_mx
from gateway.domains.checks.ownership import check_ownership
from gateway.domains.probing import Probing
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import (
    CLAIM,
    DOMAIN,
    EXPECTED,
    LABEL,
    LOOPBACK,
    NAME_SERVERS,
    RECORDS,
    TOKEN_RECORD,
    probing,
    without,
)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True),
        ("2a00:1450:4001::1", True),
        ("127.0.0.1", False),
        ("10.0.0.53", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.251", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::53", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_public_addresses_may_be_asked(address: str, allowed: bool) -> None:
    assert Probing().may_ask(address) is allowed


def test_settings_widen_and_narrow_what_may_be_asked() -> None:
    lab = ip_network("10.9.0.0/16")
    assert Probing(treat_as_public=(lab,)).may_ask("10.9.0.1")
    assert not Probing(treat_as_public=(lab,)).may_ask("10.8.0.1")
    assert not Probing(never=(ip_network("8.8.8.0/24"),)).may_ask("8.8.8.8")
    assert not Probing(treat_as_public=(lab,), never=(ip_network("10.9.1.0/24"),)).may_ask("10.9.1.1")


async def test_no_packet_goes_to_a_name_server_on_a_private_address() -> None:
    async with DnsServer([*RECORDS, *NAME_SERVERS]) as resolver, DnsServer(RECORDS, recursive=False) as victim:
        guarded = probing(resolver, treat_as_public=(), port=victim.port)
        results = await check_required(DOMAIN, EXPECTED, guarded)
        assert {result.status for result in results} == {"pass"}
        assert victim.count() == 0
        await check_required(DOMAIN, EXPECTED, probing(resolver, treat_as_public=(LOOPBACK,), port=victim.port))
        assert victim.count() > 0


async def test_zones_of_private_installations_are_asked_where_the_setting_says() -> None:
    async with DnsServer(without(TOKEN_RECORD)) as resolver, DnsServer(RECORDS, recursive=False) as own:
        listed = probing(resolver, treat_as_public=(), authorities={DOMAIN: [own.address]})
        async with listed.open() as probe:
            result = await check_ownership(DOMAIN, CLAIM, probe)
        assert (result.status, result.reason) == ("temp", "resolver_behind")
        assert own.count(f"{LABEL}.{DOMAIN}", "TXT") == 1


async def test_servers_of_a_zone_are_asked_where_nobody_can_forge_and_else_over_udp() -> None:
    async with (
        DnsServer(RECORDS) as resolver,
        DnsServer(RECORDS, recursive=False) as both,
        DnsServer(RECORDS, recursive=False) as no_tcp,
    ):
        await no_tcp.stop_tcp()
        listed = probing(resolver, authorities={DOMAIN: [both.address, no_tcp.address]})
        async with listed.open() as probe:
            views = await Look("ownership", probe).ask_all(DOMAIN, f"{LABEL}.{DOMAIN}", "TXT")
    assert len(views.authorities) == 2
    assert (both.count(transport="tcp"), both.count(transport="udp")) == (1, 0)
    assert (no_tcp.count(transport="tcp"), no_tcp.count(transport="udp")) == (0, 1)


async def test_the_zone_above_a_name_is_found() -> None:
    async with DnsServer([*RECORDS, *NAME_SERVERS]) as server, probing(server).open() as probe:
        zone = await probe.zone(f"a.b.{DOMAIN}")
        assert (zone.apex, zone.exists) == (DOMAIN, False)
        assert [str(each) for each in zone.servers] == [server.address]
        assert (await probe.zone("elsewhere.test")).apex == ""
        assert server.count("test") == 0, "a top-level name is nobody's zone here"


async def test_answers_of_a_probe_are_asked_for_once() -> None:
    async with DnsServer(RECORDS) as server, probing(server).open() as probe:
        for _ in range(2):
            await check_mx(DOMAIN, EXPECTED.mx_hosts, EXPECTED.addresses, probe)
        assert server.count(DOMAIN, "MX") == 1
        assert probe.queries_sent == server.count()


@pytest.mark.parametrize(
    ("own", "others", "reason"),
    [
        ({}, {}, "ok"),
        ({f"{LABEL}.{DOMAIN}/TXT": "NXDOMAIN"}, {}, "resolver_behind"),
        ({}, {f"{LABEL}.{DOMAIN}/TXT": "NXDOMAIN"}, "authoritative_disagree"),
        ({f"{LABEL}.{DOMAIN}/TXT": "NXDOMAIN"}, {f"{LABEL}.{DOMAIN}/TXT": "NXDOMAIN"}, "authoritative_disagree"),
        ({}, {"*/*": "REFUSED"}, "ok"),  # such a server is not one of the zone's, whatever NS says
        ({f"{LABEL}.{DOMAIN}/TXT": "SERVFAIL"}, {}, "dns_servfail"),
    ],
)
async def test_ownership_takes_all_sides_into_account(
    own: dict[str, Behaviour], others: dict[str, Behaviour], reason: str
) -> None:
    async with (
        DnsServer(RECORDS, own) as resolver,
        DnsServer(RECORDS, recursive=False) as good,
        DnsServer(RECORDS, others, recursive=False) as other,
    ):
        listed = probing(resolver, authorities={DOMAIN: [good.address, other.address]})
        async with listed.open() as probe:
            result = await check_ownership(DOMAIN, CLAIM, probe)
    assert result.reason == reason
    assert result.status == ("pass" if reason == "ok" else "temp")


async def test_a_second_resolver_outside_must_agree() -> None:
    async with (
        DnsServer(RECORDS) as inside,
        DnsServer(without(TOKEN_RECORD)) as outside,
        probing(inside, second_nameservers=(outside.address,)).open() as probe,
    ):
        result = await check_ownership(DOMAIN, CLAIM, probe)
    assert (result.status, result.reason) == ("temp", "resolver_disagree")


async def test_observations_say_who_answered_what() -> None:
    records: list[Record] = [*without(TOKEN_RECORD), *NAME_SERVERS]
    async with DnsServer(records, {f"{DOMAIN}/TXT": "AD"}) as server, probing(server).open() as probe:
        result = await check_ownership(DOMAIN, CLAIM, probe)
        answer = await probe.resolver.lookup(DOMAIN, "TXT")
    assert isinstance(answer, Found)
    first = result.observations[0]
    assert (first.server, first.rcode, first.texts, first.trouble) == (server.address, "NXDOMAIN", (), "")
    apex = next(seen for seen in result.observations if (seen.name, seen.type) == (DOMAIN, "TXT"))
    assert (apex.ad, apex.ttl, apex.rcode) == (True, 300, "NOERROR")


async def test_a_name_that_cannot_be_asked_for_is_a_definite_no() -> None:
    async with DnsServer([]) as server, probing(server).open() as probe:
        answer = await Look("mx", probe).ask(".".join(["x" * 60] * 5), "TXT")
        assert isinstance(answer, NotFound)
        assert server.count() == 0


def test_the_configuration_says_whom_to_ask() -> None:
    config = DnsConfig(
        nameservers=["127.0.0.1"],
        second_nameservers=["[2001:db8::53]:5353"],
        authorities={"Customer.Test.": ["10.0.0.53:5300"]},
        treat_as_public=["10.0.0.1/8"],
        never_ask=["10.9.0.0/16"],
    )
    asked = Probing.of(config)
    assert (asked.nameservers, asked.second_nameservers) == (("127.0.0.1",), ("[2001:db8::53]:5353",))
    assert asked.authorities == {DOMAIN: ["10.0.0.53:5300"]}
    assert asked.may_ask("10.8.0.1")
    assert not asked.may_ask("10.9.0.1")


@pytest.mark.parametrize("server", ["ns1.test", "127.0.0.1:0", "127.0.0.1:x", "[::1", "::1:70000:x", "127.0.0.1:70000"])
def test_a_server_that_is_no_address_is_an_error_of_the_configuration(server: str) -> None:
    with pytest.raises(ValidationError, match="expected an IP address with or without a port"):
        DnsConfig(authorities={DOMAIN: [server]})
