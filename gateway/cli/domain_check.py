"""What `stellwerk domain check` prints: a table once, or with --watch a live display, a line for each change in a pipe.

What is seen is gathered by gateway/domains/inspection.py and watching.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import print_json, print_table, printable

if TYPE_CHECKING:
    from gateway.cli.directory_options import Office
    from gateway.domains.checks.result import Observation, Result
    from gateway.domains.checks.texts import Language
    from gateway.domains.inspection import Inspection
    from gateway.domains.lifetimes import Lifetime
    from gateway.domains.watching import Glance

Line = tuple[str, str, str, str]
"""Check, weight, status, sentence."""

_WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "check": "check",
        "weight": "required",
        "status": "status",
        "sentence": "what was seen, and what to do",
        "required": "required",
        "advised": "advised",
        "state": "state",
        "look": "look",
        "ttl": "TTL",
        "next": "the gateway looks next at {at}",
        "none": "the gateway does not look at it",
        "held": "it waits for an operator ({hold}): stellwerk domain approve {name}",
        "overdue": "the gateway should have looked at {at}: does it run, with domains.look = true?",
        "asked": "asked the gateway to look now",
        "no": "no such record",
        "lasts": "{name} {type}: others may see the old answer ({answer}) up to {seconds} s after a change, "
        "that is until {until} if they asked just now",
        "old": "{name} {type} has changed; others may see the old answer ({answer}) up to {until}",
        "stopped": "stopped; the gateway goes on looking by itself",
    },
    "de": {
        "check": "Prüfung",
        "weight": "nötig",
        "status": "Ergebnis",
        "sentence": "was zu sehen war, und was zu tun ist",
        "required": "nötig",
        "advised": "empfohlen",
        "state": "Zustand",
        "look": "Blick",
        "ttl": "TTL",
        "next": "das Gateway sieht das nächste Mal nach: {at}",
        "none": "das Gateway sieht nicht nach",
        "held": "ein Betreiber muss zustimmen ({hold}): stellwerk domain approve {name}",
        "overdue": "das Gateway hätte {at} nachsehen sollen: Läuft es, mit domains.look = true?",
        "asked": "das Gateway ist gebeten, gleich nachzusehen",
        "no": "kein solcher Eintrag",
        "lasts": "{name} {type}: Andere sehen die alte Antwort ({answer}) nach einer Änderung bis zu {seconds} s lang, "
        "also bis {until}, wenn sie eben gefragt haben",
        "old": "{name} {type} hat sich geändert; andere sehen die alte Antwort ({answer}) vielleicht noch bis {until}",
        "stopped": "beendet; das Gateway sieht von selbst weiter nach",
    },
}
MAX_ANSWER = 100


async def check_once(office: Office, name: str, organisation: str) -> Inspection:
    """All checks of a claim, made now."""
    from gateway.domains.inspection import inspect
    from gateway.domains.probing import Probing
    from gateway.domains.showing import find_claim

    shown = await find_claim(office.store, office.actor, name, organisation)
    return await inspect(office.store, office.config, shown, Probing.of(office.config.dns))


def print_inspection(seen: Inspection, language: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(seen.as_json(language))
        return
    words = _WORDS[language]
    print_table([words[each] for each in ("check", "weight", "status", "sentence")], _check_lines(seen, language))
    for line in (_state_line(seen, language), *(line for _, line in _ttl_lines(seen, (), language))):
        click.echo(printable(line[3]))


def _check_lines(seen: Inspection, language: Language) -> list[Line]:
    from gateway.domains.checks.texts import sentence

    words = _WORDS[language]
    return [
        (each.check, words["required" if each.required else "advised"], each.status, sentence(each, language))
        for each in seen.results
    ]


def _state_line(seen: Inspection, language: Language, *, overdue: bool = False) -> Line:
    from gateway.directory.dates import shown

    words, row = _WORDS[language], seen.shown.row
    if row.hold:
        told = words["held"].format(hold=row.hold, name=row.name)
    elif row.next_look_at is None:
        told = words["none"]
    else:
        told = words["overdue" if overdue else "next"].format(at=shown(row.next_look_at))
    return words["state"], "", str(row.state), f"{row.name}: {row.state}; {told}"


def _ttl_lines(seen: Inspection, old: Sequence[Lifetime], language: Language) -> Iterator[tuple[str, Line]]:
    """Answers that had better change, with the time that they last, and old ones that have changed; each with a key."""
    words = _WORDS[language]
    wrong = {(each.name, each.type) for result in seen.required if result.status != "pass" for each in _first(result)}
    for each in seen.lifetimes:
        if (each.name, each.type) in wrong:
            line = words["ttl"], "", "", words["lasts"].format_map(_told(each, words))
            yield f"{each.name} {each.type} {each.texts}", line
    for each in old:
        line = words["ttl"], "", "", words["old"].format_map(_told(each, words))
        yield f"{each.name} {each.type} {each.texts} old", line


def _first(result: Result) -> Sequence[Observation]:
    return result.observations[:1]


def _told(one: Lifetime, words: Mapping[str, str]) -> dict[str, Any]:
    from gateway.directory.dates import shown

    answer = ", ".join(f"'{text}'" for text in one.texts) or words["no"]
    short = answer if len(answer) <= MAX_ANSWER else answer[: MAX_ANSWER - 4] + " ..."
    return {"name": one.name, "type": one.type, "answer": short, "seconds": one.ttl, "until": shown(one.until)}


# --watch


async def watch(office: Office, name: str, organisation: str, language: Language, *, as_json: bool) -> bool:
    """Show what changes until the domain is in service: True; False when that cannot come any more."""
    from gateway.domains.probing import Probing
    from gateway.domains.watching import Watch

    with _display(language, as_json=as_json) as (show, pause):
        watching = Watch(
            office.store, office.config, office.actor, (name, organisation), Probing.of(office.config.dns), pause
        )
        done = False
        async for glance in watching.glances():
            show(glance)
            done = glance.is_done
        return done


def stopped(language: Language) -> None:
    """Somebody has pressed Ctrl-C."""
    click.echo(_WORDS[language]["stopped"], err=True)


@contextmanager
def _display(language: Language, *, as_json: bool) -> Iterator[tuple[Callable[[Glance], None], Callable[[float], Any]]]:
    """What shows a glance, and what waits for the next one."""
    if as_json:
        yield _JsonLines(language).show, asyncio.sleep
    elif not sys.stdout.isatty():
        yield _Lines(language).show, asyncio.sleep
    else:
        from rich.live import Live

        with Live(auto_refresh=False) as live:
            screen = _Screen(language, live)
            yield screen.show, screen.pause


class _JsonLines:
    """One object on a line for each change of what matters; times alone are no change."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._last: tuple[Any, ...] = ()

    def show(self, glance: Glance) -> None:
        seen = glance.inspection
        matters = tuple((each.check, each.status, each.reason) for each in seen.results)
        changed = (glance.state, seen.shown.row.next_look_at, glance.asked, glance.is_overdue, matters)
        if changed != self._last:
            self._last = changed
            more = {
                "asked_for_look": glance.asked,
                "look_overdue": glance.is_overdue,
                "old_answers": [each.as_json() for each in glance.old],
            }
            click.echo(json.dumps({**seen.as_json(self._language), **more}, ensure_ascii=False))


