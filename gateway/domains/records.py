"""The records that an owner is asked to publish, and how they are written for a panel, a zone file or nsupdate.

Pure. Only what this gateway serves is asked for. Nothing is said here about what is in DNS already, except for the SPF
record that the caller hands over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.domains.token import Scope, challenge_name, challenge_text

RecordType: TypeAlias = Literal["TXT", "MX", "SRV"]
MAX_STRING_OCTETS = 255  # RFC 1035 3.3: one character-string
MAX_SPF_LOOKUPS = 10  # RFC 7208 4.6.4

_SPF = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Service:
    """A service for mail programs: `name` as in SRV (RFC 6186, RFC 8314), without the underscore."""

    name: str
    target: str
    port: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What there is to publish for one domain. Names are A-labels without the final dot.

    `existing_spf`: the SPF record that the domain has, if it is known. `reports_to`: where DMARC reports go.
    """

    domain: str
    label: str
    scope: Scope
    token: str
    gateway: str
    mx_hosts: Sequence[str]
    ttl: int = 300
    spf_include: str = ""
    existing_spf: str = ""
    reports_to: str = ""
    services: Sequence[Service] = ()


@dataclass(frozen=True, slots=True)
class WantedRecord:
    """One record. `name` is absolute without the final dot; `value` is the text of a TXT, unquoted, or what is
    written behind the type, with a final dot on every host name. `target`: the host that must resolve. `replaces`: the
    text of the record that must go when this one comes."""

    name: str
    type: RecordType
    value: str
    ttl: int
    required: bool
    why: str
    target: str = ""
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class LadderStep:
    """A DMARC policy and when to go on to it."""

    value: str
    when: str


def wanted(offer: Offer) -> tuple[WantedRecord, ...]:
    """All records, those that are required first."""
    return (_ownership(offer), *_mx(offer), _spf(offer), _dmarc(offer), *_services(offer))


def _ownership(offer: Offer) -> WantedRecord:
    name = challenge_name(offer.domain, offer.label, offer.scope)
    covered = offer.domain if offer.scope == "exact" else f"{offer.domain} and every name below it"
    why = f"shows that {covered} is yours; leave it there, it keeps the domain yours"
    return WantedRecord(name, "TXT", challenge_text(offer.token, offer.gateway), offer.ttl, True, why)


def _mx(offer: Offer) -> tuple[WantedRecord, ...]:
    why = "brings the domain's mail to the gateway; other MX records must go, or mail goes past it"
    return tuple(
        WantedRecord(offer.domain, "MX", f"{10 * (index + 1)} {host}.", offer.ttl, True, why, target=host)
        for index, host in enumerate(offer.mx_hosts)
    )


def _spf(offer: Offer) -> WantedRecord:
    why = "says that the gateway may send mail of the domain; there must be one record that begins with v=spf1"
    if offer.existing_spf:
        why += "; this one is yours with the gateway added, and takes its place"
    text = merged_spf(offer.existing_spf, spf_terms(offer))
    old = offer.existing_spf if offer.existing_spf != text else ""
    return WantedRecord(offer.domain, "TXT", text, offer.ttl, False, why, replaces=old)


def spf_terms(offer: Offer) -> tuple[str, ...]:
    """What names this gateway in an SPF record."""
    if offer.spf_include:
        return (f"include:{offer.spf_include}",)
    return tuple(f"a:{host}" for host in offer.mx_hosts)


def merged_spf(existing: str, terms: Sequence[str]) -> str:
    """`existing` with `terms` in front of its end, once each; without one, a record of its own that ends in ~all.

    What somebody else's record says stays as it is, in its order: RFC 7208 4.6.2 reads it from left to right.
    """
    words = existing.split()
    if not words or not _SPF.match(existing.strip()):
        return " ".join(("v=spf1", *terms, "~all"))
    have = {word.lower().removeprefix("+") for word in words}
    new = [term for term in terms if term.lower() not in have]
    ends = (index for index, word in enumerate(words) if _ends(word))
    end = next(ends, None)
    if end is None:
        return " ".join((*words, *new, "~all"))
    return " ".join((*words[:end], *new, *words[end:]))


def _ends(word: str) -> bool:
    """`all` decides, and `redirect` is what follows when nothing else matched (RFC 7208 5.1, 6.1)."""
    bare = word.lower().lstrip("+-~?")
    return bare == "all" or bare.startswith("redirect=")


