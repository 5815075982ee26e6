"""DANE for a mail host (RFC 7672): whether its TLSA records fit its key and are proven, so that senders keep coming."""

from __future__ import annotations

from collections.abc import Collection

from dns.rdtypes.ANY.TLSA import TLSA

from gateway.dns.answers import Found, Trouble, Unknown
from gateway.domains.checks.look import Look
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "dane"

# What a sender that demands DANE meets as an error and then waits: the records are neither there nor provably absent.
_BROKEN = frozenset({Trouble.SERVFAIL, Trouble.BOGUS})
_SPKI_SHA256 = (1, 1)  # selector and matching type


async def check_dane(domain: str, host: str, spki_sha256: Collection[str], probe: Probe) -> Result:
    """`host` is a mail host of the gateway, `spki_sha256` the digests (hex) of its present and its next public key."""
    look = Look(CHECK, probe)
    name = f"_25._tcp.{host}"
    digests = {digest.lower() for digest in spki_sha256}

    def end(status: Status, reason: Reason, **facts: str) -> Result:
        record = f"3 1 1 {min(digests, default='')}"
        return look.result(status, reason, domain=domain, name=name, host=host, record=record, **facts)

    answer = await look.ask(name, "TLSA")
    if isinstance(answer, Unknown):
        # The one error that is a finding: the zone cannot deny the record, and senders defer (RFC 7672 2.1.1).
        return end("fail", "dane_servfail") if answer.reason in _BROKEN else look.unknown(answer, domain=domain)
    if not isinstance(answer, Found):
        return end("warn", "dane_missing")
    records = answer.of(TLSA)
    usable = [record for record in records if record.usage in (2, 3)]
    if not usable:
        return end("warn", "dane_unusable", usage=", ".join(sorted({str(record.usage) for record in records})))
    if not answer.authenticated:
        return end("warn", "dane_insecure")
    comparable = [each for each in usable if each.usage == 3 and (each.selector, each.mtype) == _SPKI_SHA256]
    if not any(record.cert.hex() in digests for record in comparable):
        if len(comparable) < len(usable):
            return end("warn", "dane_other_form")
        return end("fail", "dane_mismatch")
    mx = await look.ask(domain, "MX")
    if isinstance(mx, Unknown):
        return look.unknown(mx, domain=domain)
    if not mx.authenticated:
        return end("warn", "dane_mx_insecure")
    return end("pass", "ok")
