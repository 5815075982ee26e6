"""Cases of `mail_domain`: can the domain of a sender or recipient take mail?"""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

from gateway.dns.mail_domain import DomainVerdict, MailDomainRules, mail_domain
from gateway.dns.resolver import Resolver
from gateway.testing.dns_behaviour import behaviour_of
from gateway.testing.dns_server import DnsServer
from tests.dns.cases import Case, params_of

MAIL_DOMAIN_PARAMS = {
    "role", "treat_as_public", "max_queries", "parallel", "max_mx_queries", "clock", "at", "soa_minimum",
    "then_lookup", "then_max_queries", "gateway_mx", "gateway_ips", "hosted",
}  # fmt: skip


class MailDomainRun:
    """One `mail_domain` case: the server, the resolver with its fake clock, and the verdicts in the order of time."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.params: Case = case.get("params", {})
        self.now = 0.0
        self.rules = MailDomainRules(
            treat_as_public=tuple(ip_network(network) for network in self.params.get("treat_as_public", ())),
            own_names=frozenset(self.params.get("gateway_mx", ())),
            own_addresses=frozenset(self.params.get("gateway_ips", ())),
        )

    async def run(self) -> None:
        server = DnsServer(
            [tuple(record) for record in self.case["records"]],
            behaviour_of(self.case.get("query_behaviour", {}), "resolver"),
            soa_minimum=self.params.get("soa_minimum", 300),
        )
        async with server, self.resolver(server) as resolver:
            await self.judge(server, resolver)

    def resolver(self, server: DnsServer) -> Resolver:
        # Where queries are counted, a stall of the machine that runs the tests must not count as a retry.
        if self.limits() or "parallel" in self.params:
            return Resolver([server.address], clock=lambda: self.now, try_seconds=6.0, lookup_seconds=7.0)
        return Resolver([server.address], clock=lambda: self.now)

    def limits(self) -> list[int]:
        limits = (self.params.get("max_queries"), self.case.get("expected_max_queries"))
        return [limit for limit in limits if limit is not None]

    async def judge(self, server: DnsServer, resolver: Resolver) -> None:
        verdicts = []
        for moment in self.params.get("clock", [0.0]):
            self.now = moment
            verdicts += await asyncio.gather(
                *(self.ask(self.case["domain"], resolver) for _ in range(self.params.get("parallel", 1)))
            )
        for verdict in verdicts[-1:] if self.params.get("at") == "last" else verdicts:
            self.compare(verdict)
        for limit in self.limits():
            assert server.count() <= limit, server.queries
        if "max_mx_queries" in self.params:
            assert server.count(verdicts[-1].domain, "MX") <= self.params["max_mx_queries"]
        if "then_lookup" in self.params:
            before = server.count()
            await self.ask(self.params["then_lookup"], resolver)
            assert server.count() - before <= self.params["then_max_queries"], server.queries[before:]

    async def ask(self, domain: str, resolver: Resolver) -> DomainVerdict:
        hosted = self.params.get("hosted", False)
        return await mail_domain(domain, self.params["role"], resolver, rules=self.rules, hosted=hosted)

    def compare(self, verdict: DomainVerdict) -> None:
        assert verdict.outcome == self.case["expected_status"], verdict
        expected = self.case.get("expected_reply")
        if expected is None:
            assert (verdict.reply is None) == (verdict.outcome == "accept"), verdict
        else:
            assert verdict.reply is not None, verdict
            assert f"{verdict.reply} ".startswith(f"{expected} "), verdict
        assert verdict.reason


async def run_mail_domain(case: Case) -> None:
    params_of(case, MAIL_DOMAIN_PARAMS)
    await MailDomainRun(case).run()
