"""Cases of `dkim_record` (is our key published?) and `dkim_key` (which keys has the selector of a signature?)."""

from __future__ import annotations

from gateway.dns.resolver import Resolver
from gateway.domains.checks.dkim import SigningKey, check_dkim, published_keys
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe
from tests.dns.cases import Case, params_of, run_check, scene


async def run_dkim_record(case: Case) -> None:
    async def check(params: Case, probe: Probe) -> Result:
        key = SigningKey(params["selector"], params["public_key"], params.get("key_type", "rsa"))
        return await check_dkim(case["domain"], key, probe)

    await run_check(case, {"selector", "public_key", "key_type"}, check)


async def run_dkim_key(case: Case) -> None:
    params = params_of(case, {"selector"})
    async with scene(case) as played, Resolver(played.probing.nameservers) as resolver:
        keys = await published_keys(case["domain"], params["selector"], resolver.lookup)
        assert keys.outcome == case["expected_status"], keys
        assert bool(keys.records) == (keys.outcome == "usable")
