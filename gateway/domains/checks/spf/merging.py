"""The one SPF record to publish: what the domain has already, and this gateway. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.domains.checks.spf.record import MAX_RECORD, Mechanism, Record, SpfSyntaxError, is_spf, parse, terms_of

DEFAULT_ALL = "~all"

_STRICTNESS = {"?": 0, "~": 1, "-": 2}


def merged_record(existing: Iterable[str], ours: Sequence[str]) -> str:
    """`existing` are the TXT values of the domain, others among them; `ours` are the terms that name this gateway.

    Every term stays that still has a meaning; of several
    records one is made, with the mildest of their ends, because none of their senders may lose by it. `+all` and `ptr`
    are left out, and so are terms that nobody can read.
    """
    kept: list[str] = []
    redirects: list[str] = []
    ends: list[str] = []
    for value in _records(existing):
        record = _read(value)
        kept += [each.text for each in record.effective if _stays(each)]
        kept += record.unknown
        if record.all is not None:
            ends.append(record.all.qualifier)
        elif record.redirect:
            redirects.append(record.redirect)
    known = {term.lower().removeprefix("+") for term in ours}
    kept = [term for term in dict.fromkeys(kept) if term.lower().removeprefix("+") not in known]
    if redirects and not ends and len(redirects) == 1:
        return " ".join(["v=spf1", *ours, *kept, f"redirect={redirects[0]}"])
    kept += [f"include:{target}" for target in redirects]
    usable = [end for end in ends if end in _STRICTNESS]
    end = f"{min(usable, key=_STRICTNESS.__getitem__)}all" if usable else DEFAULT_ALL
    return " ".join(["v=spf1", *ours, *kept, end])


def _records(existing: Iterable[str]) -> list[str]:
    """SPF records, also such as are spoilt by white space or quotes around them."""
    trimmed = [value.strip().strip('"').strip() for value in existing if len(value) <= MAX_RECORD]
    return sorted(value for value in trimmed if is_spf(value))  # the DNS has no order, and an offer must not change


def _read(value: str) -> Record:
    """The record, without the terms that are wrong."""
    good: dict[str, str] = {}
    for term in terms_of(value):
        try:
            read = parse(f"v=spf1 {term}")
        except SpfSyntaxError:
            continue
        once = "redirect" if read.redirect else "exp" if read.exp else term
        good.setdefault(once, term)
    return parse(" ".join(["v=spf1", *good.values()]))


def _stays(mechanism: Mechanism) -> bool:
    return mechanism.name not in ("all", "ptr")
