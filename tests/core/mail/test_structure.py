"""MIME trees and their copies."""

from __future__ import annotations

from email.message import Message as Tree

import pytest

from gateway.mail.body import MemoryBody
from gateway.mail.structure import copied, parse

MIXED = b"""From x
Content-Type: multipart/digest; boundary=b
Subject: =?utf-8?q?x?=\xff

in front
--b

Subject: inner

text
--b
Content-Type: message/rfc822

Content-Type: multipart/mixed; boundary=c

--c
Content-Type: text/plain; charset=utf-8

\xc3\xa4
--c--
--b--
behind
""".replace(b"\n", b"\r\n")


def nested(levels: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels))


def parsed(raw: bytes) -> Tree:
    tree = parse(MemoryBody(raw))
    assert tree is not None
    return tree


@pytest.mark.parametrize("raw", [b"", b"Subject: x\r\n\r\nhello\r\n", MIXED, MIXED[:200], nested(50)])
def test_g8_a_copy_is_equal_in_every_part_and_shares_none(raw: bytes) -> None:
    tree = parsed(raw)
    copy = copied(tree)
    assert copy.as_bytes() == tree.as_bytes()
    for part, other in zip(tree.walk(), copy.walk(), strict=True):
        assert part is not other
        assert [*part.raw_items()] == [*other.raw_items()]
        assert (part.preamble, part.epilogue, part.defects) == (other.preamble, other.epilogue, other.defects)
        assert (part.get_unixfrom(), part.get_default_type()) == (other.get_unixfrom(), other.get_default_type())
        assert part.get_payload() is not other.get_payload() or not part.is_multipart()


def test_g8_a_copy_costs_no_octets() -> None:
    tree = parsed(b"\r\n" + b"x" * 1_000_000)
    assert vars(copied(tree))["_payload"] is vars(tree)["_payload"]


def deepest() -> int:
    """The deepest nesting that the parser takes."""
    low, high = 1, 5000
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if parse(MemoryBody(nested(middle))) is not None else (low, middle - 1)
    return low


@pytest.mark.slow
def test_m6_whatever_the_parser_takes_can_be_copied() -> None:
    levels = deepest()
    assert levels > 100
    parts, part = 0, copied(parsed(nested(levels)))
    while part.is_multipart():
        parts, part = parts + 1, part.get_payload(0)  # type: ignore[assignment]
    assert parts >= levels - 1
