"""TLS reports (RFC 8460): whether senders know where to tell about failed encryption."""

from __future__ import annotations

import re

from gateway.dns.answers import Unknown
from gateway.domains.checks.look import Look, quoted, txt_values
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "tls_rpt"

_VERSION = re.compile(r"v=TLSRPTv1\s*(?:;|\Z)")
_RUA = re.compile(r"(?:mailto:[^\s,;@!]+@[^\s,;@!]+|https:[^\s,;]+)\Z", re.IGNORECASE)


async def check_tls_rpt(domain: str, probe: Probe) -> Result:
    look = Look(CHECK, probe)
    name = f"_smtp._tls.{domain}"

    def end(status: Status, reason: Reason, **facts: str) -> Result:
        record = f"v=TLSRPTv1; rua=mailto:tls@{domain}"
        return look.result(status, reason, domain=domain, name=name, label="_smtp._tls", record=record, **facts)

    answer = await look.ask(name, "TXT")
    if isinstance(answer, Unknown):
        return look.unknown(answer, domain=domain)
    values = txt_values(answer)
    records = [value for value in values if _VERSION.match(value)]
    if len(records) > 1:
        return end("fail", "tlsrpt_multiple", found=quoted(records))
    if not records:
        meant = [value for value in values if "tlsrpt" in value.lower()]
        if meant:
            return end("fail", "tlsrpt_syntax", found=quoted(meant), detail="v=TLSRPTv1 must stand first")
        return end("warn", "tlsrpt_missing")
    fields = dict(part.strip().partition("=")[::2] for part in records[0].split(";")[1:] if part.strip())
    targets = [uri.strip() for uri in fields.get("rua", "").split(",")]
    if not all(_RUA.match(uri) for uri in targets):
        return end("fail", "tlsrpt_syntax", found=quoted(records), detail="rua= must name mailto: or https: addresses")
    return end("pass", "ok", found=quoted(records))
