"""What to change in an owner's zone so that it holds what is wanted: worked out from what its server says is there.

Pure. Records are added one by one, and one is taken away only where another takes its place. Each update is bound to
what was read: the set of records it adds to must still be the same (RFC 2136 2.4), else nothing of it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import dns.name
import dns.rdata
import dns.rdatatype
import dns.update
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from gateway.domains.checks.hostile import as_text, joined, shown
from gateway.domains.records import WantedRecord, rdata
from gateway.domains.update_key import UpdateKey

Kind: TypeAlias = Literal["there", "add", "replace", "left", "blocked"]
"""It stands already; it is added; it takes the place of others; it is advised and left alone; it cannot be done."""

Key: TypeAlias = tuple[str, str]
"""Name and type of a set of records."""


@dataclass(frozen=True, slots=True)
class There:
    """The records of one name and type that the server has. `alias`: where the name leads to instead, as a CNAME."""

    name: str
    type: str
    records: tuple[dns.rdata.Rdata, ...] = ()
    ttl: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One wanted record, and what is to be done for it. `why`: what a person should know of that, or empty."""

    record: WantedRecord
    kind: Kind
    ttl: int
    removes: tuple[dns.rdata.Rdata, ...] = ()
    why: str = ""

    @property
    def changes(self) -> bool:
        return self.kind in ("add", "replace")

    @property
    def rdata(self) -> dns.rdata.Rdata:
        return dns.rdata.from_text("IN", self.record.type, rdata(self.record))


@dataclass(frozen=True, slots=True)
class Update:
    """All that changes in one set of records: one message to the server, done as a whole or not at all."""

    there: There
    steps: tuple[Step, ...]

    @property
    def adds(self) -> tuple[dns.rdata.Rdata, ...]:
        return tuple(step.rdata for step in self.steps)

    @property
    def removes(self) -> tuple[dns.rdata.Rdata, ...]:
        return tuple(dict.fromkeys(each for step in self.steps for each in step.removes))

    def message(self, zone: str, key: UpdateKey) -> dns.update.UpdateMessage:
        """The signed update."""
        made = dns.update.UpdateMessage(dns.name.from_text(zone), keyring=key.signing())
        name = dns.name.from_text(self.there.name)
        for each in self.there.records:
            made.present(name, each)
        if not self.there.records:
            made.absent(name, self.there.type)
        for each in self.removes:
            made.delete(name, each)
        for step in self.steps:
            made.add(name, step.ttl, step.rdata)
        return made

    def stands_in(self, found: There) -> bool:
        """Whether the server shows it afterwards."""
        return set(self.adds) <= set(found.records) and not set(self.removes) & set(found.records)


def is_spf(text: str) -> bool:
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def spf_records(there: There) -> tuple[dns.rdata.Rdata, ...]:
    return tuple(each for each in there.records if is_spf(_text(each)))


def spf_to_merge(there: There) -> str:
    """The text of the one SPF record; empty when there is none, several, or one that cannot be typed again."""
    texts = [_text(each) for each in spf_records(there)]
    return texts[0] if len(texts) == 1 and _is_plain(texts[0]) else ""


def steps_for(
    records: Sequence[WantedRecord], there: Mapping[Key, There], *, only_our_mx: bool = False
) -> tuple[Step, ...]:
    """What is to be done for each record, in their order. `there` holds every name and type that they have.

    `only_our_mx`: the MX records of others are taken away.
    """
    ours = {record.target.lower() for record in records if record.type == "MX"}
    steps: list[Step] = []
    for record in records:
        found = there[record.name, record.type]
        step = _step(record, found)
        if record.type == "MX":
            step = _with_mx_of_others(step, found, ours, only_our_mx, first=_is_first_mx(steps))
        steps.append(step)
    return tuple(steps)


def updates_for(steps: Sequence[Step], there: Mapping[Key, There]) -> tuple[Update, ...]:
    """One for each set of records in which something changes, what is required first."""
    grouped: dict[Key, list[Step]] = {}
    for step in steps:
        if step.changes:
            grouped.setdefault((step.record.name, step.record.type), []).append(step)
    return tuple(Update(there[key], tuple(group)) for key, group in grouped.items())


