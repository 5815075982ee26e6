"""The header fields of a message as byte slices: found by position, decoded only when asked, never re-serialised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.mail.encoded_words import decode_words

MAX_TEXT_OCTETS = 65_536

# RFC 5322 2.2: printable ASCII except the colon; white space before the colon is obsolete (4.5.8) and still seen.
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_NEXT_FIELD = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `name` in lower case, `raw` with folds and final CRLF, `start`..`end` its span in the header."""

    name: str
    raw: bytes
    start: int
    end: int

    @property
    def value(self) -> str:
        """The unfolded text after the colon, without surrounding white space. Undecodable bytes become U+FFFD."""
        _, _, text = self.raw.partition(b":")
        return _FOLD.sub("", text.decode("utf-8", "replace")).strip()

    def cut(self, octets: int) -> Field:
        """The field with no more than its first `octets`."""
        return self if len(self.raw) <= octets else replace(self, raw=self.raw[:octets])


@dataclass(frozen=True, slots=True)
class HeaderText:
    """What a reader sees in a field. Not `is_whole`: more of it was not looked at, and may say anything."""

    text: str
    is_whole: bool = True


class Headers:
    """All fields of a header block, in order. Lines that are no field are kept in place and not listed."""

    def __init__(self, block: bytes) -> None:
        self._fields: list[Field] = []
        position = 0
        while position < len(block):
            found = _NEXT_FIELD.search(block, position)
            end = found.end() if found else len(block)
            raw = block[position:end]
            name = _FIELD.match(raw)
            if name:
                self._fields.append(Field(name[1].decode("ascii").lower(), raw, position, end))
            position = end

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def all(self, name: str) -> list[Field]:
        """Every field of that name, topmost first."""
        wanted = name.lower()
        return [field for field in self._fields if field.name == wanted]

    def first(self, name: str) -> Field | None:
        """The topmost field of that name. What follows it may contradict it: see `all`."""
        wanted = name.lower()
        return next((field for field in self._fields if field.name == wanted), None)

    def get(self, name: str, default: str = "") -> str:
        """The value of the topmost field of that name, unfolded, or `default`."""
        field = self.first(name)
        return default if field is None else field.value

    def texts(self, name: str, most: int = MAX_TEXT_OCTETS) -> list[str]:
        """What a reader sees in every field of that name: encoded words (RFC 2047) are read.

        At most `most` octets of all those fields together are looked at; a header may be a megabyte long.
        """
        return [piece.text for piece in self.pieces(name, most) if piece.is_whole or piece.text]

    def pieces(self, name: str, most: int = MAX_TEXT_OCTETS) -> list[HeaderText]:
        """The same for who must know whether a text is all there: one for every field, empty for what comes behind."""
        found: list[HeaderText] = []
        for field in self.all(name):
            if len(field.raw) <= most:
                found.append(HeaderText(decode_words(field.value)))
            else:
                found.append(HeaderText(decode_words(_without_half_a_word(field.cut(max(most, 0)).value)), False))
            most -= len(field.raw)
        return found

    def count(self, name: str) -> int:
        return len(self.all(name))

    def signed_names(self) -> frozenset[str]:
        """Names listed in the h= tag of any DKIM-Signature (RFC 6376 3.5): changing those may break the signature."""
        names: set[str] = set()
        for signature in self.all("dkim-signature"):
            tags = dict(tag.partition("=")[::2] for tag in re.sub(r"\s+", "", signature.value).split(";"))
            names.update(name.lower() for name in tags.get("h", "").split(":") if name)
        return frozenset(names)


def _without_half_a_word(text: str) -> str:
    """`text` without an encoded word (RFC 2047) at its end, where it was cut: half of one reads as gibberish."""
    front, space, last = text.rpartition(" ")
    return front + space if last.startswith("=?") else text
