"""The gateway's own name: whether it has addresses of both kinds, and may send bounces, which have no other domain."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.dns.answers import Found, Unknown
from gateway.domains.checks.look import Look, addresses_in
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.checks.spf.evaluation import check_host
from gateway.domains.probing import Probe

CHECK = "host"


async def check_own_name(name: str, addresses: Sequence[str], probe: Probe) -> Result:
    """`name` is what the gateway greets with, `addresses` are those that mail leaves from (none: those of the name)."""
    look = Look(CHECK, probe)

    def end(status: Status, reason: Reason, **facts: str) -> Result:
        return look.result(status, reason, domain=name, name=name, record="v=spf1 a -all", **facts)

    found: list[str] = []
    kinds = 0
    for rdtype in ("A", "AAAA"):
        answer = await look.ask(name, rdtype)
        if isinstance(answer, Unknown):
            return look.unknown(answer, domain=name)
        kinds += isinstance(answer, Found)
        found += addresses_in(answer)
    if not found:
        return end("fail", "host_missing")
    for address in addresses or found:
        # The null sender: what a receiver evaluates for a bounce is the greeting (RFC 7208 2.4).
        verdict = await check_host(address, "", name, look.ask)
        if verdict.unknown is not None:
            return look.unknown(verdict.unknown, domain=name)
        if verdict.outcome == "none":
            return end("warn", "host_spf_missing")
        if verdict.outcome != "pass":
            return end("fail", "host_spf_fails", address=address, detail=verdict.words or verdict.outcome)
    if kinds == 1:
        return end("warn", "host_one_kind", found=", ".join(found))
    return end("pass", "ok")
