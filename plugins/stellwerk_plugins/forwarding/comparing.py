"""Compares one text of a header with what a condition says. Of a text that was cut, only what stays true counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gateway.api import HeaderText
from stellwerk_plugins.forwarding.conditions import TextCondition
from stellwerk_plugins.forwarding.texts import compiled, compiled_glob

Fits = Callable[[HeaderText], bool | None]
"""None: what was cut off decides."""

# In RE2 nothing else looks at what stands behind a match. Where one of these is meant literally, it costs a None.
_looks_behind = re.compile(r"\$|\\[zbB]").search


def comparison(condition: TextCondition) -> Fits:
    """A condition without a comparison takes every text."""
    if condition.equals:
        wanted = frozenset(text.casefold() for text in condition.equals)
        return lambda piece: piece.text.casefold() in wanted if piece.is_whole else None
    if condition.contains:
        words = [word.casefold() for word in condition.contains]
        return lambda piece: _holds_one(piece.text.casefold(), words) or _no(piece)
    if condition.glob:
        whole = [compiled_glob(glob) for glob in condition.glob]
        # What ends in * fits whatever follows.
        open_ended = [compiled_glob(glob) for glob in condition.glob if glob.endswith("*")]
        return lambda piece: _matches_one(piece.text, whole if piece.is_whole else open_ended) or _no(piece)
    if condition.pattern:
        patterns = [(compiled(pattern), _looks_behind(pattern) is not None) for pattern in condition.pattern]
        return lambda piece: any(_matches(piece, *pattern) for pattern in patterns) or _no(piece)
    return lambda piece: True


def _no(piece: HeaderText) -> bool | None:
    return False if piece.is_whole else None


def _holds_one(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)


def _matches_one(text: str, patterns: Sequence[Any]) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _matches(piece: HeaderText, pattern: Any, looks_behind: bool) -> bool:
    found = pattern.search(piece.text)
    if not found or piece.is_whole or not looks_behind:
        return bool(found)
    return bool(found.end() < len(piece.text))
