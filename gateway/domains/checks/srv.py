"""SRV records by which mail programs find the gateway's submission and mailboxes (RFC 6186, RFC 8314)."""

from __future__ import annotations

from dataclasses import dataclass

from dns.rdtypes.IN.SRV import SRV

from gateway.dns.answers import Found, Unknown, name_text
from gateway.domains.checks.look import Look, quoted
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.probing import Probe

CHECK = "srv"


@dataclass(frozen=True, slots=True)
class Service:
    """What the gateway offers: `_submissions._tcp` at `target`:`port`."""

    service: str
    target: str
    port: int

    @property
    def record(self) -> str:
        return f"0 1 {self.port} {self.target}."


async def check_srv(domain: str, service: Service, probe: Probe) -> Result:
    look = Look(CHECK, probe)
    name = f"{service.service}.{domain}"

    def end(status: Status, reason: Reason, **facts: str) -> Result:
        record = service.record
        return look.result(status, reason, domain=domain, name=name, label=service.service, record=record, **facts)

    answer = await look.ask(name, "SRV")
    if isinstance(answer, Unknown):
        return look.unknown(answer, domain=domain)
    records = answer.of(SRV) if isinstance(answer, Found) else ()
    if not records:
        return end("warn", "srv_missing")
    places = {(name_text(record.target), record.port) for record in records}
    if places == {(service.target.lower().removesuffix("."), service.port)}:
        return end("pass", "ok")
    return end("fail", "srv_wrong", found=quoted([record.to_text() for record in records]))
