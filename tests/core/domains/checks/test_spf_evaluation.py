"""The SPF evaluator beyond the shared cases: syntax, macros, limits and errors of RFC 7208."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gateway.domains.checks.spf.evaluation import SpfVerdict, check_host
from gateway.domains.checks.spf.macros import Identity, expand
from gateway.domains.checks.spf.record import SpfSyntaxError, parse
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.domains.checks.healthy import probing


def txt(name: str, text: str) -> Record:
    return (name, "TXT", f'"{text}"', 300)


def a(name: str, address: str = "192.0.2.9") -> Record:
    return (name, "AAAA" if ":" in address else "A", address, 300)


async def judge(
    spf: str,
    more: list[Record] | None = None,
    *,
    ip: str = "192.0.2.9",
    mail_from: str = "user@s.test",
    helo: str = "mta.s.test",
    behaviour: dict[str, Behaviour] | None = None,
) -> tuple[SpfVerdict, DnsServer]:
    async with DnsServer([txt("s.test", spf), *(more or [])], behaviour) as server, probing(server).open() as probe:
        return await check_host(ip, mail_from, helo, probe.resolver.lookup), server


MANY_MX: list[Record] = [("s.test", "MX", f"{n} h{n}.test.", 300) for n in range(11)]
PTR: list[Record] = [("9.2.0.192.in-addr.arpa", "PTR", "mail.s.test.", 300), a("mail.s.test")]


@pytest.mark.parametrize(
    ("spf", "more", "outcome"),
    [
        pytest.param("v=spf1", [], "neutral", id="nothing but the version"),
        pytest.param("v=spf1   ip4:192.0.2.9   -all ", [], "pass", id="several spaces"),
        pytest.param("v=spf1 +ip4:192.0.2.0/24 -all", [], "pass", id="explicit plus"),
        pytest.param("v=spf1 ip4:192.0.2.8/31 -all", [], "pass", id="prefix"),
        pytest.param("v=spf1 ip4:0.0.0.0/0 -all", [], "pass", id="prefix of nought"),
        pytest.param("v=spf1 ?all", [], "neutral", id="question mark"),
        pytest.param("v=spf1 a -all", [a("s.test")], "pass", id="a"),
        pytest.param("v=spf1 a/24 -all", [a("s.test", "192.0.2.200")], "pass", id="a with a prefix"),
        pytest.param("v=spf1 a:h.test/24//64 -all", [a("h.test", "192.0.2.1")], "pass", id="a with both prefixes"),
        pytest.param("v=spf1 a//64 -all", [a("s.test")], "pass", id="a with an IPv6 prefix only"),
        pytest.param("v=spf1 mx:m.test -all", [("m.test", "MX", "1 h.test.", 9), a("h.test")], "pass", id="mx"),
        pytest.param("v=spf1 mx -all", [a("s.test")], "fail", id="no implicit MX"),
        pytest.param("v=spf1 mx ~all", MANY_MX, "permerror", id="more than ten mail hosts"),
        pytest.param("v=spf1 ptr -all", PTR, "pass", id="ptr"),
        pytest.param("v=spf1 ptr:other.test -all", PTR, "fail", id="ptr of another domain"),
        pytest.param("v=spf1 ptr -all", PTR[:1], "fail", id="ptr that leads nowhere"),
        pytest.param("v=spf1 exists:%{p}.ok.test -all", [*PTR, a("mail.s.test.ok.test")], "pass", id="%{p}"),
        pytest.param("v=spf1 include:i.test -all", [txt("i.test", "v=spf1 -all")], "fail", id="include that fails"),
        pytest.param("v=spf1 include:i.test -all", [], "permerror", id="include without a record"),
        pytest.param("v=spf1 include:i.test", [txt("i.test", "v=spf1 x")], "permerror", id="include with a mistake"),
        pytest.param("v=spf1 include:i.test", [txt("i.test", "v=spf1"), txt("i.test", "v=spf1 a")], "permerror",
                     id="include with two records"),
        pytest.param("v=spf1 redirect=r.test", [], "permerror", id="redirect without a record"),
        pytest.param("v=spf1 redirect=r.test ip4:192.0.2.9", [], "pass", id="redirect is last wherever it stands"),
        pytest.param("v=spf1 redirect=a.test redirect=b.test", [], "permerror", id="redirect twice"),
        pytest.param("v=spf1 exp=a.test exp=b.test -all", [], "permerror", id="exp twice"),
        pytest.param("v=spf1 include:s.test -all", [], "permerror", id="itself, until ten look-ups are spent"),
        pytest.param("v=spf1 -all ip4:999.1.1.1", [], "permerror", id="mistake behind what matches"),
        pytest.param("v=spf1 ip4:192.0.2.9/33 -all", [], "permerror", id="prefix too long"),
        pytest.param("v=spf1 ip4:192.0.2.9/032 -all", [], "permerror", id="prefix with a nought before it"),
        pytest.param("v=spf1 ip4 -all", [], "permerror", id="ip4 without an address"),
        pytest.param("v=spf1 ip6:192.0.2.9 -all", [], "permerror", id="ip6 with the other kind"),
        pytest.param("v=spf1 a: -all", [], "permerror", id="empty domain"),
        pytest.param("v=spf1 a:h -all", [], "permerror", id="domain of one label"),
        pytest.param("v=spf1 a:h.123 -all", [], "permerror", id="top label of digits"),
        pytest.param("v=spf1 include -all", [], "permerror", id="include of nothing"),
        pytest.param("v=spf1 all:x -all", [], "permerror", id="all with something"),
        pytest.param("v=spf1 exists:%{z}.test -all", [], "permerror", id="unknown macro"),
        pytest.param("v=spf1 exists:%{i.test -all", [], "permerror", id="open macro"),
        pytest.param("v=spf1 exists:%{c}.test -all", [], "permerror", id="macro of exp only"),
        pytest.param("v=spf1 exists:%(i).test -all", [], "permerror", id="stray percent"),
        pytest.param(r"v=spf1 ip4:192.0.2.9 caf\195\169 -all", [], "permerror", id="not ASCII"),
        pytest.param(r"v=spf1\009ip4:192.0.2.9", [], "none", id="a tab is no space"),
        pytest.param("v=spf1 a:v1.test a:v2.test ip4:192.0.2.9 -all", [], "pass", id="two void look-ups"),
        pytest.param("v=spf1 exists:v1.test mx:v2.test a:v3.test ~all", [], "permerror", id="three of different kinds"),
    ],
)  # fmt: skip
async def test_outcomes(spf: str, more: list[Record], outcome: str) -> None:
    verdict, _ = await judge(spf, more)
    assert verdict.outcome == outcome, verdict


@pytest.mark.parametrize(
    ("spf", "ip", "outcome"),
    [
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::9", "pass"),
        ("v=spf1 ip6:2001:db8::9 -all", "2001:db8::a", "fail"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "2001:db8::9", "fail"),
        ("v=spf1 ip4:192.0.2.9 -all", "::ffff:192.0.2.9", "pass"),
        ("v=spf1 a:h.test//64 -all", "2001:db8::9", "pass"),
        ("v=spf1 exists:%{ir}.%{v}.test -all", "2001:db8::9", "pass"),
    ],
)
async def test_addresses_of_both_kinds(spf: str, ip: str, outcome: str) -> None:
    nibbles = ".".join(reversed(ip_address("2001:db8::9").exploded.replace(":", "")))
    more = [a("h.test", "2001:db8::1"), a(f"{nibbles}.ip6.test", "127.0.0.2")]
    verdict, _ = await judge(spf, more, ip=ip)
    assert verdict.outcome == outcome, verdict


@pytest.mark.parametrize(
    ("count", "outcome", "lookups"),
    [(10, "fail", 10), (11, "permerror", 11)],
)
async def test_ten_look_ups_and_no_more(count: int, outcome: str, lookups: int) -> None:
    terms = " ".join(f"a:h{n}.test" for n in range(count))
    verdict, _ = await judge(f"v=spf1 {terms} -all", [a(f"h{n}.test", "198.51.100.1") for n in range(count)])
    assert (verdict.outcome, verdict.lookups) == (outcome, lookups)
    assert verdict.cause == ("lookups" if outcome == "permerror" else "")


@pytest.mark.parametrize(
    ("spf", "behaviour", "outcome"),
    [
        ("v=spf1 a:h.test -all", {"h.test/A": "SERVFAIL"}, "temperror"),
        ("v=spf1 mx:h.test -all", {"h.test/MX": "REFUSED"}, "temperror"),
        ("v=spf1 exists:h.test -all", {"h.test/A": "SERVFAIL"}, "temperror"),
        ("v=spf1 redirect=h.test", {"h.test/TXT": "SERVFAIL"}, "temperror"),
        ("v=spf1 ip4:192.0.2.9 a:h.test", {"h.test/A": "SERVFAIL"}, "pass"),  # never reached
        ("v=spf1 ptr -all", {"9.2.0.192.in-addr.arpa/PTR": "SERVFAIL"}, "fail"),  # 5.5: it only does not match
    ],
)
async def test_errors_of_the_dns(spf: str, behaviour: dict[str, Behaviour], outcome: str) -> None:
    verdict, _ = await judge(spf, behaviour=behaviour)
    assert verdict.outcome == outcome, verdict


async def test_names_that_cannot_be_are_not_asked_for() -> None:
    verdict, server = await judge("v=spf1 exists:%{l}.test -all", mail_from=f"{'x' * 64}@s.test")
    assert verdict.outcome == "fail"
    assert server.count() == 1
    verdict, _ = await judge("v=spf1 -all", mail_from="user@localhost")
    assert verdict.outcome == "none"


IDENTITY = Identity(ip_address("192.0.2.3"), "strong-bad@email.example.com", "mx.example.org")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{h}.%%.%_.%-", "mx.example.org.%. .%20"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{p}.x", "unknown.x"),
    ],
)
def test_macros_of_the_standard(text: str, expanded: str) -> None:
    """RFC 7208 7.4 gives most of these."""
    assert expand(text, IDENTITY, "email.example.com") == expanded


def test_long_names_lose_labels_from_the_left() -> None:
    name = expand(".".join(["%{d}"] * 20), IDENTITY, "email.example.com")
    assert len(name) <= 253
    assert name.endswith(".email.example.com")
    assert not name.startswith(".")


def test_the_mistake_is_named() -> None:
    with pytest.raises(SpfSyntaxError) as error:
        parse("v=spf1 include:a.test ipv4:192.0.2.1 -all")
    assert error.value.term == "ipv4:192.0.2.1"
