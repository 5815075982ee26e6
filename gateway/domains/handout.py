"""The hand-out for whoever runs a domain's DNS: what to enter, what has to go, what was seen, how to see it oneself.

Made of an inspection and the wanted records; how it is written (an HTML page, a text mail) is printing.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from gateway.domains.checks import dmarc, mx, ownership, srv
from gateway.domains.checks.result import Result
from gateway.domains.checks.spf import check as spf
from gateway.domains.checks.texts import Language, sentence
from gateway.domains.inspection import GOOD, Inspection
from gateway.domains.lifetimes import Lifetime, lifetimes
from gateway.domains.records import WantedRecord, as_panel, rdata, relative

Kind: TypeAlias = Literal["ownership", "mx", "spf", "dmarc", "srv"]

_TOLD = (ownership.CHECK, mx.CHECK, spf.CHECK, dmarc.CHECK, srv.CHECK)
"""Checks of what is asked for here. The page says nothing about what this gateway does not serve."""
_IN_THE_TABLE = frozenset({"dmarc_missing"})
"""Reasons whose sentence would only say again what the table asks for."""
_NO_DMARC = frozenset({"dmarc_missing", "misplaced_apex", "misplaced_doubled_suffix"})
_SERVER_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?\Z")
"""What may stand in a command that people paste: the owner of a zone chooses the names of its servers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record to enter: `name` relative to the zone, `value` as a panel takes it. `there`: it was seen already."""

    kind: Kind
    name: str
    full_name: str
    type: str
    priority: str
    value: str
    ttl: int
    required: bool
    there: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """A record that stands in DNS and has to go when the others come."""

    kind: Kind
    name: str
    full_name: str
    type: str
    priority: str
    value: str


@dataclass(frozen=True, slots=True)
class Question:
    """A command that anybody can type, and the lines that it prints when all is in place, in any order."""

    command: str
    answer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one check saw, as a sentence."""

    check: str
    required: bool
    status: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Handout:
    """`zone` is the one that names are relative to; `zone_known` is False where DNS did not say and it is a guess.

    `missing` are the sentences of required checks that do not pass; `lifetimes` are answers that have to change.
    """

    domain: str
    organisation: str
    gateway: str
    covers_below: bool
    hold: str
    zone: str
    zone_known: bool
    at: float
    passes: bool
    entries: tuple[Entry, ...]
    removals: tuple[Removal, ...]
    questions: tuple[Question, ...]
    sights: tuple[Sight, ...]
    lifetimes: tuple[Lifetime, ...]
    language: Language

    @property
    def missing(self) -> tuple[Sight, ...]:
        return tuple(each for each in self.sights if each.required and each.status not in GOOD)

    @property
    def besides(self) -> tuple[Sight, ...]:
        """What was seen and is not missing."""
        return tuple(each for each in self.sights if each not in self.missing)

    @property
    def is_complete(self) -> bool:
        """Nothing that is required could be entered, and nothing removed."""
        return self.passes and not self.removals and all(each.there for each in self.entries if each.required)

    def as_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in asdict(self).items() if name != "lifetimes"},
            "lifetimes": [each.as_json() for each in self.lifetimes],
        }


def handout(
    seen: Inspection, wanted: Sequence[WantedRecord], *, gateway: str, zone: str, zone_known: bool, language: Language
) -> Handout:
    """`wanted` as `records.wanted` gives them; of SPF and DMARC only what the domain still needs is asked for."""
    row = seen.shown.row
    asked = [record for record in (_as_needed(each, seen) for each in wanted) if record is not None]
    panel = as_panel(asked, zone)
    entries = tuple(
        Entry(
            kind_of(record), line.name, record.name, record.type, line.priority, line.value, record.ttl,
            record.required, _is_there(record, seen),
        )
        for record, line in zip(asked, panel, strict=True)
    )  # fmt: skip
    return Handout(
        domain=row.name,
        organisation=seen.shown.organisation,
        gateway=gateway,
        covers_below=row.scope == "tree",
        hold=row.hold,
        zone=zone,
        zone_known=zone_known,
        at=seen.at,
        passes=seen.passes,
        entries=entries,
        removals=tuple(_removals(seen, wanted, asked, zone)),
        questions=_questions(asked, seen.of(ownership.CHECK).facts),
        sights=tuple(
            Sight(each.check, each.required, each.status, sentence(each, language))
            for each in seen.results
            if each.check in _TOLD and each.reason not in _IN_THE_TABLE
        ),
        lifetimes=lifetimes(each for each in seen.required if each.status != "pass"),
        language=language,
    )


