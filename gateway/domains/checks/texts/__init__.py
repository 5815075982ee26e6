"""What people read of a check: whom we asked, what we saw, what it means and what to do, in German and English.

The tables of the languages hold whole sentences with {facts} in them. Everything that DNS said reaches a sentence
through a fact or an observation, both of which are cleaned where they are made (`hostile.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from gateway.domains.checks.hostile import shown
from gateway.domains.checks.result import Observation, Result
from gateway.domains.checks.texts import english, german

Language: TypeAlias = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")

MAX_ANSWERS = 3  # different answers that one sentence tells
MAX_SERVERS = 4

_SENTENCES: dict[Language, Mapping[str, str]] = {"en": english.SENTENCES, "de": german.SENTENCES}
_PHRASES: dict[Language, Mapping[str, str]] = {"en": english.PHRASES, "de": german.PHRASES}


def sentence(result: Result, language: Language) -> str:
    """What was asked of whom and when, what was seen, what to do. Plain text; escape it for the page it stands on."""
    asked = [_asked(group, _PHRASES[language]) for group in _groups(result)]
    return " ".join([*asked, advice(result, language)])


def advice(result: Result, language: Language) -> str:
    """The last part alone: what it means and what to do."""
    table = _SENTENCES[language]
    variant = result.facts.get("variant", "")
    for key in (
        f"{result.reason}.{variant}:{result.check}",
        f"{result.reason}:{result.check}",
        f"{result.reason}.{variant}",
    ):
        if key in table:
            return table[key].format_map(_Facts(result.facts))
    return table[result.reason].format_map(_Facts(result.facts))


class _Facts(dict[str, Any]):
    """A fact that a result of an older release does not have leaves a gap, not a traceback."""

    def __missing__(self, key: str) -> str:
        return "?"


def _groups(result: Result) -> list[list[Observation]]:
    """The answers worth telling: to the first question, and to that about the place where something was found."""
    if not result.observations:
        return []
    first = result.observations[0]
    groups: dict[tuple[str, ...], list[Observation]] = {}
    for seen in result.observations:
        is_first = (seen.name, seen.type) == (first.name, first.type)
        if is_first or (seen.name == result.facts.get("found_at") and seen.texts):
            key = (seen.name, seen.type, seen.rcode, seen.trouble, *sorted(seen.texts))
            groups.setdefault(key, []).append(seen)
    return list(groups.values())[:MAX_ANSWERS]


def _asked(group: list[Observation], phrases: Mapping[str, str]) -> str:
    seen = group[0]
    servers = list(dict.fromkeys(each.server for each in group if each.server))
    return phrases["asked"].format(
        servers=phrases["and"].join(servers[:MAX_SERVERS]) or phrases["resolver"],
        type=seen.type,
        name=seen.name,
        time=datetime.fromtimestamp(seen.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        answer=_answer(seen, phrases),
    )


def _answer(seen: Observation, phrases: Mapping[str, str]) -> str:
    if seen.trouble:
        return phrases["nothing"].format(trouble=seen.rcode or seen.trouble)
    if not seen.texts:
        return phrases["nxdomain" if seen.rcode == "NXDOMAIN" else "nodata"]
    told = ", ".join(f"'{text}'" for text in seen.texts)
    return phrases["found"].format(texts=shown(told))
