"""Cases of `mta_sts`: record, policy file and MX. The file comes from a real HTTPS server on loopback."""

from __future__ import annotations

from gateway.domains.checks.mta_sts import StsBefore, StsFetching, check_mta_sts, policy_digest
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe
from gateway.testing.dns_server import Record
from tests.certificates import Authority
from tests.dns.cases import Case, run_check
from tests.dns.policy_server import policy_server

PARAMS = {"http_status", "policy", "previous_policy", "previous_id"}


async def run_mta_sts(case: Case) -> None:
    domain, params = case["domain"], case.get("params", {})
    authority = Authority()
    async with policy_server(
        authority, f"mta-sts.{domain}", params.get("http_status", 0), params.get("policy")
    ) as port:

        async def check(params: Case, probe: Probe) -> Result:
            before = None
            if "previous_policy" in params:
                before = StsBefore(params["previous_id"], policy_digest(params["previous_policy"]))
            fetching = StsFetching(port, authority.client())
            return await check_mta_sts(domain, probe, fetching=fetching, before=before)

        served: list[Record] = [(f"mta-sts.{domain}", "A", "127.0.0.1", 300)] if "http_status" in params else []
        await run_check(case, PARAMS, check, more=served)
