"""How large a message's attachments are once decoded: one pass over its bytes, in pieces, without decoding them.

Python's parser is not used: it holds a message three times over and its work grows with the number of lines, and here
only large messages are looked at. Nothing here knows a limit.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import Protocol

PIECE = 256 * 1024
MAX_DEPTH = 100  # multiparts within multiparts, as Postfix
MAX_PARTS = 10_000
MAX_PART_HEADER = 64 * 1024
MAX_BOUNDARY = 998

_VALUE = rb"[^\r\n]*(?:\r\n[ \t][^\r\n]*)*"
_FIELD = re.compile(rb"^content-(type|transfer-encoding|disposition)[ \t]*:(%s)" % _VALUE, re.IGNORECASE | re.MULTILINE)
_FIELDS = re.compile(rb"(?:>?From [^\r\n]*\r\n)?(?:[!-9;-~]+[ \t]*:%s\r\n)*" % _VALUE)
_MEDIA_TYPE = re.compile(rb"\s*([^\s;()/]+)/([^\s;()/]+)")
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE | re.DOTALL)
_FILENAME = re.compile(rb";\s*(?:file)?name\*?[\d*]*\s*=", re.IGNORECASE)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_MAX_PADDING = 100  # white space behind a delimiter


class Bytes(Protocol):
    """What is measured: the body of a message."""

    @property
    def header_block(self) -> bytes: ...
    def __len__(self) -> int: ...
    def read(self, start: int, end: int) -> bytes: ...


def attachment_bytes(body: Bytes) -> int | None:
    """The octets of all attachments together, as a mail reader would save them; None for a structure without end.

    An attachment is every part that holds no parts and is not text/plain or text/html without a file name. Parts in
    forwarded messages count. Base64 is counted as three octets for four characters of its alphabet, quoted-printable is
    decoded, everything else counts as it is transferred.
    """
    try:
        return _Walk(body).total()
    except _NoStructure:
        return None


class _NoStructure(Exception):
    """Deeper or of more parts than anything real."""


@dataclass(slots=True)
class _Part:
    """What the header of a part tells. `boundary` only for a multipart that has one."""

    main: bytes = b"text"
    sub: bytes = b"plain"
    boundary: bytes = b""
    coding: bytes = b""
    named: bool = False

    @property
    def is_message(self) -> bool:
        return self.main == b"message" and self.sub in {b"rfc822", b"global", b"news"} and not self.is_coded

    @property
    def is_coded(self) -> bool:
        return self.coding in {b"base64", b"quoted-printable"}

    @property
    def is_attachment(self) -> bool:
        if self.main == b"multipart":
            return False
        return self.named or self.main != b"text" or self.sub not in {b"plain", b"html"}


def _part(header: bytes) -> _Part:
    part = _Part()
    seen: set[bytes] = set()
    for name, value in _FIELD.findall(header):
        name, value = name.lower(), value.replace(b"\r\n", b"")
        if name in seen:
            continue
        seen.add(name)
        if name == b"transfer-encoding":
            part.coding = value.strip().lower()
            continue
        part.named |= _FILENAME.search(value) is not None
        if name == b"disposition":
            part.named |= value.strip().lower().startswith(b"attachment")
            continue
        media = _MEDIA_TYPE.match(value)
        if media:
            part.main, part.sub = media[1].lower(), media[2].lower()
        found = _BOUNDARY.search(value)
        if found and part.main == b"multipart":
            boundary = found[2] if found[1] is None else _QUOTED_PAIR.sub(rb"\1", found[1])
            part.boundary = boundary.rstrip() if len(boundary) <= MAX_BOUNDARY else b""
    return part


@dataclass(slots=True)
class _Counter:
    """Counts the decoded octets of one attachment; `coding` None counts nothing."""

    coding: bytes | None
    octets: int = 0
    characters: int = 0
    rest: bytes = b""

    def feed(self, piece: bytes) -> None:
        if self.coding == b"base64":
            self.characters += len(piece.translate(None, _NOT_BASE64))
        elif self.coding == b"quoted-printable":
            whole = self.rest + piece
            end = whole.rfind(b"\n") + 1 or len(whole)
            self.octets += len(binascii.a2b_qp(whole[:end]))
            self.rest = whole[end:]
        elif self.coding is not None:
            self.octets += len(piece)

    def total(self) -> int:
        return self.octets + self.characters * 3 // 4 + len(binascii.a2b_qp(self.rest))


@dataclass(slots=True)
class _Walk:
    """One pass. `boundaries`: those of the multiparts around the present position, outermost first."""

    body: Bytes
    boundaries: list[bytes] = field(default_factory=list)
    parts: int = 0
    octets: int = 0

    def total(self) -> int:
        header = self.body.header_block
        self.parts = 1
        position: int | None = len(header) + 2
        part: _Part | None = _part(header)
        while position is not None:
            while part is not None and part.is_message:
                part, position = self._next_part(position)
            if part is not None and part.boundary:
                self.boundaries.append(part.boundary)
                if len(self.boundaries) > MAX_DEPTH:
                    raise _NoStructure
            coding = part.coding if part is not None and part.is_attachment else None
            counter = _Counter(coding)
            part, position = self._content(position, counter)
            self.octets += counter.total()
        return self.octets

    def _next_part(self, position: int) -> tuple[_Part, int]:
        """The part whose header begins at `position`, and where its content begins."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise _NoStructure
        window = self.body.read(position, position + MAX_PART_HEADER)
        found = _FIELDS.match(window)
        end = found.end() if found else 0
        return _part(window[:end]), position + end + (2 if window[end : end + 2] == b"\r\n" else 0)

    def _content(self, start: int, counter: _Counter) -> tuple[_Part | None, int | None]:
        """Count from `start` to the next delimiter line. The part behind it with the start of its content.

        No part behind a closing delimiter; no position at the end of the body.
        """
        depths = {boundary: depth for depth, boundary in enumerate(self.boundaries)}
        alternatives = b"|".join(map(re.escape, sorted(depths, key=len, reverse=True)))
        delimiter = re.compile(rb"\r\n--(%s)(--)?[ \t]{0,%d}(\r\n|\Z)" % (alternatives, _MAX_PADDING))
        overlap = max(map(len, self.boundaries), default=0) + _MAX_PADDING + 8
        position = start - 2  # the line end before the content is that of a delimiter which follows at once
        skip = 2
        while True:
            window = self.body.read(position, position + PIECE)
            is_last = position + len(window) >= len(self.body)
            found = delimiter.search(window) if self.boundaries else None
            if found and (found[3] or is_last):
                counter.feed(window[skip : found.start()])
                return self._behind(depths[found[1]], bool(found[2]), position + found.end())
            if is_last:
                counter.feed(window[skip:])
                return None, None
            kept = len(window) - overlap
            counter.feed(window[skip:kept])
            position += kept
            skip = 0

    def _behind(self, depth: int, is_close: bool, position: int) -> tuple[_Part | None, int]:
        if is_close:
            del self.boundaries[depth:]
            return None, position
        del self.boundaries[depth + 1 :]
        return self._next_part(position)
