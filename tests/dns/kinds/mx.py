"""Cases of `mx`: does mail for a domain come to this gateway?"""

from __future__ import annotations

from gateway.domains.checks.mx import check_mx
from tests.dns.cases import Case, compare, params_of, scene


async def run_mx(case: Case) -> None:
    params = params_of(case, {"gateway_mx", "gateway_ips"})
    async with scene(case) as played:
        results = []
        for moment in played.moments:
            played.now = moment
            async with played.probing.open() as probe:
                results.append(await check_mx(case["domain"], params["gateway_mx"], params["gateway_ips"], probe))
        for result in played.compared(results):
            compare(result, case)
            assert result.required
