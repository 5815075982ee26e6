"""DKIM: whether a selector publishes the key that this gateway signs with, and which keys a selector has at all."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Literal

from gateway.dns.answers import Found, Unknown
from gateway.domains.checks.look import Look, quoted, txt_values
from gateway.domains.checks.reasons import Reason
from gateway.domains.checks.result import Result, Status
from gateway.domains.checks.spf.evaluation import Lookup
from gateway.domains.checks.tags import TagError, read_tags
from gateway.domains.probing import Probe

CHECK = "dkim"
ONE_STRING = 255  # octets of one character-string: where a panel cuts

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What this gateway signs a domain with. `public_key` is the base64 of `p=`; `cname` delegates the record to us."""

    selector: str
    public_key: str
    key_type: str = "rsa"
    cname: str = ""

    @property
    def record(self) -> str:
        return f"v=DKIM1; k={self.key_type}; p={self.public_key}"

    @property
    def split_record(self) -> str:
        """As quoted strings of at most 255 octets, for panels that cut a longer one."""
        whole = self.record
        pieces = [whole[start : start + ONE_STRING] for start in range(0, len(whole), ONE_STRING)]
        return " ".join(f'"{piece}"' for piece in pieces)


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """The usable records of a selector, each to be tried, or why there is none (RFC 6376 6.1.2)."""

    outcome: Literal["usable", "temperror", "permerror"]
    records: tuple[str, ...] = ()
    words: str = ""


async def check_dkim(domain: str, key: SigningKey, probe: Probe) -> Result:
    """Whether `key` stands at its selector below `domain`."""
    return await _DkimCheck(domain, key, Look(CHECK, probe)).run()


async def published_keys(domain: str, selector: str, lookup: Lookup) -> PublishedKeys:
    """The keys of a signature's selector. An error of the DNS is never "no key"."""
    name = f"{selector}._domainkey.{domain}"
    try:
        answer = await lookup(name, "TXT")
    except ValueError as error:
        return PublishedKeys("permerror", words=str(error))
    if isinstance(answer, Unknown):
        return PublishedKeys("temperror", words=str(answer))
    faults: list[str] = []
    usable: list[str] = []
    for value in txt_values(answer):
        fault = _unusable(value)
        if fault:
            faults.append(fault)
        else:
            usable.append(value)
    if usable:
        return PublishedKeys("usable", tuple(usable))
    return PublishedKeys("permerror", words="; ".join(faults) or f"{answer}")


class _DkimCheck:
    def __init__(self, domain: str, key: SigningKey, look: Look) -> None:
        self.key = key
        self.look = look
        self.domain = domain
        self.name = f"{key.selector}._domainkey.{domain}"

    async def run(self) -> Result:
        answer = await self.look.ask(self.name, "TXT")
        if isinstance(answer, Unknown):
            return self.look.unknown(answer, domain=self.domain)
        if not isinstance(answer, Found):
            return await self.missing()
        values = txt_values(answer)
        facts = {"found": quoted(values)}
        if len(values) > 1:
            return self.end("fail", "dkim_multiple", **facts)
        return self.judge(values[0], facts)

    async def missing(self) -> Result:
        doubled = f"{self.name}.{self.domain}"
        if txt_values(await self.look.ask(doubled, "TXT")):
            return self.end("warn", "misplaced_doubled_suffix", found_at=doubled)
        return self.end("warn", "dkim_missing")

    def judge(self, value: str, facts: dict[str, str]) -> Result:
        if "\\;" in value:
            return self.end("fail", "dkim_syntax", variant="escaped", detail="\\;", **facts)
        fault = _syntax_fault(value)
        if fault:
            return self.end("fail", "dkim_syntax", detail=fault, **facts)
        tags = read_tags(value)
        published, ours = _SPACE.sub("", tags["p"]), _SPACE.sub("", self.key.public_key)
        if not published:
            return self.end("fail", "dkim_revoked", **facts)
        if published != ours:
            cut_off = ours.startswith(published) and len(value.encode()) <= ONE_STRING
            return self.end("fail", "dkim_truncated" if cut_off else "dkim_mismatch", **facts)
        if tags.get("k", "rsa").lower() != self.key.key_type:
            return self.end("fail", "dkim_mismatch", **facts)
        hashes = [each.strip().lower() for each in tags.get("h", "sha256").split(":")]
        if "sha256" not in hashes:
            return self.end("fail", "dkim_hash", **facts)
        if "y" in [each.strip().lower() for each in tags.get("t", "").split(":")]:
            return self.end("warn", "dkim_testing", **facts)
        return self.end("pass", "ok", **facts)

    def end(self, status: Status, reason: Reason, **facts: str) -> Result:
        key = self.key
        fixed = {"domain": self.domain, "name": self.name, "label": f"{key.selector}._domainkey", "cname": key.cname}
        facts = {"variant": "cname" if key.cname else "", "split": key.split_record, **facts}
        return self.look.result(status, reason, **fixed, record=key.record, **facts)


def _syntax_fault(value: str) -> str:
    """Why a record is no key record, in words; empty when it is one (RFC 6376 3.6.1)."""
    try:
        tags = read_tags(value)
    except TagError as error:
        return str(error)
    if "p" not in tags:
        return "there is no p= with a key"
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
        return "v= must come first and say DKIM1"
    return ""


def _unusable(value: str) -> str:
    """Why a record cannot verify anything; empty when it is worth a try."""
    fault = _syntax_fault(value)
    if fault:
        return fault
    key = _SPACE.sub("", read_tags(value)["p"])
    if not key:
        return "the key is revoked (empty p=)"
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return "p= is no base64"
    return ""