def _step(record: WantedRecord, there: There) -> Step:
    ttl = there.ttl if there.records else record.ttl  # one TTL for a set of records (RFC 2181 5.2)
    wanted = Step(record, "add", ttl)
    if there.alias:
        why = f"{record.name} is an alias (CNAME) of {shown(there.alias)}, and nothing can stand beside one"
        if record.required:
            return replace(wanted, kind="blocked", why=f"{why}; take the CNAME away first")
        return replace(wanted, kind="left", why=f"{why}; what it should say must be said there")
    if record.type == "TXT":
        return _txt(wanted, there)
    if record.type == "MX":
        same = [each for each in there.records if _host(each) == record.target.lower()]
        if not same:
            return wanted
        return replace(wanted, kind="there", record=replace(record, value=same[0].to_text()))  # its number is free
    if wanted.rdata in there.records:
        return replace(wanted, kind="there")
    if there.records:
        return replace(wanted, kind="left", why=f"another server is named already: {_shown(there.records)}")
    return wanted


def _txt(wanted: Step, there: There) -> Step:
    text = wanted.record.value
    if is_spf(text):
        return _spf(wanted, there)
    if text in map(_text, there.records):
        return replace(wanted, kind="there")
    policies = tuple(each for each in there.records if _text(each).upper().startswith("V=DMARC1"))
    if text.startswith("v=DMARC1") and policies:
        return replace(wanted, kind="left", why=f"there is a policy already: {_shown(policies)}")
    return wanted


def _spf(wanted: Step, there: There) -> Step:
    have = spf_records(there)
    if not have:
        return wanted
    if len(have) > 1:
        why = f"there are {len(have)} SPF records, which counts as none; make one of them: {_shown(have)}"
        return replace(wanted, kind="left", why=why)
    text = _text(have[0])
    if text.split() == wanted.record.value.split():
        return replace(wanted, kind="there")
    if wanted.record.replaces != text:
        why = f"it has characters that do not belong in one; correct it by hand: {_shown(have)}"
        return replace(wanted, kind="left", why=why)
    return replace(wanted, kind="replace", removes=have)


def _with_mx_of_others(step: Step, there: There, ours: set[str], only_our_mx: bool, *, first: bool) -> Step:
    """The first MX record has to do with those of others: they are taken away with it, or it says that they stay."""
    others = tuple(each for each in there.records if _host(each) not in ours)
    if not first or not others or there.alias:
        return step
    if only_our_mx:
        return replace(step, kind="replace", removes=others)
    if any(_host(each) == "" for each in others):
        why = "the record with the single dot says that the domain takes no mail (RFC 7505); with --only-our-mx it goes"
        return replace(step, kind="blocked", why=why)
    return replace(step, why=f"mail goes to these too, until they go (--only-our-mx): {_shown(others)}")


def _is_first_mx(steps: Sequence[Step]) -> bool:
    return not any(step.record.type == "MX" for step in steps)


def _host(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, MX)
    return record.exchange.to_text(omit_final_dot=True).lower().removesuffix(".")


def _text(record: dns.rdata.Rdata) -> str:
    assert isinstance(record, TXT)
    return as_text(joined(record))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "\\x" not in text


def _shown(records: Sequence[dns.rdata.Rdata]) -> str:
    return shown(", ".join(sorted(record.to_text() for record in records)))


def as_lines(step: Step) -> tuple[str, ...]:
    """The step as a difference: + what comes, - what goes, a space before what is there, ! what is left as it is."""
    name = f"{step.record.name}."
    gone = tuple(f"- {name} IN {step.record.type} {shown(each.to_text())}" for each in step.removes)
    sign = {"there": " ", "add": "+", "replace": "+"}.get(step.kind, "!")
    line = f"{sign} {name} {step.ttl} IN {step.record.type} {rdata(step.record)}"
    return (*gone, line, *((f"    {step.why}",) if step.why else ()))


def as_json(step: Step) -> dict[str, object]:
    """What `--json` prints of it."""
    return {
        "name": step.record.name,
        "type": step.record.type,
        "ttl": step.ttl,
        "rdata": rdata(step.record),
        "required": step.record.required,
        "step": step.kind,
        "removes": [shown(each.to_text()) for each in step.removes],
        "why": step.why,
    }
