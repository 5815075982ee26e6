"""Reads encoded words (RFC 2047) in the text of a header field. Never raises: what cannot be read stays as it is."""

from __future__ import annotations

import binascii
import codecs
import re

# Every part ends before the next question mark, so that no text takes more than one pass.
_WORD = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!->@-~]{0,40})?\?([bBqQ])\?([^?]*)\?=")

# Python takes them for charsets; some need quadratic time, none is one of mail.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})


def decode_words(text: str) -> str:
    """`text` with its encoded words as the characters they stand for.

    White space between two words goes (RFC 2047 6.2). Neighbours in the same charset are decoded together, since many
    programs cut through a character. A word of an unknown charset or with broken coding stays as it was written.
    """
    if "=?" not in text:
        return text
    found: list[str] = []
    run: list[re.Match[str]] = []
    end = 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        if not run or between.strip(" \t") or word[1].lower() != run[0][1].lower():
            found.append(_decoded(run))
            # Between two words of different charsets white space goes as well.
            found.append(between if not run or between.strip(" \t") else "")
            run = []
        run.append(word)
        end = word.end()
    return "".join((*found, _decoded(run), text[end:]))


def _decoded(run: list[re.Match[str]]) -> str:
    """What words of one charset say together."""
    if not run:
        return ""
    as_written = " ".join(word[0] for word in run)
    try:
        if codecs.lookup(run[0][1]).name.replace("-", "_") in _NO_CHARSETS:
            return as_written
        characters = b"".join(map(_octets, run)).decode(run[0][1], "replace")
    except (LookupError, ValueError):  # unknown charset; no text encoding; broken base64
        return as_written
    # UTF-7 can smuggle in lone surrogates, which no other text here holds.
    return characters.encode("utf-8", "replace").decode("utf-8")


def _octets(word: re.Match[str]) -> bytes:
    coded = word[3].encode("ascii", "replace")
    if word[2] in "bB":
        return binascii.a2b_base64(coded + b"===")
    return binascii.a2b_qp(coded, header=True)