def _dmarc(offer: Offer) -> WantedRecord:
    first = dmarc_ladder(offer)[0]
    why = f"asks receivers for reports and changes nothing yet; {first.when}"
    return WantedRecord(f"_dmarc.{offer.domain}", "TXT", first.value, offer.ttl, False, why)


def dmarc_ladder(offer: Offer) -> tuple[LadderStep, ...]:
    """From watching to refusing. Never a step before the reports of 14 days show SPF and DKIM passing."""
    reports = f"; rua=mailto:{offer.reports_to}" if offer.reports_to else ""
    wait = "after 14 days of reports in which SPF and DKIM pass for everything you send"
    return (
        LadderStep(f"v=DMARC1; p=none{reports}", "begin with this one"),
        LadderStep(f"v=DMARC1; p=quarantine{reports}", wait),
        LadderStep(f"v=DMARC1; p=reject{reports}", f"{wait}, once more"),
    )


def _services(offer: Offer) -> tuple[WantedRecord, ...]:
    why = "lets mail programs find the server by themselves"
    return tuple(
        WantedRecord(
            f"_{each.name}._tcp.{offer.domain}", "SRV", f"0 1 {each.port} {each.target}.", offer.ttl, False, why,
            target=each.target,
        )
        for each in offer.services
    )  # fmt: skip


# How they are written

Format: TypeAlias = Literal["table", "zone", "panel", "nsupdate", "json"]
FORMATS: tuple[Format, ...] = ("table", "zone", "panel", "nsupdate", "json")


def rdata(record: WantedRecord) -> str:
    """What stands behind the type in a zone file: TXT quoted and split at 255 octets."""
    return _quoted(record.value) if record.type == "TXT" else record.value


def _quoted(text: str) -> str:
    """Character-strings of at most 255 octets; the split is made before anything is escaped."""
    octets = text.encode()
    pieces = [octets[at : at + MAX_STRING_OCTETS] for at in range(0, len(octets), MAX_STRING_OCTETS)] or [b""]
    return " ".join(f'"{"".join(map(_escaped, piece))}"' for piece in pieces)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def as_zone(records: Sequence[WantedRecord]) -> str:
    """Lines of a zone file: every name absolute, with its dot; the reasons as comments."""
    lines = []
    for record in records:
        lines.append(f"; {'required' if record.required else 'advised'}: {record.why}")
        if record.replaces:
            lines.append(f"; in place of: {_quoted(record.replaces)}")
        lines.append(f"{record.name}. {record.ttl} IN {record.type} {rdata(record)}")
    return "\n".join(lines) + "\n"


def as_nsupdate(records: Sequence[WantedRecord], zone: str) -> str:
    """A script for nsupdate(1). It adds single records, and deletes none but one that another takes the place of."""
    lines = [f"zone {zone}."]
    for record in records:
        if record.replaces:
            lines.append(f"update delete {record.name}. IN {record.type} {_quoted(record.replaces)}")
        lines.append(f"update add {record.name}. {record.ttl} IN {record.type} {rdata(record)}")
    return "\n".join([*lines, "send"]) + "\n"


@dataclass(frozen=True, slots=True)
class PanelRow:
    """What is typed into a panel: the name relative to the zone, "@" for the zone itself, no dots at the end."""

    name: str
    type: str
    priority: str
    value: str
    ttl: int
    required: bool
    why: str


def as_panel(records: Sequence[WantedRecord], zone: str) -> tuple[PanelRow, ...]:
    """For people with a web panel: most add the zone by themselves, and have a field of its own for the priority."""
    rows = []
    for record in records:
        priority, value = "", record.value
        if record.type == "MX":
            priority, _, value = value.partition(" ")
        value = value if record.type == "TXT" else value.removesuffix(".")
        name = relative(record.name, zone)
        rows.append(PanelRow(name, record.type, priority, value, record.ttl, record.required, record.why))
    return tuple(rows)


def relative(name: str, zone: str) -> str:
    """`name` as a panel for `zone` wants it."""
    return "@" if name == zone else name.removesuffix(f".{zone}")


def unresolved(records: Sequence[WantedRecord], resolves: Callable[[str], bool]) -> tuple[str, ...]:
    """Hosts that the records lead to and that `resolves` does not know: publishing them would send mail nowhere."""
    targets = dict.fromkeys(record.target for record in records if record.target)
    return tuple(target for target in targets if not resolves(target))
