"""What is wrong with a text that is not TOML, in words that say what to write instead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection

_AT_POSITION = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
_PAIR = re.compile(r"\s*(?P<key>[\w.\"'-]+)\s*=\s*(?P<value>[^#\n]*?)\s*(?:#.*)?\Z")
_HEADER = re.compile(r"\s*\[+\s*(?P<name>[^\]]+?)\s*\]+")
_BARE_TEXT = re.compile(r"[A-Za-z/][\w./:@+-]*\Z")
_IMMUTABLE = "cannot mutate immutable namespace"
_TRUTHS = {"yes", "no", "on", "off", "true", "false"}


def syntax_problem(source: str, text: str, error: tomllib.TOMLDecodeError, arrays: Collection[str]) -> str:
    """One line for `error`, which came of `text` in the file `source`; `arrays`: tables that are written [[...]]."""
    match = _AT_POSITION.match(str(error))
    what = match["what"] if match else str(error)
    if match is None or match["line"] is None:
        lines = text.rstrip().split("\n")
        advice = _advice(what, lines[-1], arrays)
        return f"{source}:{len(lines)}: not TOML: {advice} (at the end of the file)"
    return f"{source}:{match['line']}:{match['column']}: not TOML: {_advice(what, _line(text, match), arrays)}"


def _line(text: str, match: re.Match[str]) -> str:
    lines = text.split("\n")
    return lines[min(int(match["line"]), len(lines)) - 1]


def _advice(what: str, line: str, arrays: Collection[str]) -> str:
    said = what[:1].lower() + what[1:]
    pair, header = _PAIR.match(line), _HEADER.match(line)
    if header and (said.startswith("cannot declare") or said in {"cannot overwrite a value", _IMMUTABLE}):
        name = header["name"]
        if name in arrays:
            return f"[{name}] stands here a second time; write [[{name}]] above each of them"
        return f"[{name}] stands here a second time; put its keys under the first one"
    if pair and said == "cannot overwrite a value":
        return f'"{pair["key"]}" stands here a second time; keep one of the two'
    # An address with a password in it must not reach a log.
    if pair and said == "invalid value" and "://" not in pair["value"]:
        return f"found {pair['key']} = {_short(pair['value'])}; expected {_expected(pair['value'])}"
    return said


def _expected(value: str) -> str:
    if value.lower() in _TRUTHS:
        return "true or false"
    if _BARE_TEXT.match(value):
        return f'text in quotes: "{_short(value)}"'
    return 'a number, true, false, "text in quotes" or a [list]'


def _short(value: str) -> str:
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
