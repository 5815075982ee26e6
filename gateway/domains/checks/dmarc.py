"""Whether a domain has a DMARC record that does something, and whether anybody reads its reports."""

from __future__ import annotations

from gateway.dns.answers import Unknown
from gateway.domains.checks.dmarc_policy import POLICIES, DmarcRecord, dmarc_policy, is_dmarc
from gateway.domains.checks.look import Look, quoted, txt_values
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.checks.tags import TagError, read_tags
from gateway.domains.probing import Probe

CHECK = "dmarc"
REMOVED_TAGS = ("pct", "rf", "ri")  # RFC 9989 Appendix C
MAX_REPORT_HOSTS = 3


async def check_dmarc(domain: str, probe: Probe, *, registrable: str = "") -> Result:
    """`registrable` is the domain below the public suffix, where known: report addresses below it need no consent."""
    return await _DmarcCheck(domain, registrable or domain, Look(CHECK, probe)).run()


class _DmarcCheck:
    def __init__(self, domain: str, registrable: str, look: Look) -> None:
        self.domain = domain
        self.registrable = registrable
        self.look = look
        self.name = f"_dmarc.{domain}"

    async def run(self) -> Result:
        answer = await self.look.ask(self.name, "TXT")
        if isinstance(answer, Unknown):
            return self.look.unknown(answer, domain=self.domain)
        values = txt_values(answer)
        records = [value for value in values if is_dmarc(value)]
        if len(records) > 1:
            return self.end("fail", "dmarc_multiple", found=quoted(records))
        if not records:
            meant = [value for value in values if "dmarc1" in value.lower()]
            if meant:
                detail = "v=DMARC1 must stand first, in exactly these letters"
                return self.end("fail", "dmarc_syntax", found=quoted(meant), detail=detail, variant="version")
            return await self.missing()
        try:
            tags = read_tags(records[0])
        except TagError as error:
            return self.end("fail", "dmarc_syntax", found=quoted(records), detail=str(error))
        return await self.judge(DmarcRecord(self.domain, tags), quoted(records))

    async def missing(self) -> Result:
        """Put elsewhere, inherited from above, or not there."""
        places: tuple[tuple[Reason, str], ...] = (
            ("misplaced_apex", self.domain),
            ("misplaced_doubled_suffix", f"{self.name}.{self.domain}"),
        )
        for reason, name in places:
            values = [value for value in txt_values(await self.look.ask(name, "TXT")) if is_dmarc(value)]
            if values:
                return self.end("warn", reason, found_at=name, found=quoted(values))
        if self.domain.count(".") > 1:
            above = await dmarc_policy(self.domain, self.look.ask)
            if above.record is not None and above.published in ("quarantine", "reject"):
                return self.end("pass", "dmarc_inherited", parent=above.record.name, policy=above.published)
        return self.end("warn", "dmarc_missing")

    async def judge(self, record: DmarcRecord, found: str) -> Result:
        for tag in ("p", "sp", "np"):
            if tag in record.tags and record.of(tag) is None:
                detail = f"{tag}={record.tags[tag]}; known are {', '.join(POLICIES)}"
                return self.end("fail", "dmarc_syntax", found=found, detail=detail)
        reports = _report_domains(record.tags.get("rua", ""))
        if record.policy is None:
            return self.end("warn", "dmarc_no_p", found=found)
        if record.policy == "none":
            return self.end("warn", "dmarc_none", found=found)
        if record.is_test:
            return self.end("warn", "dmarc_test_mode", found=found)
        if not reports:
            return self.end("warn", "dmarc_no_rua", found=found)
        for host in reports:
            unwilling = await self.unwilling(host)
            if isinstance(unwilling, Unknown):
                return self.look.unknown(unwilling, domain=self.domain, found=found)
            if unwilling:
                wanted = f"{self.domain}._report._dmarc.{host}"
                return self.end("warn", "dmarc_rua_not_authorised", found=found, other=host, wanted=wanted)
        if record.of("sp") == "none":
            return self.end("warn", "dmarc_sp_none", found=found)
        removed = [tag for tag in REMOVED_TAGS if tag in record.tags]
        if removed:
            return self.end("warn", "dmarc_removed_tag", found=found, detail=", ".join(f"{tag}=" for tag in removed))
        return self.end("pass", "ok", found=found)

    async def unwilling(self, host: str) -> bool | Unknown:
        """Whether a foreign host has not said that it takes our reports (RFC 9990 4)."""
        if any(host == each or host.endswith("." + each) for each in (self.domain, self.registrable)):
            return False
        if self.domain.endswith("." + host):
            return False
        answer = await self.look.ask(f"{self.domain}._report._dmarc.{host}", "TXT")
        if isinstance(answer, Unknown):
            return answer
        return not any(is_dmarc(value) for value in txt_values(answer))

    def end(self, status: Status, reason: Reason, **facts: str) -> Result:
        record = f"v=DMARC1; p=none; rua=mailto:dmarc@{self.domain}"
        fixed = {"domain": self.domain, "name": self.name, "label": "_dmarc", "record": record}
        return self.look.result(status, reason, **fixed, **facts)


def _report_domains(rua: str) -> list[str]:
    """The domains of the report addresses, in order, a few of them: each may cost a query."""
    domains: list[str] = []
    for uri in rua.split(","):
        scheme, _, address = uri.strip().partition(":")
        _, at, host = address.partition("!")[0].rpartition("@")
        if scheme.lower() == "mailto" and at and host:
            domains.append(host.lower().removesuffix("."))
    return list(dict.fromkeys(domains))[:MAX_REPORT_HOSTS]
