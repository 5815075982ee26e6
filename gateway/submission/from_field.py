"""The mailboxes of From and Sender (RFC 5322 3.4), read from left to right; names are put back into them. Pure.

What two programs could read differently is refused: the address that was checked must be the one that people see. So
there are no groups, no routes and no bare @ in a name. No input takes more than one pass or raises but `FieldError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.header import Header

from gateway.mail.address import Address, AddressError
from gateway.mail.encoded_words import decode_words

MOST_MAILBOXES = 50
MOST_CHARACTERS = 16_384
_MOST_OF_A_NAME = 600
_QUOTED_PAIR = re.compile(r"\\(.)")
_WORDS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")


class FieldError(ValueError):
    """The field cannot be read, or not in one way only; the text says why."""


@dataclass(frozen=True, slots=True)
class Named:
    """One mailbox: the `phrase` in front of the address as it was written, and the address as it was written."""

    phrase: str
    written: str
    address: Address

    @property
    def name(self) -> str:
        """The phrase as people read it."""
        text = self.phrase
        if len(text) >= 2 and text[0] == text[-1] == '"':
            text = _QUOTED_PAIR.sub(r"\1", text[1:-1])
        return decode_words(text)


def read_mailboxes(text: str) -> list[Named]:
    """The mailboxes in the value of a field (unfolded), at least one. Raises `FieldError`."""
    if len(text) > MOST_CHARACTERS:
        raise FieldError(f"it is longer than {MOST_CHARACTERS} characters")
    found = _Reader(text).all()
    if not found:
        raise FieldError("there is no address in it")
    return found


class _Reader:
    """Goes through the text once. Of the present mailbox: what stands before `<`, and what stands within."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[Named] = []
        self._begin()

    def _begin(self) -> None:
        self._before: list[str] = []
        self._bare_at = False
        self._angle: str | None = None

    def all(self) -> list[Named]:
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if character == "(":
                self._skip_comment()
                continue
            if character == ",":
                self._end_mailbox()
            elif character == "<":
                self._read_angle()
                continue
            elif character == '"':
                self._add(self._quoted())
                continue
            elif character in " \t":
                self._space()
            else:
                self._add_plain(character)
            self._at += 1
        self._end_mailbox()
        return self._found

    def _add_plain(self, character: str) -> None:
        if character in ":;":
            raise FieldError("it holds a group; write plain addresses")
        if character in ">)\\[]" or character < " " or character == "\x7f":
            raise FieldError(f"there is a {character!r} outside of quotes")
        self._bare_at = self._bare_at or character == "@"
        self._add(character)

    def _add(self, piece: str) -> None:
        if self._angle is not None:
            raise FieldError("something follows an address; a comma is missing, or the name needs quotes")
        self._before.append(piece)

    def _space(self) -> None:
        if self._before and self._before[-1] != " ":
            self._before.append(" ")

    def _quoted(self) -> str:
        start, text = self._at, self._text
        self._at += 1
        while self._at < len(text) and text[self._at] != '"':
            self._at += 2 if text[self._at] == "\\" else 1
        if self._at >= len(text):
            raise FieldError("a quote is not closed")
        self._at += 1
        quoted = text[start : self._at]
        if any(character < " " and character != "\t" for character in quoted):
            raise FieldError("there is a control character in quotes")
        return quoted

    def _skip_comment(self) -> None:
        depth, text = 0, self._text
        while self._at < len(text):
            character = text[self._at]
            self._at += 2 if character == "\\" else 1
            depth += (character == "(") - (character == ")")
            if not depth:
                self._space()
                return
        raise FieldError("a comment is not closed")

    def _read_angle(self) -> None:
        if self._angle is not None:
            raise FieldError("there are two addresses without a comma between them")
        self._at += 1
        start, text = self._at, self._text
        while self._at < len(text) and text[self._at] != ">":
            if text[self._at] == '"':
                self._quoted()
            else:
                self._at += 1
        if self._at >= len(text):
            raise FieldError("a < is not closed")
        self._angle = text[start : self._at]
        self._at += 1

    def _end_mailbox(self) -> None:
        before = "".join(self._before).strip(" ")
        if len(before) > _MOST_OF_A_NAME:
            raise FieldError(f"a name in it is longer than {_MOST_OF_A_NAME} characters")
        if self._angle is None and not before:
            self._begin()
            return
        if len(self._found) >= MOST_MAILBOXES:
            raise FieldError(f"it holds more than {MOST_MAILBOXES} addresses")
        if self._angle is None:
            self._found.append(Named("", before, _address(before)))
        elif self._bare_at:
            raise FieldError("there is an @ in the name; put the name in quotes")
        else:
            self._found.append(Named(before, self._angle, _address(self._angle.strip(" \t"))))
        self._begin()


def _address(text: str) -> Address:
    if len(text) > 512:
        raise FieldError("an address in it is too long")
    try:
        return Address.parse(text)
    except AddressError as error:
        raise FieldError(f"{text[:80]!r}: {error}") from None


def phrase(name: str) -> str:
    """`name` in front of an address: plain words, quoted, or encoded words (RFC 2047), perhaps folded."""
    if _WORDS.match(name) and "=?" not in name:
        return name
    if name.isascii() and "=?" not in name:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return Header(name, charset="utf-8", header_name="From", maxlinelen=75).encode(linesep="\r\n")


def field_line(name: str, mailboxes: list[str]) -> str:
    """A whole field of mailboxes that are written already, a line each, with its final CRLF."""
    return f"{name}: " + ",\r\n ".join(mailboxes) + "\r\n"


def written(name: str, address: str) -> str:
    """`name <address>`; the address alone without a name."""
    if not name:
        return address
    before = phrase(name)
    last_line = before.rpartition("\r\n")[2]
    return f"{before}{' ' if len(last_line) + len(address) < 70 else chr(13) + chr(10) + ' '}<{address}>"
