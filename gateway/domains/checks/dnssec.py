"""Whether a domain's zone is signed, as a validating resolver on loopback says; no other could be believed."""

from __future__ import annotations

from gateway.dns.answers import Trouble, Unknown
from gateway.domains.checks.look import Look
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe

CHECK = "dnssec"


async def check_dnssec(domain: str, probe: Probe) -> Result:
    """Advice. A zone whose signatures are wrong fails: that is what the resolver says, not that it could not ask."""
    look = Look(CHECK, probe)
    answer = await look.ask(domain, "SOA")
    if isinstance(answer, Unknown):
        if answer.reason is Trouble.BOGUS:
            return look.result("fail", "dnssec_bogus", domain=domain, detail=answer.detail)
        return look.unknown(answer, domain=domain)
    if answer.authenticated:
        return look.result("pass", "ok", domain=domain)
    if not any(server.is_loopback for server in probe.resolver.nameservers):
        return look.result("warn", "dnssec_not_judged", domain=domain)
    return look.result("warn", "dnssec_unsigned", domain=domain)
