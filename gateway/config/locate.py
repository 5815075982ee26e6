"""Finds the line on which a key of a TOML text stands; it trusts that `tomllib` has accepted the text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Keys and array indices from the top of the file: `("listener", 0, "address")`."""

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' + r"'''.*?'{3,5}" + r'|"(?:\\.|[^"\\])*"|' + r"'[^']*'"
    r"|(?P<comment>#[^\n]*)|(?P<space>[ \t\r]+)|\n|[\[\]{},=.]|[^\s\"'#\[\]{},=.]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, of every key, table and array element of `text`, by its path."""
    return _Scanner(text).lines


def locate(text: str, path: KeyPath) -> int | None:
    """The line of the key at `path`, or else of the nearest table around it; None when nothing of it is in the text."""
    return nearest_line(key_lines(text), path)


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """As `locate`, for a text that was scanned before."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


class _Scanner:
    """One pass over the tokens, statement by statement; comments and blanks are dropped at once."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._elements: dict[KeyPath, int] = {}
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup is None:
                self._tokens.append((match[0], line))
            line += match[0].count("\n")
        self._tokens.append(("", line))
        self._document()

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> tuple[str, int]:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _skip(self, *tokens: str) -> None:
        while self._peek() in tokens:
            self._at += 1

    def _note(self, path: KeyPath, line: int) -> None:
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)

    def _document(self) -> None:
        table: KeyPath = ()
        self._skip("\n")
        while self._peek():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip("\n")

    def _header(self) -> KeyPath:
        _, line = self._next()
        is_array = self._peek() == "["
        self._skip("[")
        keys = self._key()
        self._skip("]")
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last_element((*path, key))
        path = (*path, keys[-1])
        if is_array:
            self._elements[path] = self._elements.get(path, -1) + 1
            path = self._last_element(path)
        self._note(path, line)
        return path

    def _last_element(self, path: KeyPath) -> KeyPath:
        return (*path, self._elements[path]) if path in self._elements else path

    def _key(self) -> list[str]:
        keys = [_plain_key(self._next()[0])]
        while self._peek() == ".":
            self._at += 1
            keys.append(_plain_key(self._next()[0]))
        return keys

    def _pair(self, table: KeyPath) -> None:
        line = self._tokens[self._at][1]
        path = (*table, *self._key())
        self._note(path, line)
        self._skip("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._peek() == "[":
            self._array(path)
        elif self._peek() == "{":
            self._inline_table(path)
        else:
            # A number or date may hold a dot and a blank, so a plain value is several tokens.
            while self._peek() not in {",", "]", "}", "\n", ""}:
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._skip("\n", ",")
        while self._peek() not in {"]", ""}:
            element = (*path, index)
            self.lines[element] = self._tokens[self._at][1]
            self._value(element)
            index += 1
            self._skip("\n", ",")
        self._skip_one("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip("\n", ",")
        while self._peek() not in {"}", ""}:
            self._pair(path)
            self._skip("\n", ",")
        self._skip_one("}")

    def _skip_one(self, token: str) -> None:
        if self._peek() == token:
            self._at += 1


def _plain_key(token: str) -> str:
    if token[:1] in {'"', "'"}:
        value: str = tomllib.loads(f"key = {token}")["key"]
        return value
    return token