def kind_of(record: WantedRecord) -> Kind:
    """Which of the records it is."""
    if record.type == "MX":
        return "mx"
    if record.type == "SRV":
        return "srv"
    if record.required:
        return "ownership"
    return "dmarc" if record.name.startswith("_dmarc.") else "spf"


def _as_needed(record: WantedRecord, seen: Inspection) -> WantedRecord | None:
    """The record as this domain needs it: its SPF merged, no DMARC policy in place of a stricter one."""
    kind = kind_of(record)
    if kind == "ownership":
        return None if seen.of(ownership.CHECK).reason == "by_parent" else record
    if kind == "dmarc":
        return record if seen.of(dmarc.CHECK).reason in _NO_DMARC else None
    if kind != "spf":
        return record
    result = seen.of(spf.CHECK)
    # Without an answer nobody knows what there is to be kept.
    if result.status in ("pass", "temp") or "merged" not in result.facts:
        return None
    return WantedRecord(
        record.name, record.type, result.facts["merged"], record.ttl, record.required, record.why, record.target
    )


def _is_there(record: WantedRecord, seen: Inspection) -> bool:
    kind = kind_of(record)
    if kind == "ownership":
        result = seen.of(ownership.CHECK)
        return result.status in GOOD or record.value in _texts(result, "TXT")
    if kind == "mx":
        return any(_target(text) == record.target for text in _texts(seen.of(mx.CHECK), "MX"))
    if kind == "srv":
        mine = (each for each in seen.results if each.check == srv.CHECK and each.facts.get("name") == record.name)
        return any(each.status == "pass" for each in mine)
    return False


def _removals(
    seen: Inspection, wanted: Sequence[WantedRecord], asked: Sequence[WantedRecord], zone: str
) -> list[Removal]:
    domain = seen.shown.row.name
    name = relative(domain, zone)
    ours = {record.target for record in wanted if record.type == "MX"}
    gone = [
        Removal("mx", name, domain, "MX", text.partition(" ")[0], _target(text) or ".")
        for text in _texts(seen.of(mx.CHECK), "MX")
        if _target(text) not in ours
    ]
    new = {record.value for record in asked if kind_of(record) == "spf"}
    if new:
        old = [text for text in _texts(seen.of(spf.CHECK), "TXT") if text.lower().split(" ")[0] == "v=spf1"]
        gone += [Removal("spf", name, domain, "TXT", "", text) for text in old if text not in new]
    return gone


def _texts(result: Result, rdtype: str) -> list[str]:
    """The records of a type that anybody gave for the name that the check asked for first, once each."""
    if not result.observations:
        return []
    name = result.observations[0].name
    same = (seen for seen in result.observations if (seen.name, seen.type) == (name, rdtype))
    return sorted({text for seen in same for text in seen.texts})


def _target(text: str) -> str:
    """The host of an MX record as it was shown."""
    return text.partition(" ")[2].strip().lower().removesuffix(".")


def _questions(asked: Sequence[WantedRecord], facts: Mapping[str, str]) -> tuple[Question, ...]:
    """For the zone's own server where it is known: it knows of a change at once."""
    servers = [name for name in facts.get("name_servers", "").split() if _SERVER_NAME.match(name)]
    at = f"@{servers[0]} " if servers else ""
    answers: dict[str, list[str]] = {}
    for record in asked:
        answers.setdefault(f"dig +short {at}{record.type} {record.name}", []).append(rdata(record))
    return tuple(Question(command, tuple(lines)) for command, lines in answers.items())
