"""Cases of `spf` (what a receiver makes of a record) and `spf_record` (what it means for this gateway)."""

from __future__ import annotations

from gateway.dns.resolver import Resolver
from gateway.domains.checks.spf.check import check_spf
from gateway.domains.checks.spf.evaluation import check_host
from tests.dns.cases import Case, compare, params_of, scene


async def run_spf(case: Case) -> None:
    params = params_of(case, {"ip", "mail_from", "helo"})
    async with scene(case) as played, Resolver(played.probing.nameservers) as resolver:
        verdict = await check_host(params["ip"], params["mail_from"], params["helo"], resolver.lookup)
        assert verdict.outcome == case["expected_status"], verdict
        assert (verdict.outcome == "permerror") == bool(verdict.cause)


async def run_spf_record(case: Case) -> None:
    params = params_of(case, {"include", "gateway_ips", "gateway_name"})
    addresses, gateway = params.get("gateway_ips", ()), params.get("gateway_name", "mx1.gateway.test")
    async with scene(case) as played:
        results = []
        for moment in played.moments:
            played.now = moment
            async with played.probing.open() as probe:
                results.append(await check_spf(case["domain"], params["include"], addresses, gateway, probe))
        for result in played.compared(results):
            compare(result, case)
            assert not result.required
