"""What the answers of the DNS mean for a sender's or recipient's domain, beyond the shared cases."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.dns.mail_domain import Cause, DomainVerdict, MailDomainRules, Role, mail_domain
from gateway.dns.resolver import Budget, Resolver
from gateway.testing.dns_behaviour import Behaviour
from gateway.testing.dns_server import DnsServer, Record
from tests.core.dns.timing import PATIENT, FakeClock

RULES = MailDomainRules(
    treat_as_public=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
    own_names=frozenset({"MX1.gateway.test."}),
    own_addresses=frozenset({"192.0.2.10", "2001:0db8::10"}),
    timeout_seconds=60,
)


def mx(*targets: str, name: str = "a.test") -> list[Record]:
    return [(name, "MX", target, 300) for target in targets]


def host(name: str, *addresses: str) -> list[Record]:
    return [(name, "AAAA" if ":" in address else "A", address, 300) for address in addresses]


GOOD = host("good.test", "192.0.2.1")
OURS = host("mx1.gateway.test", "192.0.2.10")


async def judge(
    records: list[Record],
    role: Role = "recipient",
    behaviour: dict[str, Behaviour] | None = None,
    *,
    domain: str = "a.test",
    rules: MailDomainRules = RULES,
    budget: Budget | None = None,
) -> tuple[DomainVerdict, DnsServer]:
    async with DnsServer(records, behaviour) as server, Resolver([server.address], **PATIENT) as resolver:
        return await mail_domain(domain, role, resolver, rules=rules, budget=budget), server


@pytest.mark.parametrize(
    ("records", "role", "outcome", "cause", "reply"),
    [
        pytest.param(mx("0 ."), "recipient", "reject", Cause.NULL_MX, "556 5.1.10", id="null MX"),
        pytest.param(mx("0 .", "10 ."), "sender", "reject", Cause.NULL_MX, "550 5.7.27", id="two null MX"),
        pytest.param(mx("0 .", "10 good.test.") + GOOD, "sender", "accept", Cause.MX, None, id="null MX among others"),
        pytest.param(
            mx("0 .", "10 gone.test."), "sender", "reject", Cause.NOTHING_USABLE, "550 5.1.8",
            id="null MX beside a host that is gone",
        ),
        pytest.param(
            mx("10 good.test.", "20 mx1.gateway.test.") + GOOD + OURS, "recipient", "accept", Cause.MX, None,
            id="we are the backup",
        ),
        pytest.param(
            mx("10 good.test.", "10 mx1.gateway.test.") + GOOD + OURS, "recipient", "reject", Cause.OWN_MX,
            "554 5.4.6", id="we are equal",
        ),
        pytest.param(
            mx("5 mx1.gateway.test.", "10 good.test.") + GOOD + OURS, "recipient", "reject", Cause.OWN_MX,
            "554 5.4.6", id="we are the best",
        ),
        pytest.param(
            mx("10 gone.test.", "20 mx1.gateway.test.") + OURS, "recipient", "reject", Cause.OWN_MX, "554 5.4.6",
            id="we are the only one that exists",
        ),
        pytest.param(
            mx("10 other.test.") + host("other.test", "2001:db8::10"), "recipient", "reject", Cause.OWN_MX,
            "554 5.4.6", id="another name for our address",
        ),
        pytest.param(host("a.test", "192.0.2.10"), "recipient", "reject", Cause.OWN_MX, "554 5.4.6", id="implicit"),
        pytest.param(mx("10 mx1.gateway.test.") + OURS, "sender", "accept", Cause.MX, None, id="ours, for a sender"),
        pytest.param(host("a.test", "::ffff:192.0.2.9"), "sender", "accept", Cause.IMPLICIT_MX, None, id="mapped"),
        pytest.param(
            host("a.test", "::ffff:127.0.0.1", "fd00::1", "::1", "224.0.0.1", "0.0.0.0"), "sender", "reject",
            Cause.NOTHING_USABLE, "550 5.1.8", id="addresses nobody can reach",
        ),
        pytest.param(
            mx("10 printer.local.", "20 mx.invalid.", "30 7."), "sender", "reject", Cause.NOTHING_USABLE, "550 5.1.8",
            id="hosts outside the DNS",
        ),
        pytest.param(
            mx(*(f"{n} gone{n}.test." for n in range(10)), "99 good.test.") + GOOD, "sender", "reject",
            Cause.NOTHING_USABLE, "550 5.1.8", id="the eleventh host",
        ),
        pytest.param(
            mx(*(f"{n} gone{n}.test." for n in range(9)), "99 good.test.") + GOOD, "sender", "accept", Cause.MX, None,
            id="the tenth host",
        ),
    ],
)  # fmt: skip
async def test_verdicts(records: list[Record], role: Role, outcome: str, cause: Cause, reply: str | None) -> None:
    verdict, _ = await judge(records, role)
    assert (verdict.outcome, verdict.cause) == (outcome, cause), verdict
    if reply is None:
        assert verdict.reply is None
    else:
        assert str(verdict.reply).startswith(f"{reply} ")


@pytest.mark.parametrize(
    ("records", "behaviour", "outcome"),
    [
        (mx("10 bad.test.", "20 good.test.") + GOOD, {"bad.test/*": "SERVFAIL"}, "accept"),
        (mx("10 bad.test.", "20 gone.test."), {"bad.test/A": "SERVFAIL"}, "defer"),
        (mx("10 bad.test.", "20 mx1.gateway.test.") + OURS, {"bad.test/A": "SERVFAIL"}, "defer"),
        (mx("10 good.test.") + GOOD, {"a.test/MX": "LAME"}, "defer"),
        (GOOD + host("a.test", "192.0.2.1"), {"a.test/MX": "SERVFAIL"}, "defer"),  # never falls back to A
        (host("a.test", "127.0.0.1"), {"a.test/AAAA": "REFUSED"}, "defer"),
    ],
)
async def test_errors_defer_unless_something_is_usable(
    records: list[Record], behaviour: dict[str, Behaviour], outcome: str
) -> None:
    verdict, _ = await judge(records, "recipient", behaviour)
    assert verdict.outcome == outcome, verdict
    if outcome == "defer":
        assert verdict.cause == Cause.DNS_ERROR
        assert str(verdict.reply) == "450 4.1.2 the recipient's domain cannot be looked up now"


@pytest.mark.parametrize(
    ("domain", "cause"),
    [
        ("localhost", Cause.NOT_IN_DNS),
        ("printer", Cause.NOT_IN_DNS),
        ("host.invalid", Cause.NOT_IN_DNS),
        ("Printer.LOCAL.", Cause.NOT_IN_DNS),
        ("abcdef.onion", Cause.NOT_IN_DNS),
        ("192.0.2.1", Cause.NOT_IN_DNS),
        (".".join(["x" * 49] * 5) + ".test", Cause.NOT_IN_DNS),
        ("a..test", Cause.MALFORMED),
        ("[192.0.2.1]", Cause.MALFORMED),
        ("a b.test", Cause.MALFORMED),
        ("x" * 64 + ".test", Cause.MALFORMED),
        ("xn--\r\n.test", Cause.MALFORMED),
    ],
)
@pytest.mark.parametrize("role", ["sender", "recipient"])
async def test_names_that_cannot_exist_cost_no_query(domain: str, cause: Cause, role: Role) -> None:
    verdict, server = await judge([], role, domain=domain)
    assert (verdict.outcome, verdict.cause) == ("reject", cause), verdict
    assert str(verdict.reply).startswith("550 5.1.8 " if role == "sender" else "550 5.1.2 ")
    assert server.count() == 0
    assert (verdict.reason + verdict.domain).isprintable()


@pytest.mark.parametrize("domain", ["mail.example", "a.test", "home.arpa"])
async def test_reserved_names_that_may_resolve_are_asked_for(domain: str) -> None:
    verdict, _ = await judge(host(domain, "192.0.2.1"), "sender", domain=domain)
    assert verdict.outcome == "accept"


async def test_the_null_sender_is_accepted_and_an_empty_recipient_is_not() -> None:
    sender, asked = await judge([], "sender", domain="")
    recipient, _ = await judge([], "recipient", domain="")
    assert (sender.outcome, sender.cause, asked.count()) == ("accept", Cause.NULL_SENDER, 0)
    assert (recipient.outcome, recipient.cause) == ("reject", Cause.MALFORMED)


async def test_a_hosted_domain_costs_no_query() -> None:
    async with DnsServer() as server, Resolver([server.address]) as resolver:
        verdict = await mail_domain("A.test", "recipient", resolver, rules=RULES, hosted=True)
        assert (verdict.outcome, verdict.cause, verdict.domain) == ("accept", Cause.HOSTED, "a.test")
        assert server.count() == 0


async def test_the_first_usable_host_ends_the_search() -> None:
    verdict, server = await judge(mx("10 good.test.", "20 other.test.") + GOOD, "sender")
    assert verdict.reason == "a.test has the mail host good.test with the address 192.0.2.1"
    assert server.count("other.test") == 0


async def test_a_server_that_drops_aaaa_does_not_delay_mail() -> None:
    # The resolver's patience is 20 s a try: waiting for AAAA would use up the time for the whole domain.
    rules = replace(RULES, timeout_seconds=15)
    verdict, _ = await judge(mx("10 good.test.") + GOOD, "sender", {"good.test/AAAA": "TIMEOUT"}, rules=rules)
    assert verdict.outcome == "accept"


async def test_the_reason_says_what_was_asked_and_seen() -> None:
    records = [*mx("10 gone.test.", "20 inside.test."), *host("inside.test", "10.0.0.1")]
    verdict, _ = await judge(records, "sender")
    for part in ("gone.test A: no such name (NXDOMAIN)", "inside.test A: 10.0.0.1", "inside.test AAAA: no such record"):
        assert part in verdict.reason
    assert verdict.notes == ("inside.test has no address that is reachable from outside: 10.0.0.1",)
    assert verdict.reply is not None
    assert "10.0.0.1" not in verdict.reply.text


async def test_an_alias_as_mail_host_is_noted() -> None:
    records = [*mx("10 alias.test."), ("alias.test", "CNAME", "good.test.", 300), *GOOD]
    verdict, _ = await judge(records, "sender")
    assert verdict.outcome == "accept"
    assert verdict.notes == ("mail host alias.test is an alias of good.test (RFC 2181 10.3); tolerated",)


async def test_hostile_names_stay_printable_and_short() -> None:
    evil = "\\013\\010" + "e" * 60
    targets = [f"{n} {evil}.{'x' * 60}.{'y' * 60}.test." for n in range(9)]
    verdict, _ = await judge(mx(*targets), "sender")
    assert verdict.outcome == "reject"
    assert len(verdict.reason) <= 512
    assert verdict.reason.isprintable()


async def test_the_budget_of_a_message_defers() -> None:
    budget = Budget(3)
    first, _ = await judge(mx("10 good.test.") + GOOD, "sender", budget=budget)
    second, server = await judge(mx("10 good.test.") + GOOD, "recipient", budget=budget)
    assert (first.outcome, second.outcome) == ("accept", "defer")
    assert second.cause == Cause.DNS_ERROR
    assert "share of DNS look-ups" in second.reason
    assert server.count() == 1


async def test_it_ends_after_its_total_time() -> None:
    rules = replace(RULES, timeout_seconds=0.1)
    verdict, _ = await judge(mx("10 good.test."), "recipient", {"good.test/*": "TIMEOUT"}, rules=rules)
    assert (verdict.outcome, verdict.cause) == ("defer", Cause.DNS_ERROR)
    assert verdict.reason == "not settled within 0.1 s: a.test MX: 10 good.test."


@pytest.mark.parametrize(("role", "reply"), [("sender", "450 4.1.8"), ("recipient", "450 4.1.2")])
@pytest.mark.parametrize(
    ("records", "cause"), [([], Cause.NO_SUCH_DOMAIN), (host("a.test", "127.0.0.1"), Cause.NOTHING_USABLE)]
)
async def test_the_soft_start(records: list[Record], cause: Cause, role: Role, reply: str) -> None:
    verdict, _ = await judge(records, role, rules=replace(RULES, unknown_domain="defer"))
    assert (verdict.outcome, verdict.cause) == ("defer", cause)
    assert str(verdict.reply).startswith(f"{reply} the {role}'s domain cannot take mail: ")


@pytest.mark.parametrize(
    ("records", "after", "outcome"),
    [
        (mx("10 good.test.") + GOOD, {"*/*": "SERVFAIL"}, "accept"),
        (mx("0 ."), {"*/*": "SERVFAIL"}, "defer"),
        (mx("10 good.test.") + GOOD, {"*/MX": "SERVFAIL", "good.test/*": "NXDOMAIN"}, "defer"),
        (mx("10 good.test.") + GOOD, {"*/*": "NXDOMAIN"}, "reject"),
    ],
    ids=["accept", "null MX", "host gone", "definite no"],
)
async def test_expired_records_only_ever_accept(
    records: list[Record], after: dict[str, Behaviour], outcome: str
) -> None:
    clock = FakeClock()
    async with DnsServer(records) as server, Resolver([server.address], clock=clock, **PATIENT) as resolver:
        await mail_domain("a.test", "sender", resolver, rules=RULES)
        clock.advance(400)
        server.replace_behaviour(after)
        verdict = await mail_domain("a.test", "sender", resolver, rules=RULES)
        assert verdict.outcome == outcome, verdict
        if outcome == "accept":
            assert "the server gave no answer: expired records of a.test MX were used" in verdict.notes


async def test_nothing_is_rejected_while_lookups_fail_in_numbers() -> None:
    async with (
        DnsServer([], {"*/TXT": "SERVFAIL"}) as server,
        Resolver([server.address], **PATIENT) as resolver,
    ):
        before = await mail_domain("a.test", "sender", resolver, rules=RULES)
        for number in range(5):
            await resolver.lookup(f"n{number}.test", "TXT")
        after = await mail_domain("a.test", "sender", resolver, rules=RULES)
        malformed = await mail_domain("a..test", "sender", resolver, rules=RULES)
    assert (before.outcome, after.outcome, malformed.outcome) == ("reject", "defer", "reject")
    assert after.reason == "too many look-ups fail at present: a.test MX: no such name (NXDOMAIN)"
