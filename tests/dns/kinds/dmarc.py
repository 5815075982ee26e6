"""Cases of `dmarc_record` (does a domain's record do something?) and `dmarc_policy` (which policy holds for it?)."""

from __future__ import annotations

from gateway.dns.resolver import Resolver
from gateway.domains.checks.dmarc import check_dmarc
from gateway.domains.checks.dmarc_policy import dmarc_policy
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe
from tests.dns.cases import Case, params_of, run_check, scene


async def run_dmarc_record(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_dmarc(case["domain"], probe)

    await run_check(case, (), check)


async def run_dmarc_policy(case: Case) -> None:
    params_of(case, ())
    async with scene(case) as played, Resolver(played.probing.nameservers) as resolver:
        verdict = await dmarc_policy(case["domain"], resolver.lookup)
        assert verdict.outcome == case["expected_status"], verdict
        if "expected_org" in case:
            assert verdict.organisation == case["expected_org"], verdict
        if "expected_reply" in case:
            assert str(verdict.reply).startswith(case["expected_reply"]), verdict
        else:
            assert verdict.reply is None