class _Lines:
    """A line for each change, with the time in front: for a pipe or a log."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._last: dict[str, Any] = {}

    def show(self, glance: Glance) -> None:
        for key, (matters, line) in _lines(glance, self._language).items():
            if self._last.get(key) != matters:
                self._last[key] = matters
                at = time.strftime("%H:%M:%SZ", time.gmtime(glance.inspection.at))
                click.echo("\t".join((at, *map(printable, line))))
        sys.stdout.flush()


def _lines(glance: Glance, language: Language) -> dict[str, tuple[Any, Line]]:
    """By what a line is about: what counts as a change of it, and the line."""
    seen, words = glance.inspection, _WORDS[language]
    lines: dict[str, tuple[Any, Line]] = {}
    for number, (result, line) in enumerate(zip(seen.results, _check_lines(seen, language), strict=True)):
        lines[f"{number} {result.check}"] = ((result.status, result.reason), line)
    state = _state_line(seen, language, overdue=glance.is_overdue)
    row = seen.shown.row
    lines["state"] = ((glance.state, row.hold, row.next_look_at, glance.is_overdue), state)
    told = words["asked"] if glance.asked else glance.unasked
    # Why a look could not be asked for holds a number of seconds; which is no news every time.
    lines["look"] = (seen.at if glance.asked else bool(told), (words["look"], "", "", told))
    if not told:
        lines.pop("look")
    for key, line in _ttl_lines(seen, glance.old, language):
        lines[f"ttl {key}"] = (True, line)
    return lines


class _Screen:
    """The whole picture on a terminal, drawn anew every second, so that times run."""

    def __init__(self, language: Language, live: Any) -> None:
        self._language = language
        self._live = live
        self._glance: Glance | None = None

    def show(self, glance: Glance) -> None:
        self._glance = glance
        self._draw()

    async def pause(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            self._draw()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        assert self._glance is not None
        words = _WORDS[self._language]
        table = Table(*(words[each] for each in ("check", "weight", "status", "sentence")), box=None, pad_edge=False)
        notes = [time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())]
        for key, (_, line) in _lines(self._glance, self._language).items():
            if key.partition(" ")[0].isdecimal():
                table.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in line))
            else:
                notes.append(line[3])
        # The table comes last: where the terminal is too small its end is cut, and that is advice.
        self._live.update(Group(*(Text(printable(note)) for note in notes), table), refresh=True)


_STYLES = {"pass": "green", "warn": "yellow", "fail": "red", "temp": "magenta"}
