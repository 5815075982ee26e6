"""Cases of `spf` (what a receiver makes of a record) and `spf_record` (what it means for this gateway)."""

from __future__ import annotations

from gateway.dns.resolver import Resolver
from gateway.domains.checks.result import Result
from gateway.domains.checks.spf.check import check_spf
from gateway.domains.checks.spf.evaluation import check_host
from gateway.domains.probing import Probe
from tests.dns.cases import Case, params_of, run_check, scene


async def run_spf(case: Case) -> None:
    params = params_of(case, {"ip", "mail_from", "helo"})
    async with scene(case) as played, Resolver(played.probing.nameservers) as resolver:
        verdict = await check_host(params["ip"], params["mail_from"], params["helo"], resolver.lookup)
        assert verdict.outcome == case["expected_status"], verdict
        assert (verdict.outcome == "permerror") == bool(verdict.cause)


async def run_spf_record(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        gateway, addresses = params.get("gateway_name", "mx1.gateway.test"), params.get("gateway_ips", ())
        return await check_spf(case["domain"], [f"include:{params['include']}"], addresses, gateway, probe)

    await run_check(case, {"include", "gateway_ips", "gateway_name"}, check)
