"""The only ways a message may be changed: header lines put in front, and whole header lines spliced.

Plugins return `AddHeader`, `ReplaceHeader`, `RemoveHeader`; the core turns them into `Edits`, which are plain data and
render a body without ever holding a second copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import Header
from typing import Any

from gateway.mail.address import Address
from gateway.mail.body import CHUNK, Body

MAX_LINE = 998  # RFC 5322 2.1.1, without CRLF
MAX_VALUE = 16_384
_NAME = re.compile(r"[A-Za-z0-9][!-9;-~]*\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]+")
# Trace and signature fields say who handled a message; a plugin that could write them could forge that.
RESERVED = frozenset({"received", "dkim-signature", "return-path", "delivered-to", "arc-seal", "arc-message-signature"})


class EditError(ValueError):
    """A header edit that must not reach the wire."""


@dataclass(frozen=True, slots=True)
class EveryCopy:
    """The edit is for all recipients."""


@dataclass(frozen=True, slots=True)
class ForMembers:
    """The edit is for the copies that reach recipients by way of `mailbox` (the mailbox itself included)."""

    mailbox: Address


@dataclass(frozen=True, slots=True)
class ForRecipient:
    """The edit is for the copy of one final recipient."""

    address: Address


Scope = EveryCopy | ForMembers | ForRecipient


@dataclass(frozen=True, slots=True)
class AddHeader:
    """Put `name: value` in front. Control characters in the value are dropped, non-ASCII is coded by RFC 2047."""

    name: str
    value: str
    scope: Scope = EveryCopy()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_value(self.name, self.value)


@dataclass(frozen=True, slots=True)
class ReplaceHeader:
    """Replace the topmost field `name`. May break a DKIM signature; the trace says so."""

    name: str
    value: str
    scope: Scope = EveryCopy()

    def __post_init__(self) -> None:
        check_name(self.name)
        check_value(self.name, self.value)


@dataclass(frozen=True, slots=True)
class RemoveHeader:
    """Remove every field `name`. May break a DKIM signature; the trace says so."""

    name: str
    scope: Scope = EveryCopy()

    def __post_init__(self) -> None:
        check_name(self.name)


HeaderEdit = AddHeader | ReplaceHeader | RemoveHeader


def check_name(name: str) -> None:
    """Raises `EditError` for a name that is no field name (RFC 5322 2.2) or is reserved for the mail system itself."""
    if not _NAME.match(name) or len(name) > 76:
        raise EditError(f"{name!r} is no header field name")
    if name.lower() in RESERVED:
        raise EditError(f"{name} is written by the mail system only")


def check_value(name: str, value: str) -> None:
    """Raises `EditError` for what `header_line` refuses: raised in the hook already, the plugin's policy applies."""
    if not isinstance(value, str):
        raise EditError(f"the value of {name} is {type(value).__name__}, not text")
    if len(value) > MAX_VALUE:
        raise EditError(f"the value of {name} is longer than {MAX_VALUE} characters")


def header_line(name: str, value: str) -> str:
    """One field without its final CRLF: ASCII, folded to 76 columns where possible, no line over 998 octets."""
    check_value(name, value)
    value = _CONTROL.sub(" ", value).strip()
    if value.isascii() and len(name) + 2 + len(value) <= 76:
        return f"{name}: {value}"
    charset = "us-ascii" if value.isascii() else "utf-8"
    text = Header(value, charset=charset, header_name=name, maxlinelen=76).encode(linesep="\r\n")
    line = f"{name}: {text}"
    if any(len(part) > MAX_LINE for part in line.split("\r\n")):
        text = Header(value, charset="utf-8", header_name=name, maxlinelen=76).encode(linesep="\r\n")
        line = f"{name}: {text}"
    return line


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """Header bytes `start`..`end` of the body give way to `replacement` (whole lines with their CRLF, or nothing)."""

    start: int
    end: int
    replacement: str = ""


@dataclass(frozen=True, slots=True)
class Edits:
    """What is done to the bytes of one copy. `prepend`: fields without their final CRLF, topmost first.

    `may_break_dkim` names the signed fields that a splice touches.
    """

    prepend: tuple[str, ...] = ()
    splices: tuple[Splice, ...] = ()
    may_break_dkim: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        position = 0
        for splice in self.splices:
            if not position <= splice.start <= splice.end:
                raise EditError("splices must be sorted and must not overlap")
            position = splice.end

    @property
    def head(self) -> bytes:
        """The bytes in front of the body."""
        return ("\r\n".join(self.prepend) + "\r\n").encode() if self.prepend else b""

    def length(self, body: Body) -> int:
        """Octets that `chunks` will give (RFC 1870 counts CRLF as two)."""
        length = len(self.head) + len(body)
        for splice in self.splices:
            length += len(splice.replacement.encode()) - (splice.end - splice.start)
        return length

    def beginning(self, body: Body) -> tuple[bytes, int]:
        """What is edited, in one piece, and the position from which on the bytes of `body` follow as they are.

        Reads `body` only where there are splices.
        """
        if not self.splices:
            return self.head, 0
        parts = [self.head]
        position = 0
        for splice in self.splices:
            parts.append(body.read(position, splice.start))
            parts.append(splice.replacement.encode())
            position = splice.end
        return b"".join(parts), position

    def chunks(self, body: Body, size: int = CHUNK) -> Iterator[bytes]:
        """The edited message in pieces; the first is what is edited and the first `size` bytes behind it in one."""
        first, position = self.beginning(body)
        if first:
            following = body.read(position, position + size)
            position += len(following)
            yield first + following
        yield from body.chunks(size, position)

    def render(self, body: Body) -> bytes:
        """The edited message as one bytes object; for tests and small messages."""
        return b"".join(self.chunks(body))

    def with_lines(self, lines: tuple[str, ...]) -> Edits:
        """The same edits with further fields on top."""
        return Edits(lines + self.prepend, self.splices, self.may_break_dkim) if lines else self

    def to_json(self) -> dict[str, Any]:
        return {
            "prepend": list(self.prepend),
            "splices": [[s.start, s.end, s.replacement] for s in self.splices],
            "may_break_dkim": list(self.may_break_dkim),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Edits:
        splices = tuple(Splice(*row) for row in data["splices"])
        return cls(tuple(data["prepend"]), splices, tuple(data["may_break_dkim"]))


NO_EDITS = Edits()
