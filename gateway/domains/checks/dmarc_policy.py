"""Which DMARC policy holds for a domain: the tree walk of RFC 9989 4.10. What it means for a message is for others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.dns.answers import Answer, NotFound, Unknown
from gateway.domains.checks.look import txt_values
from gateway.domains.checks.spf.evaluation import Lookup
from gateway.domains.checks.tags import TagError, read_tags
from gateway.mail.reply import DNS_TROUBLE, Reply

Policy: TypeAlias = Literal["none", "quarantine", "reject"]
Outcome: TypeAlias = Literal["none", "quarantine", "reject", "no_policy", "temperror"]

POLICIES: tuple[Policy, ...] = ("none", "quarantine", "reject")
MAX_LABELS = 8  # a longer name is asked for itself, and then from seven labels up

# `v` keeps its case (RFC 9989 4.7), white space around the sign does not count.
_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """The one record of a name. `tags` as written, `policy` None when `p` is missing or is no policy."""

    name: str
    tags: dict[str, str]

    @property
    def policy(self) -> Policy | None:
        return self.of("p")

    def of(self, tag: str) -> Policy | None:
        """`p`, `sp` or `np`."""
        value = self.tags.get(tag, "").lower()
        return value if value in POLICIES else None

    @property
    def psd(self) -> str:
        return self.tags.get("psd", "u").lower()

    @property
    def is_test(self) -> bool:
        return self.tags.get("t", "n").lower() == "y"


@dataclass(frozen=True, slots=True)
class DmarcVerdict:
    """`outcome` is what receivers are asked to do; `organisation` is what identifiers are aligned to.

    `published` is the policy as it stands there: with t=y it is not to be applied, and `outcome` is none.
    `reply` is for messages that must come again, because nothing is known.
    """

    outcome: Outcome
    organisation: str = ""
    record: DmarcRecord | None = None
    published: Policy | None = None
    reply: Reply | None = None
    words: str = ""


async def dmarc_policy(domain: str, lookup: Lookup) -> DmarcVerdict:
    """The policy for mail whose author is at `domain` (A-label form)."""
    found: list[DmarcRecord] = []
    for name in walk(domain):
        answer = await _ask(lookup, f"_dmarc.{name}")
        if isinstance(answer, Unknown):
            return DmarcVerdict("temperror", reply=DNS_TROUBLE, words=str(answer))
        record = record_of(name, txt_values(answer))
        if record is not None:
            found.append(record)
            if record.psd == "n" or (record.psd == "y" and name != domain):
                break
    if not found:
        return DmarcVerdict("no_policy", organisation=domain)
    organisation = _organisation(domain, found)
    by_name = {record.name: record for record in found}
    # 4.10.1: the author's own record, else the organisation's, else that of the public suffix above it.
    record = by_name.get(domain) or by_name.get(organisation) or found[-1]
    return await _apply(domain, organisation, record, lookup)


def walk(domain: str) -> list[str]:
    """The names that are asked, longest first."""
    labels = domain.split(".")
    shorter = labels[1:] if len(labels) < MAX_LABELS else labels[-(MAX_LABELS - 1) :]
    return [domain, *(".".join(shorter[start:]) for start in range(len(shorter)))]


def is_dmarc(value: str) -> bool:
    """Whether a TXT value is a DMARC record at all: the version comes first."""
    return _VERSION.match(value) is not None


def record_of(name: str, values: Sequence[str]) -> DmarcRecord | None:
    """The record of a name; two are none (RFC 9989 4.10), and so is one that cannot be read or asks for nothing."""
    records = [value for value in values if is_dmarc(value)]
    if len(records) != 1:
        return None
    try:
        tags = read_tags(records[0])
    except TagError:
        return None
    record = DmarcRecord(name, tags)
    if "p" in tags and record.policy is None and not tags.get("rua"):
        return None
    return record


def _organisation(domain: str, found: Sequence[DmarcRecord]) -> str:
    """4.10.2: psd=n names it, psd=y lies one label above it, else the record with the fewest labels."""
    for record in found:
        if record.psd == "n":
            return record.name
        if record.psd == "y" and record.name != domain:
            depth = record.name.count(".") + 2
            return ".".join(domain.split(".")[-depth:])
    return found[-1].name


async def _apply(domain: str, organisation: str, record: DmarcRecord, lookup: Lookup) -> DmarcVerdict:
    published = record.policy or "none"
    if record.name != domain:
        sub, ghost = record.of("sp") or published, record.of("np")
        published = sub
        if ghost is not None and ghost != sub:
            answer = await _ask(lookup, domain, "A")
            if isinstance(answer, Unknown):
                return DmarcVerdict("temperror", organisation, record, None, DNS_TROUBLE, str(answer))
            if isinstance(answer, NotFound) and answer.reason == "nxdomain" and not answer.aliases:
                published = ghost
    return DmarcVerdict("none" if record.is_test else published, organisation, record, published)


async def _ask(lookup: Lookup, name: str, rdtype: str = "TXT") -> Answer:
    try:
        return await lookup(name, rdtype)
    except ValueError:
        return NotFound(name, rdtype, "nxdomain", 0, name)
