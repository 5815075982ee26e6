"""Cases of the checks that take one look: `tls_rpt`, `dane`, `ptr`, `srv`, `caa`."""

from __future__ import annotations

from gateway.domains.checks.caa import check_caa
from gateway.domains.checks.dane import check_dane
from gateway.domains.checks.ptr import check_ptr
from gateway.domains.checks.result import Result
from gateway.domains.checks.srv import Service, check_srv
from gateway.domains.checks.tls_rpt import check_tls_rpt
from gateway.domains.probing import Probe
from tests.dns.cases import Case, run_check


async def run_tls_rpt(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_tls_rpt(case["domain"], probe)

    await run_check(case, (), check)


async def run_dane(case: Case) -> None:
    """What the case says of DNSSEC becomes the resolver's AD bit, unless it says more of that answer."""

    async def check(params: Case, probe: Probe) -> Result:
        return await check_dane(case["domain"], params["mx"], [params["spki_sha256"]], probe)

    params = case["params"]
    tlsa = f"_25._tcp.{params['mx']}/TLSA"
    secure = {tlsa: params["tlsa_secure"], f"{case['domain']}/MX": params["mx_secure"]}
    behaviour = {key: "AD" for key, is_secure in secure.items() if is_secure}
    await run_check(
        case, {"mx", "spki_sha256", "mx_secure", "tlsa_secure"}, check,
        behaviour={**behaviour, **case.get("query_behaviour", {})},
    )  # fmt: skip


async def run_ptr(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_ptr(params["ip"], params["helo"], probe)

    await run_check(case, {"ip", "helo"}, check)


async def run_srv(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        service = Service(params["service"], params["target"], params["port"])
        return await check_srv(case["domain"], service, probe)

    await run_check(case, {"service", "target", "port"}, check)


async def run_caa(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        return await check_caa(case["domain"], params["ca"], params["name"], probe)

    await run_check(case, {"ca", "name"}, check)
