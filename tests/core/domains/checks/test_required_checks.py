"""Ownership and mail hosts beyond the shared cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domains.checks.mx import check_mx
from gateway.domains.checks.ownership import Claim, KnownToken, Parent, check_ownership, known_tokens
from gateway.domains.checks.result import Result
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import CLAIM, DOMAIN, EXPECTED, LABEL, MX_RECORDS, TOKEN, probing

OLDER = "b" * 32
NAME = f"{LABEL}.{DOMAIN}"


def txt(text: str, name: str = NAME) -> Record:
    return (name, "TXT", f'"{text}"', 300)


def mx(*targets: str, name: str = DOMAIN) -> list[Record]:
    return [(name, "MX", target, 300) for target in targets]


def a(name: str, *addresses: str) -> list[Record]:
    return [(name, "AAAA" if ":" in address else "A", address, 300) for address in addresses]


async def own(
    records: list[Record], claim: Claim = CLAIM, behaviour: dict[str, Behaviour] | None = None, domain: str = DOMAIN
) -> Result:
    async with DnsServer(records, behaviour) as server, probing(server).open() as probe:
        return await check_ownership(domain, claim, probe)


async def mail(
    records: list[Record], behaviour: dict[str, Behaviour] | None = None, domain: str = DOMAIN,
    addresses: tuple[str, ...] = EXPECTED.addresses,
) -> Result:  # fmt: skip
    async with DnsServer(records, behaviour) as server, probing(server).open() as probe:
        return await check_mx(domain, EXPECTED.mx_hosts, addresses, probe)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"token={TOKEN} gateway=MX1.Gateway.Test.", "ok"),
        (f"gateway=mx1.gateway.test token={TOKEN}", "ok"),
        (f"token={TOKEN} token={OLDER}", "ok"),
        (f"token={OLDER} token={TOKEN}", "token_mismatch"),
        (f"token= {TOKEN}", "token_mismatch"),
        (TOKEN, "token_mismatch"),
        (f"x-token={TOKEN}", "token_mismatch"),
        (f"token={TOKEN};", "token_mismatch"),
        (f"token={TOKEN} gateway=mx1.gateway.test.evil.test", "wrong_gateway"),
        ("token=", "token_mismatch"),
    ],
)
async def test_a_key_is_compared_as_a_whole(text: str, reason: str) -> None:
    result = await own([txt(text)])
    assert result.reason == reason
    assert result.status == ("pass" if reason == "ok" else "fail")


async def test_while_a_new_key_takes_over_the_older_one_counts_and_is_named() -> None:
    claim = replace(CLAIM, also=(OLDER,))
    old = await own([txt(f"token={OLDER} gateway=mx1.gateway.test")], claim)
    both = await own([txt(f"token={OLDER}"), txt(f"token={TOKEN}")], claim)
    assert (old.status, old.facts["token"]) == ("pass", OLDER)
    assert (both.status, both.facts["token"]) == ("pass", TOKEN)
    assert TOKEN in old.facts["record"], "the new one is what to publish"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (KnownToken("acct-1", DOMAIN), "token_mismatch"),
        (KnownToken("acct-1", "other.test"), "token_other_domain"),
        (KnownToken("acct-2", DOMAIN), "token_other_account"),
        (KnownToken("acct-2", DOMAIN, revoked=True), "token_revoked"),
    ],
)
async def test_whose_key_it_is(known: KnownToken, reason: str) -> None:
    claim = replace(CLAIM, identify=known_tokens({OLDER: known}))
    result = await own([txt(f"token={OLDER}")], claim)
    assert (result.status, result.reason) == ("fail", reason)


async def test_a_revoked_key_never_proves_anything_again() -> None:
    claim = replace(CLAIM, identify=known_tokens({TOKEN: KnownToken("acct-1", DOMAIN, revoked=True)}))
    assert (await own([txt(CLAIM.record)], claim)).reason == "token_revoked"


@pytest.mark.parametrize(
    ("behaviour", "observations", "reason"),
    [({}, 1, "second_observation"), ({}, 2, "ok"), ({f"{NAME}/TXT": "AD"}, 1, "ok")],
)
async def test_a_first_proof_without_dnssec_is_seen_twice(
    behaviour: dict[str, Behaviour], observations: int, reason: str
) -> None:
    claim = replace(CLAIM, first_proof=True, observations=observations)
    assert (await own([txt(CLAIM.record)], claim, behaviour)).reason == reason


async def test_ad_counts_only_from_the_answer_itself() -> None:
    result = await own([txt(CLAIM.record)], behaviour={f"{NAME}/TXT": "AD"})
    assert result.facts["secure"] == "yes"
    assert "secure" not in (await own([txt(CLAIM.record)])).facts


async def test_what_must_be_agreed_to_waits_and_passes_once_it_is() -> None:
    tree = {DOMAIN: Parent("acct-2", "tree")}
    claim = replace(CLAIM, parents=tree)
    records = [txt(CLAIM.record, f"{LABEL}.sub.{DOMAIN}")]
    waiting = await own(records, claim, domain=f"sub.{DOMAIN}")
    assert (waiting.status, waiting.reason, waiting.waits_for) == ("temp", "parent_owned_by_other", "agreement")
    agreed = await own(records, replace(claim, agreed=True), domain=f"sub.{DOMAIN}")
    assert agreed.status == "pass"
    sibling = await own([txt(CLAIM.record, f"{LABEL}.x{DOMAIN}")], claim, domain=f"x{DOMAIN}")
    assert sibling.status == "pass", "a name that only ends alike is not below"


async def test_an_unregistered_name_below_a_public_suffix_is_gone_only_where_that_is_known() -> None:
    claim = replace(CLAIM, registrable="shop.co.test")
    ns: list[Record] = [("co.test", "NS", "ns.co.test.", 300)]
    assert (await own(ns, claim, domain="shop.co.test")).reason == "domain_nxdomain"
    assert (await own(ns, claim, domain="www.shop.co.test")).reason == "domain_nxdomain"
    assert (await own(ns, CLAIM, domain="shop.co.test")).reason == "token_missing"


async def test_bogus_answers_are_told_as_such_and_change_nothing() -> None:
    result = await own([txt(CLAIM.record)], behaviour={f"{NAME}/TXT": "BOGUS"})
    assert (result.status, result.reason) == ("temp", "dns_bogus")
    assert result.observations[0].ede == (6,)
    assert result.observations[0].rcode == "SERVFAIL"


OLD = a("mail.old.test", "198.51.100.5")


@pytest.mark.parametrize(
    ("records", "status", "reason"),
    [
        pytest.param([*mx("10 mx1.gateway.test.", "10 mail.old.test."), *OLD], "warn", "foreign_equal", id="equal"),
        pytest.param([*mx("10 m.test."), *a("m.test", "192.0.2.10")], "warn", "vanity_mx", id="own name"),
        pytest.param(
            [*mx("10 m.test."), ("m.test", "CNAME", "mx1.gateway.test.", 300), *a("mx1.gateway.test", "192.0.2.10")],
            "warn", "mx_target_alias", id="alias of ours",
        ),
        pytest.param(mx("10 gone.test."), "fail", "mx_target_missing", id="no such host"),
        pytest.param(mx("10 192.0.2.10.customer.test."), "fail", "mx_is_ip", id="address with the zone behind it"),
        pytest.param(mx("10 MX1.Gateway.Test.", "20 mx2.gateway.test."), "pass", "ok", id="capitals"),
        pytest.param(mx("10 mx1.gateway.test.", "20 gone.test."), "warn", "foreign_backup", id="backup that is gone"),
        pytest.param(a(DOMAIN, "192.0.2.10", "198.51.100.5"), "fail", "mx_missing", id="address partly ours"),
        pytest.param(a(DOMAIN, "198.51.100.5"), "fail", "mx_missing", id="address of somebody else"),
        pytest.param(mx("0 .", "5 ."), "fail", "null_mx", id="two dots"),
        pytest.param(mx("10 mx1.gateway.test.test."), "fail", "mx_target_missing", id="behind it is no zone of theirs"),
    ],
)  # fmt: skip
async def test_mail_hosts(records: list[Record], status: str, reason: str) -> None:
    result = await mail(records)
    assert (result.status, result.reason) == (status, reason)


async def test_a_zone_above_may_have_been_appended_too() -> None:
    records = mx(f"10 mx2.gateway.test.{DOMAIN}.", name=f"sub.{DOMAIN}")
    result = await mail(records, domain=f"sub.{DOMAIN}")
    assert (result.reason, result.facts["typed"], result.facts["zone"]) == (
        "mx_missing_dot", "mx2.gateway.test", DOMAIN,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "behaviour"),
    [
        (mx("10 m.test."), {"m.test/A": "SERVFAIL"}),
        ([*mx("10 m.test.", "20 mail.old.test."), *OLD], {"m.test/AAAA": "SERVFAIL", "m.test/A": "NODATA"}),
        (a(DOMAIN, "192.0.2.10"), {f"{DOMAIN}/AAAA": "SERVFAIL"}),
        ([txt("x", DOMAIN)], {f"{DOMAIN}/A": "SERVFAIL"}),
    ],
)
async def test_a_host_that_could_be_ours_leaves_it_open(records: list[Record], behaviour: dict[str, Behaviour]) -> None:
    assert (await mail(records, behaviour)).status == "temp"


async def test_own_addresses_come_from_the_dns_where_no_setting_names_them() -> None:
    ours = [*a("mx1.gateway.test", "192.0.2.10"), *a("mx2.gateway.test", "192.0.2.11", "2001:db8::11")]
    vanity = [*mx("10 m.test."), *a("m.test", "2001:db8::11"), *ours]
    assert (await mail(vanity, addresses=())).reason == "vanity_mx"
    assert (await mail([*mx("10 mail.old.test."), *OLD, *ours], addresses=())).reason == "mx_elsewhere"
    unknown: dict[str, Behaviour] = {"mx1.gateway.test/*": "SERVFAIL", "mx2.gateway.test/*": "SERVFAIL"}
    assert (await mail(vanity, unknown, addresses=())).status == "temp"


async def test_mail_hosts_that_the_zones_servers_know_already_are_waited_for() -> None:
    async with DnsServer([]) as resolver, DnsServer(MX_RECORDS, recursive=False) as own_server:
        listed = probing(resolver, authorities={DOMAIN: [own_server.address]})
        async with listed.open() as probe:
            result = await check_mx(DOMAIN, EXPECTED.mx_hosts, EXPECTED.addresses, probe)
    assert (result.status, result.reason) == ("temp", "resolver_behind")
