"""CAA (RFC 8659): whether the domain lets our certificate authority issue the certificate that MTA-STS needs."""

from __future__ import annotations

from collections.abc import Sequence

from dns.rdtypes.ANY.CAA import CAA

from gateway.dns.answers import Found, Unknown
from gateway.domains.checks.hostile import as_text
from gateway.domains.checks.look import Look, quoted
from gateway.domains.checks.result import Result
from gateway.domains.probing import Probe

CHECK = "caa"
MAX_CLIMB = 6

_KNOWN = frozenset({"issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"})


async def check_caa(domain: str, ca: str, name: str, probe: Probe) -> Result:
    """Climb from `name` to the first CAA records; none anywhere lets every authority issue."""
    look = Look(CHECK, probe)
    fixed = {"domain": domain, "name": name, "ca": ca}
    labels = name.split(".")
    for depth in range(min(len(labels) - 1, MAX_CLIMB)):
        at = ".".join(labels[depth:])
        answer = await look.ask(at, "CAA")
        if isinstance(answer, Unknown):
            return look.unknown(answer, domain=domain)
        records = answer.of(CAA) if isinstance(answer, Found) else ()
        if records:
            if _allows(records, ca):
                return look.result("pass", "ok", **fixed)
            found = quoted([record.to_text() for record in records])
            return look.result("warn", "caa_blocks", found_at=at, found=found, record=f'0 issue "{ca}"', **fixed)
    return look.result("pass", "ok", **fixed)


def _allows(records: Sequence[CAA], ca: str) -> bool:
    tags = [(record.flags, as_text(record.tag).lower(), as_text(record.value)) for record in records]
    if any(flags & 128 and tag not in _KNOWN for flags, tag, _ in tags):
        return False  # 4.1: a critical property that nobody knows forbids all
    issuers = [value.partition(";")[0].strip().lower() for _, tag, value in tags if tag == "issue"]
    return not issuers or ca.lower() in issuers
