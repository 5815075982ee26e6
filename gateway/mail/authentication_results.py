"""Authentication-Results (RFC 8601) as trusted servers wrote them: read from the header, every input survived.

Nothing here verifies anything: what counts is what a server in front says that it has verified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from gateway.mail.headers import Field, Headers

FIELD = "authentication-results"
Verdict = Literal["pass", "fail", "none"]

_MAX_FIELD = 16_384
_MAX_FIELDS = 20
_MAX_RESULTS = 100
_LONGEST_COMMENT_IN_FRONT = 2000
# RFC 8601 2.7: what says that a check was made and the message did not stand it. An error, neutral and a word we do
# not know say nothing, and neither does a check that was never made.
_FAILURES = frozenset({"fail", "softfail", "hardfail", "policy"})
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_VALUE = re.compile(r'(?:"((?:[^"\\]|\\.)*)")?([^\s;"()]*)', re.DOTALL)
_AUTHSERV_ID = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s;"()]+)', re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_NO_END = "a comment or a quoted string has no end"


class _UnreadableError(ValueError):
    """A comment or quoted string without an end: nothing behind it can be told apart."""


@dataclass(frozen=True, slots=True)
class TrustedServers:
    """Whose results count: fields that name one of `authserv_ids` (lower case) and stand high enough.

    The servers in front write `received` Received fields between them; a field below the next one came with the mail.
    """

    authserv_ids: frozenset[str] = frozenset()
    received: int = 1


NO_SERVERS = TrustedServers()


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """What one server found by one method: `dkim=pass header.d=example.org` (RFC 8601 2.2).

    `method`, `result` and the names of `properties` (`header.d`, `smtp.mailfrom`) are in lower case; values and
    `reason` are text from outside. `authserv_id` is the server that says so.
    """

    method: str
    result: str
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""
    authserv_id: str = ""

    @property
    def verdict(self) -> Verdict:
        """`pass`, `fail`, or `none` where the result says neither (none, neutral, temperror, permerror, unknown)."""
        if self.result == "pass":
            return "pass"
        return "fail" if self.result in _FAILURES else "none"

    def __str__(self) -> str:
        return " ".join([f"{self.method}={self.result}", *(f"{k}={v}" for k, v in self.properties.items())])


@dataclass(frozen=True, slots=True)
class Authentication:
    """What the trusted servers in front found out about a message; empty when they said nothing.

    `fields` has the results of each field, topmost first. `ignored` counts the fields in a trusted server's name that
    are not read: too far down, too many, too long, or broken.
    """

    fields: tuple[tuple[AuthenticationResult, ...], ...] = ()
    ignored: int = 0

    @property
    def results(self) -> tuple[AuthenticationResult, ...]:
        """Everything that was said, in the order of the header."""
        return tuple(result for field in self.fields for result in field)

    def of(self, method: str) -> tuple[AuthenticationResult, ...]:
        """The results of one method (`spf`, `dkim`, `dmarc`, ...) in the topmost field that speaks of it.

        That field was written last. DKIM has a result for each signature.
        """
        wanted = method.lower()
        told = (tuple(result for result in field if result.method == wanted) for field in self.fields)
        return next(filter(None, told), ())

    def verdict(self, method: str) -> Verdict:
        """Of what `of` gives: `pass` when any passed, else `fail` when any failed, else `none`: nobody can tell."""
        verdicts = {result.verdict for result in self.of(method)}
        return "pass" if "pass" in verdicts else "fail" if "fail" in verdicts else "none"


NO_AUTHENTICATION = Authentication()


def read(headers: Headers, servers: TrustedServers) -> Authentication:
    """What `servers` say in `headers`. Never raises: a field that cannot be read counts as ignored."""
    if not servers.authserv_ids:
        return NO_AUTHENTICATION
    fields: list[tuple[AuthenticationResult, ...]] = []
    ignored = 0
    for found, is_high_enough in _claims(headers, servers):
        if not is_high_enough or len(fields) == _MAX_FIELDS or len(found.raw) > _MAX_FIELD:
            ignored += 1
            continue
        try:
            fields.append(tuple(parse(found.value)))
        except _UnreadableError:
            ignored += 1
    return Authentication(tuple(fields), ignored)


def parse(value: str) -> list[AuthenticationResult]:
    """The results of one unfolded field. A result that breaks the grammar is left out, the others stay.

    Raises ValueError where a comment or a quoted string never ends.
    """
    scanner = _Scanner(value)
    named = scanner.take(_AUTHSERV_ID)
    if named is None:
        return []
    authserv_id = _unquoted(*named.groups()).lower()
    found: list[AuthenticationResult] = []
    scanner.to_next_result()
    while scanner.take_character(";") and len(found) < _MAX_RESULTS:
        result = _result(scanner, authserv_id)
        if result is not None and scanner.is_at_end_of_result():
            found.append(result)
        scanner.to_next_result()
    return found


def authserv_id(value: str) -> str | None:
    """Whom a field speaks for, in lower case, "" for nobody; None when a comment in front has no end.

    RFC 8601 2.2: comments may stand on both sides of it, and it may be a quoted string.
    """
    scanner = _Scanner(value[:_LONGEST_COMMENT_IN_FRONT])
    try:
        named = scanner.take(_AUTHSERV_ID)
    except _UnreadableError:
        return None
    return "" if named is None else _unquoted(*named.groups()).lower()


def _claims(headers: Headers, servers: TrustedServers) -> Iterator[tuple[Field, bool]]:
    """The fields in a trusted server's name, and whether each stands above what came with the mail."""
    received = 0
    for each in headers:
        if each.name == "received":
            received += 1
        elif each.name == FIELD and authserv_id(each.value) in servers.authserv_ids:
            yield each, received <= servers.received


