"""Cases of `mx`: does mail for a domain come to this gateway?"""

from __future__ import annotations

from gateway.domains.checks.mx import check_mx
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe
from tests.dns.cases import Case, run_check


async def run_mx(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_mx(case["domain"], params["gateway_mx"], params["gateway_ips"], probe)

    await run_check(case, {"gateway_mx", "gateway_ips"}, check, required=True)
