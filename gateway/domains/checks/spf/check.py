"""Whether a domain's SPF record lets this gateway send. It is evaluated, not compared: many records mean the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.dns.answers import Found, Unknown
from gateway.domains.checks.look import Look, own_addresses, quoted, txt_values
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.checks.spf.evaluation import MAX_LOOKUPS, SpfVerdict, check_host
from gateway.domains.checks.spf.merging import merged_record
from gateway.domains.checks.spf.record import COUNTED, Record, SpfSyntaxError, parse, spf_values
from gateway.domains.probing import Probe

CHECK = "spf"
NEAR_LIMIT = 9

_OF_CAUSE: dict[str, Reason] = {
    "multiple": "spf_multiple",
    "syntax": "spf_syntax",
    "no_record": "spf_syntax",
    "lookups": "spf_too_many_lookups",
    "mx_hosts": "spf_too_many_lookups",
    "void": "spf_too_many_void",
}


async def check_spf(
    domain: str, terms: Sequence[str], addresses: Sequence[str], gateway_name: str, probe: Probe
) -> Result:
    """`terms` name this gateway in a record (`include:spf.example.org`, or `a:` with each mail host).

    `addresses` are those it sends from; without any, those that the terms lead to.
    """
    return await _SpfCheck(domain, list(terms), list(addresses), gateway_name, Look(CHECK, probe)).run()


class _SpfCheck:
    def __init__(self, domain: str, terms: list[str], addresses: list[str], gateway_name: str, look: Look) -> None:
        self.domain = domain
        self.terms = terms
        self.addresses = addresses
        self.helo = gateway_name
        self.look = look
        self.values: list[str] = []

    async def run(self) -> Result:
        answer = await self.look.ask(self.domain, "TXT")
        if isinstance(answer, Unknown):
            return self.look.unknown(answer, domain=self.domain)
        self.values = txt_values(answer)
        records = spf_values(self.values)
        if not records:
            return await self.missing()
        if len(records) > 1:
            return self.end("fail", "spf_multiple", found=quoted(records))
        try:
            record = parse(records[0])
        except SpfSyntaxError as error:
            return self.end("fail", "spf_syntax", found=quoted(records), term=error.term, detail=error.words)
        return await self.judge(record, records[0])

    async def missing(self) -> Result:
        """None is there. Text that was meant as one, or stands in the old record type, is told."""
        meant = [value for value in self.values if spf_values([value.strip(" \t\"'")])]
        old = await self.look.ask(self.domain, "SPF")
        variant = "spoilt" if meant else "type99" if isinstance(old, Found) else ""
        return self.end("warn", "spf_missing", variant=variant, found=quoted(meant))

    async def judge(self, record: Record, text: str) -> Result:
        facts = {"found": quoted([text])}
        total = await self.count(record, {self.domain})
        if total > MAX_LOOKUPS:
            return self.end("fail", "spf_too_many_lookups", count=str(total), **facts)
        if record.all is not None and record.all.qualifier == "+":
            return self.end("fail", "spf_plus_all", **facts)
        verdicts = await self.evaluate()
        for address, verdict in verdicts:
            if verdict.outcome == "permerror":
                reason = _OF_CAUSE[verdict.cause]
                count = str(verdict.lookups)
                return self.end("fail", reason, detail=verdict.words, term=verdict.words, count=count, **facts)
            if verdict.outcome not in ("pass", "temperror"):
                return self.end("fail", "spf_gateway_not_allowed", address=address, **facts)
        for _, verdict in verdicts:
            if verdict.unknown is not None:
                return self.look.unknown(verdict.unknown, domain=self.domain, **facts)
            if verdict.outcome == "temperror":
                return self.end("temp", "not_settled", name=self.domain, type="SPF", detail=verdict.words, **facts)
        if any(each.name == "ptr" for each in record.effective):
            return self.end("warn", "spf_ptr", **facts)
        if record.all is None and not record.redirect:
            return self.end("warn", "spf_no_all", **facts)
        if record.all is not None and record.all.qualifier == "?":
            return self.end("warn", "spf_no_all", **facts)
        if total >= NEAR_LIMIT:
            return self.end("warn", "spf_near_limit", count=str(total), **facts)
        return self.end("pass", "ok", **facts)

    async def evaluate(self) -> list[tuple[str, SpfVerdict]]:
        addresses = self.addresses or await self.addresses_of_terms()
        sender = f"postmaster@{self.domain}"
        asked = [check_host(address, sender, self.helo, self.look.ask) for address in addresses]
        return list(zip(addresses, await asyncio.gather(*asked), strict=True))

    async def addresses_of_terms(self) -> list[str]:
        """What the gateway's administrator says it sends from: single addresses of its own record, or of its hosts."""
        addresses: list[str] = []
        for term in self.terms:
            kind, _, name = term.partition(":")
            if kind == "include":
                own = spf_values(txt_values(await self.look.ask(name, "TXT")))
                addresses += [address for value in own for address in _single_addresses(value)]
            elif kind == "a":
                addresses += sorted(await own_addresses([name], self.look))
        return addresses

    async def count(self, record: Record, seen: set[str]) -> int:
        """Look-ups of the whole tree, as a receiver meets them when nothing matches; stops soon above the limit."""
        total = sum(each.name in COUNTED for each in record.effective) + bool(record.effective_redirect)
        targets = [each.domain for each in record.effective if each.name == "include"]
        targets += [record.effective_redirect] if record.effective_redirect else []
        for target in targets:
            name = target.lower().removesuffix(".")
            if total > MAX_LOOKUPS or "%" in target or name in seen:
                continue
            values = spf_values(txt_values(await self.look.ask(name, "TXT")))
            try:
                below = [parse(value) for value in values]
            except SpfSyntaxError:
                continue
            if len(below) == 1:
                total += await self.count(below[0], seen | {name})
        return total

    def end(self, status: Status, reason: Reason, **facts: str) -> Result:
        merged = merged_record(self.values, self.terms)
        return self.look.result(status, reason, domain=self.domain, merged=merged, **facts)


def _single_addresses(value: str) -> list[str]:
    try:
        networks = [each.network for each in parse(value).mechanisms if each.network is not None]
    except SpfSyntaxError:
        return []
    return [str(each.network_address) for each in networks if each.prefixlen == each.max_prefixlen]