def _result(scanner: _Scanner, authserv_id: str) -> AuthenticationResult | None:
    """The method, its result, and all behind them; None where the grammar is broken or the field says `none`."""
    method = scanner.take(_WORD)
    if method is None:
        return None
    if scanner.take_character("/"):
        scanner.take(_WORD)
    result = scanner.take(_WORD) if scanner.take_character("=") else None
    if result is None:
        return None
    properties: dict[str, str] = {}
    while (name := scanner.take(_WORD)) is not None:
        key = name[0].lower()
        if scanner.take_character("."):
            part = scanner.take(_WORD)
            if part is None:
                return None
            key = f"{key}.{part[0].lower()}"
        elif key != "reason":
            return None
        if not scanner.take_character("="):
            return None
        properties.setdefault(key, scanner.take_value())
    reason = properties.pop("reason", "")
    return AuthenticationResult(method[0].lower(), result[0].lower(), MappingProxyType(properties), reason, authserv_id)


def _unquoted(quoted: str | None, plain: str | None) -> str:
    return (_QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else "") + (plain or "")


class _Scanner:
    """A position in a field's value. White space and comments (RFC 5322 3.2.2, nested) are passed over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches here, and go behind it."""
        self._pass_over()
        found = pattern.match(self._text, self._position)
        if found is not None:
            self._position = found.end()
        return found

    def take_character(self, character: str) -> bool:
        self._pass_over()
        is_here = self._text.startswith(character, self._position)
        self._position += is_here
        return is_here

    def take_value(self) -> str:
        """A token, a quoted string, or an address whose local part is quoted; may be empty."""
        found = self.take(_VALUE)
        return "" if found is None else _unquoted(*found.groups())

    def is_at_end_of_result(self) -> bool:
        self._pass_over()
        return self._position >= len(self._text) or self._text[self._position] == ";"

    def to_next_result(self) -> None:
        """To the next semicolon outside of comments and quoted strings, or to the end."""
        while not self.is_at_end_of_result():
            if self._text[self._position] == '"':
                found = _AUTHSERV_ID.match(self._text, self._position)
                if found is None:
                    raise _UnreadableError(_NO_END)
                self._position = found.end()
            else:
                self._position += 1

    def _pass_over(self) -> None:
        text, position, depth = self._text, self._position, 0
        while position < len(text):
            character = text[position]
            if depth and character == "\\":
                position += 1
            elif character == "(":
                depth += 1
            elif depth and character == ")":
                depth -= 1
            elif not depth and not character.isspace():
                break
            position += 1
        if depth:
            raise _UnreadableError(_NO_END)
        self._position = position
