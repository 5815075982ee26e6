"""The checks that are advice, beyond the shared cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.domains.checks.caa import check_caa
from gateway.domains.checks.dane import check_dane
from gateway.domains.checks.dkim import SigningKey, check_dkim, published_keys
from gateway.domains.checks.dmarc import check_dmarc
from gateway.domains.checks.dmarc_policy import dmarc_policy, walk
from gateway.domains.checks.dnssec import check_dnssec
from gateway.domains.checks.host import check_own_name
from gateway.domains.checks.result import Result
from gateway.domains.checks.spf.check import check_spf
from gateway.domains.checks.srv import Service, check_srv
from gateway.domains.checks.tls_rpt import check_tls_rpt
from gateway.domains.probing import Probe
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import DIGEST, DKIM, DOMAIN, KEY, probing

Check = Callable[[Probe], Awaitable[Result]]


def txt(name: str, text: str) -> Record:
    strings = [text[start : start + 255] for start in range(0, len(text), 255)] or [""]
    return (name, "TXT", " ".join('"' + each.replace("\\", "\\\\") + '"' for each in strings), 300)


async def run(check: Check, records: list[Record], behaviour: dict[str, Behaviour] | None = None) -> Result:
    async with DnsServer(records, behaviour) as server, probing(server).open() as probe:
        return await check(probe)


SELECTOR = f"gw1._domainkey.{DOMAIN}"


@pytest.mark.parametrize(
    ("texts", "status", "reason"),
    [
        ([DKIM.record], "pass", "ok"),
        ([f"p={KEY}"], "pass", "ok"),
        ([f"v=DKIM1; k=rsa; h=sha256:sha1; t=s; p={KEY[:40]} {KEY[40:]}"], "pass", "ok"),
        ([f"v=DKIM1\\; k=rsa\\; p={KEY}"], "fail", "dkim_syntax"),
        (["v=DKIM1; k=rsa; p="], "fail", "dkim_revoked"),
        (["v=DKIM1; k=rsa"], "fail", "dkim_syntax"),
        ([f"v=DKIM1; p={KEY}; p={KEY}"], "fail", "dkim_syntax"),
        ([f"v=DKIM2; p={KEY}"], "fail", "dkim_syntax"),
        ([f"v=DKIM1; k=ed25519; p={KEY}"], "fail", "dkim_mismatch"),
        ([f"v=DKIM1; p={KEY}AAAA"], "fail", "dkim_mismatch"),
        ([], "warn", "dkim_missing"),
    ],
)
async def test_dkim_records(texts: list[str], status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_dkim(DOMAIN, DKIM, probe)

    result = await run(check, [txt(SELECTOR, text) for text in texts])
    assert (result.status, result.reason) == (status, reason)


async def test_a_key_is_offered_in_pieces_that_every_panel_takes() -> None:
    pieces = SigningKey("gw1", "A" * 700).split_record.split('" "')
    assert [len(piece.strip('"')) for piece in pieces] == [255, 255, 208]


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        ([DKIM.record], "usable"),
        (["v=spf1 -all", DKIM.record], "usable"),
        (["v=DKIM1; p=not base64!"], "permerror"),
        ([], "permerror"),
    ],
)
async def test_keys_of_a_signature(texts: list[str], outcome: str) -> None:
    async with DnsServer([txt(SELECTOR, text) for text in texts]) as server, probing(server).open() as probe:
        keys = await published_keys(DOMAIN, "gw1", probe.resolver.lookup)
        odd = await published_keys("b\u00fccher.test", "gw1", probe.resolver.lookup)
    assert keys.outcome == outcome, keys
    assert odd.outcome == "permerror"


RUA = f"rua=mailto:dmarc@{DOMAIN}"


@pytest.mark.parametrize(
    ("records", "status", "reason"),
    [
        ([txt(f"_dmarc.{DOMAIN}", f"v=DMARC1;p=quarantine;{RUA}")], "pass", "ok"),
        ([txt(f"_dmarc.{DOMAIN}", f"v = DMARC1 ; p = Reject ; {RUA}")], "pass", "ok"),
        ([txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject")], "warn", "dmarc_no_rua"),
        ([txt(f"_dmarc.{DOMAIN}", f"v=DMARC1; p=reject; sp=none; {RUA}")], "warn", "dmarc_sp_none"),
        ([txt(f"_dmarc.{DOMAIN}", f"v=DMARC1; p=reject; pct=50; {RUA}")], "warn", "dmarc_removed_tag"),
        ([txt(f"_dmarc.{DOMAIN}", f"v=DMARC1; p=refuse; {RUA}")], "fail", "dmarc_syntax"),
        ([txt(f"_dmarc.{DOMAIN}", f"v=DMARC1; p=reject; sp=no; {RUA}")], "fail", "dmarc_syntax"),
        ([txt(f"_dmarc.{DOMAIN}", "v=DMARC1 p=reject")], "fail", "dmarc_syntax"),
        ([txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject; rua=mailto:a@sub.customer.test!10m")], "pass", "ok"),
        ([txt(DOMAIN, f"v=DMARC1; p=reject; {RUA}")], "warn", "misplaced_apex"),
        ([txt(f"_dmarc.{DOMAIN}.{DOMAIN}", f"v=DMARC1; p=reject; {RUA}")], "warn", "misplaced_doubled_suffix"),
    ],
)
async def test_dmarc_records(records: list[Record], status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_dmarc(DOMAIN, probe)

    result = await run(check, records)
    assert (result.status, result.reason) == (status, reason)


async def test_a_name_below_inherits_the_policy() -> None:
    async def check(probe: Probe) -> Result:
        return await check_dmarc(f"sub.{DOMAIN}", probe)

    result = await run(check, [txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject; sp=quarantine")])
    assert (result.reason, result.facts["parent"], result.facts["policy"]) == ("dmarc_inherited", DOMAIN, "quarantine")
    assert (await run(check, [txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=none")])).reason == "dmarc_missing"


def test_the_walk_leaves_out_the_middle_of_long_names() -> None:
    """RFC 9989 4.10: at most eight queries."""
    assert walk("a.b.c") == ["a.b.c", "b.c", "c"]
    long = walk("j.i.h.g.f.e.d.c.b.a")
    assert long == ["j.i.h.g.f.e.d.c.b.a", "g.f.e.d.c.b.a", "f.e.d.c.b.a", "e.d.c.b.a", "d.c.b.a", "c.b.a", "b.a", "a"]
    assert len(walk("h.g.f.e.d.c.b.a")) == 8


@pytest.mark.parametrize(
    ("domain", "records", "outcome", "organisation"),
    [
        ("b.test", [("b.test", "v=DMARC1; p=reject; t=y")], "none", "b.test"),
        ("x.b.test", [("b.test", "v=DMARC1; p=reject; np=none")], "none", "b.test"),  # does not exist
        ("x.b.test", [("x.b.test", "v=DMARC1; p=none"), ("b.test", "v=DMARC1; p=reject")], "none", "b.test"),
        ("b.test", [("b.test", "v=DMARC1; p=junk; rua=mailto:a@b.test")], "none", "b.test"),
        ("b.test", [("b.test", "v=DMARC1; p=junk")], "no_policy", "b.test"),
        ("a.b.bank", [("bank", "v=DMARC1; p=reject; psd=y")], "reject", "b.bank"),
        ("gov.test", [("gov.test", "v=DMARC1; p=reject; psd=y")], "reject", "gov.test"),
        ("b.test", [], "no_policy", "b.test"),
    ],
)
async def test_policies(domain: str, records: list[tuple[str, str]], outcome: str, organisation: str) -> None:
    rows = [txt(f"_dmarc.{name}", text) for name, text in records]
    async with DnsServer(rows) as server, probing(server).open() as probe:
        verdict = await dmarc_policy(domain, probe.resolver.lookup)
    assert (verdict.outcome, verdict.organisation) == (outcome, organisation)


async def test_an_error_higher_up_in_the_walk_is_an_error() -> None:
    behaviour: dict[str, Behaviour] = {"_dmarc.b.test/TXT": "SERVFAIL"}
    async with DnsServer([], behaviour) as server, probing(server).open() as probe:
        verdict = await dmarc_policy("a.b.test", probe.resolver.lookup)
    assert verdict.outcome == "temperror"


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("v=TLSRPTv1;rua=https://reports.test/in,mailto:a@b.test", "pass", "ok"),
        ("v=TLSRPTv1; rua=a@b.test", "fail", "tlsrpt_syntax"),
        ("v=TLSRPTv1;", "fail", "tlsrpt_syntax"),
        ("v=tlsrptv1; rua=mailto:a@b.test", "fail", "tlsrpt_syntax"),
        ("something else", "warn", "tlsrpt_missing"),
    ],
)
async def test_tls_reports(text: str, status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_tls_rpt(DOMAIN, probe)

    result = await run(check, [txt(f"_smtp._tls.{DOMAIN}", text)])
    assert (result.status, result.reason) == (status, reason)


TLSA = "_25._tcp.mx1.gateway.test"


@pytest.mark.parametrize(
    ("values", "word", "status", "reason"),
    [
        ([], "AD", "warn", "dane_missing"),
        ([f"3 1 1 {'cd' * 32}"], "AD", "fail", "dane_mismatch"),
        ([f"3 1 1 {'cd' * 32}", f"3 1 1 {DIGEST}"], "AD", "pass", "ok"),
        ([f"2 0 1 {'cd' * 32}"], "AD", "warn", "dane_other_form"),
        ([f"0 0 1 {DIGEST}"], "AD", "warn", "dane_unusable"),
        ([f"3 1 1 {DIGEST}"], "TIMEOUT", "temp", "dns_timeout"),
        ([f"3 1 1 {DIGEST}"], "BOGUS", "fail", "dane_servfail"),
    ],
)
async def test_dane(values: list[str], word: str, status: str, reason: str) -> None:
    async with DnsServer(
        [(TLSA, "TLSA", value, 300) for value in values], {f"{TLSA}/TLSA": word, f"{DOMAIN}/MX": "AD"}
    ) as server:
        patience = {"try_seconds": 0.1, "lookup_seconds": 0.5} if word == "TIMEOUT" else {}
        async with probing(server, **patience).open() as probe:
            result = await check_dane(DOMAIN, "mx1.gateway.test", [DIGEST.upper()], probe)
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("records", "status", "reason"),
    [
        ([("customer.test", "CAA", '0 issue "other.test"', 300)], "warn", "caa_blocks"),
        ([("customer.test", "CAA", '0 issue ";"', 300)], "warn", "caa_blocks"),
        ([("customer.test", "CAA", '0 issue "CA.test; account=1"', 300)], "pass", "ok"),
        ([("customer.test", "CAA", '0 iodef "mailto:a@b.test"', 300)], "pass", "ok"),
        ([("customer.test", "CAA", '128 future "x"', 300)], "warn", "caa_blocks"),
        (
            [
                ("customer.test", "CAA", '0 issue ";"', 300),
                ("mta-sts.customer.test", "CNAME", "sts.gateway.test.", 300),
                ("sts.gateway.test", "CAA", '0 issue "ca.test"', 300),
            ],
            "pass",
            "ok",
        ),
    ],
)
async def test_caa(records: list[Record], status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_caa(DOMAIN, "ca.test", f"mta-sts.{DOMAIN}", probe)

    result = await run(check, records)
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        (["0 1 465 mx1.gateway.test."], "pass", "ok"),
        (["0 1 465 mx1.gateway.test.", "0 1 465 old.test."], "fail", "srv_wrong"),
        (["0 0 0 ."], "fail", "srv_wrong"),
        ([], "warn", "srv_missing"),
    ],
)
async def test_srv(values: list[str], status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_srv(DOMAIN, Service("_submissions._tcp", "mx1.gateway.test", 465), probe)

    result = await run(check, [(f"_submissions._tcp.{DOMAIN}", "SRV", value, 300) for value in values])
    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("AD", "pass", "ok"),
        ("OK", "warn", "dnssec_unsigned"),
        ("BOGUS", "fail", "dnssec_bogus"),
        ("SERVFAIL", "temp", "dns_servfail"),
    ],
)
async def test_dnssec(word: str, status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_dnssec(DOMAIN, probe)

    result = await run(check, [(DOMAIN, "A", "192.0.2.1", 300)], {f"{DOMAIN}/SOA": word})
    assert (result.status, result.reason) == (status, reason)


SPF_OF_GATEWAY = txt("spf.gateway.test", "v=spf1 ip4:192.0.2.10 ip4:192.0.2.11 -all")


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("v=spf1 include:spf.gateway.test +all", "fail", "spf_plus_all"),
        ("v=spf1 include:spf.gateway.test ?all", "warn", "spf_no_all"),
        ("v=spf1 redirect=spf.gateway.test", "pass", "ok"),
        ("v=spf1 ip4:192.0.2.10 -all", "fail", "spf_gateway_not_allowed"),  # the other one does not pass
        ("v=spf1 ipv4:192.0.2.10 -all", "fail", "spf_syntax"),
        ("v=spf1 include:gone.test include:spf.gateway.test -all", "fail", "spf_syntax"),
        ("v=spf1 a:g1.test a:g2.test a:g3.test include:spf.gateway.test -all", "fail", "spf_too_many_void"),
        ("v=spf1 " + " ".join(f"a:h{n}.test" for n in range(11)) + " -all", "fail", "spf_too_many_lookups"),
        ("v=spf1 include:spf.gateway.test include:spf.gateway.test ~all", "pass", "ok"),
    ],
)
async def test_spf_records(text: str, status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_spf(DOMAIN, ["include:spf.gateway.test"], [], "mx1.gateway.test", probe)

    result = await run(check, [txt(DOMAIN, text), SPF_OF_GATEWAY])
    assert (result.status, result.reason) == (status, reason)
    assert result.facts["merged"].startswith("v=spf1 include:spf.gateway.test ")


async def test_without_a_name_for_spf_the_mail_hosts_themselves_are_looked_for() -> None:
    async def check(probe: Probe) -> Result:
        return await check_spf(DOMAIN, ["a:mx1.gateway.test"], [], "mx1.gateway.test", probe)

    host: Record = ("mx1.gateway.test", "A", "192.0.2.10", 300)
    assert (await run(check, [txt(DOMAIN, "v=spf1 ip4:192.0.2.10 -all"), host])).reason == "ok"
    refused = await run(check, [txt(DOMAIN, "v=spf1 ip4:192.0.2.99 -all"), host])
    assert refused.reason == "spf_gateway_not_allowed"
    assert refused.facts["merged"] == "v=spf1 a:mx1.gateway.test ip4:192.0.2.99 -all"


@pytest.mark.parametrize(
    ("spf", "addresses", "status", "reason"),
    [
        ("v=spf1 a -all", ["192.0.2.10", "2001:db8::10"], "pass", "ok"),
        ("v=spf1 ip4:192.0.2.10 -all", ["192.0.2.10"], "warn", "host_one_kind"),
        ("v=spf1 ip4:192.0.2.99 -all", ["192.0.2.10"], "fail", "host_spf_fails"),
        ("hello", ["192.0.2.10"], "warn", "host_spf_missing"),
        ("v=spf1 a -all", [], "fail", "host_missing"),
    ],
)
async def test_the_gateways_own_name(spf: str, addresses: list[str], status: str, reason: str) -> None:
    async def check(probe: Probe) -> Result:
        return await check_own_name("mx1.gateway.test", addresses, probe)

    records: list[Record] = [txt("mx1.gateway.test", spf)]
    records += [("mx1.gateway.test", "AAAA" if ":" in each else "A", each, 300) for each in addresses]
    result = await run(check, records)
    assert (result.status, result.reason) == (status, reason)
    unknown = await run(check, records, {"mx1.gateway.test/AAAA": "SERVFAIL"})
    assert unknown.status == "temp"
