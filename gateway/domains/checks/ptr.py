"""The reverse name of an address that this gateway sends from: many receivers refuse what has none."""

from __future__ import annotations

from ipaddress import ip_address

from dns.rdtypes.ANY.PTR import PTR

from gateway.dns.answers import Found, Unknown, name_text
from gateway.domains.checks.look import Look, addresses_in, quoted
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "ptr"
MAX_NAMES = 4


async def check_ptr(address: str, helo: str, probe: Probe) -> Result:
    """`helo` is the name that the gateway greets with."""
    look = Look(CHECK, probe)
    ip = ip_address(address)

    def end(status: Status, reason: Reason, **facts: str) -> Result:
        return look.result(status, reason, address=str(ip), helo=helo, name=ip.reverse_pointer, **facts)

    answer = await look.ask(ip.reverse_pointer, "PTR")
    if isinstance(answer, Unknown):
        return look.unknown(answer)
    names = [name_text(record.target) for record in answer.of(PTR)] if isinstance(answer, Found) else []
    if not names:
        return end("fail", "ptr_missing")
    wanted = helo.lower().removesuffix(".")
    confirmed: list[str] = []
    unsettled: Unknown | None = None
    for name in sorted(names, key=lambda name: name != wanted)[:MAX_NAMES]:
        forward = await look.ask(name, "A" if ip.version == 4 else "AAAA")
        if isinstance(forward, Unknown):
            unsettled = forward
        elif isinstance(forward, Found):
            confirmed += [name] if str(ip) in addresses_in(forward) else []
    if wanted in confirmed:
        return end("pass", "ok")
    if confirmed:
        return end("warn", "ptr_differs", found=quoted(confirmed))
    if unsettled is not None:
        return look.unknown(unsettled)
    return end("fail", "ptr_unconfirmed", found=quoted(names))
