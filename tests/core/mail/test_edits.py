"""Header edits: no line leaves here that is not one, and octets that were not edited leave as they came."""

from __future__ import annotations

import json
import re
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.edits import (
    MAX_LINE,
    MAX_VALUE,
    NO_EDITS,
    RESERVED,
    AddHeader,
    EditError,
    Edits,
    ForMembers,
    ForRecipient,
    RemoveHeader,
    ReplaceHeader,
    Splice,
    header_line,
)
from tests.core.mail.strategies import bodies, edits_within

octets = st.binary(max_size=200)


def rendered(raw: bytes, edits: Edits) -> bytes:
    """What the edits mean, the long way round."""
    for splice in reversed(edits.splices):
        raw = raw[: splice.start] + splice.replacement.encode() + raw[splice.end :]
    return b"".join(line.encode() + b"\r\n" for line in edits.prepend) + raw


@given(octets, st.integers(1, 210))
def test_without_edits_the_octets_are_the_octets(raw: bytes, size: int) -> None:
    for body in bodies(raw):
        assert NO_EDITS.render(body) == raw
        assert b"".join(NO_EDITS.chunks(body, size)) == raw
        assert NO_EDITS.length(body) == len(raw)


@given(st.data(), octets, st.integers(1, 210))
def test_edits_change_their_spans_and_nothing_else(data: st.DataObject, raw: bytes, size: int) -> None:
    edits = data.draw(edits_within(len(raw)))
    for body in bodies(raw):
        assert edits.render(body) == rendered(raw, edits)
        assert b"".join(edits.chunks(body, size)) == rendered(raw, edits)
        assert edits.length(body) == len(rendered(raw, edits))


@given(st.data(), octets)
def test_json_round_trip(data: st.DataObject, raw: bytes) -> None:
    edits = data.draw(edits_within(len(raw)))
    assert Edits.from_json(json.loads(json.dumps(edits.to_json()))) == edits
    assert hash(Edits.from_json(edits.to_json())) == hash(edits)


def test_lines_of_the_gateway_go_on_top() -> None:
    edits = Edits(("B: 2",), (Splice(0, 1),), ("x",))
    assert edits.with_lines(("A: 1",)) == Edits(("A: 1", "B: 2"), (Splice(0, 1),), ("x",))
    assert edits.with_lines(()) is edits


@pytest.mark.parametrize(
    "splices",
    [
        (Splice(5, 4),),
        (Splice(-1, 4),),
        (Splice(4, 8), Splice(0, 2)),
        (Splice(0, 5), Splice(4, 8)),
        (Splice(0, 5), Splice(0, 5)),
    ],
)
def test_splices_are_sorted_and_do_not_overlap(splices: tuple[Splice, ...]) -> None:
    with pytest.raises(EditError, match="sorted"):
        Edits(splices=splices)


def test_neighbouring_splices_are_fine() -> None:
    assert Edits(splices=(Splice(0, 2), Splice(2, 2, "x"), Splice(2, 4))).render(bodies(b"abcdef")[0]) == b"xef"


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,30}", fullmatch=True)
# Line separators beyond ASCII fold a coded value, and what looks coded is left as it is: both change the decoding.
READABLE = st.text(st.characters(exclude_characters="\x85\u2028\u2029?", exclude_categories=["Cs"]), max_size=400)


def check_lines(name: str, text: str) -> list[str]:
    lines = text.split("\r\n")
    assert lines[0].startswith(f"{name}:")
    for line in lines:
        assert len(line) <= MAX_LINE
        assert re.fullmatch(r"[\x20-\x7e\t]*", line)
    for line in lines[1:]:
        assert line[0] in " \t"
        assert line.strip(), "a line of white space only is obsolete (RFC 5322 4.2) and ends a header for some"
    return lines


@given(NAMES, st.text(max_size=400))
@example("X", "a" + " " * 2000 + "b")
@example("X", "a\t" * 700)
@example("X", "\t" * 1500 + "x" + " \t" * 1500 + "y")
@example("X", "x" * MAX_VALUE)
@example("X", "ä" * MAX_VALUE)
@example("X", "a\x85Bcc: b@x\x85" + "c" * 100)
@example("X", "\udcff" * 10)
@example("A" * 76, "ä" * 50)
def test_m1_a_header_line_is_one_header_line(name: str, value: str) -> None:
    check_lines(name, header_line(name, value))


@given(NAMES, READABLE)
def test_what_is_written_is_what_a_reader_sees(name: str, value: str) -> None:
    lines = check_lines(name, header_line(name, value))
    unfolded = "".join(lines)[len(name) + 1 :]
    seen = str(make_header(decode_header(unfolded.strip())))
    cleaned = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]+", " ", value)
    assert seen.split() == cleaned.split()


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain", "X-A: plain"),
        ("", "X-A: "),
        ("  padded\t", "X-A: padded"),
        ("a\r\nBcc: x@y", "X-A: a Bcc: x@y"),
        ("a\rBcc: x@y", "X-A: a Bcc: x@y"),
        ("a\nBcc: x@y\0\x1b", "X-A: a Bcc: x@y"),
        ("grün", "X-A: =?utf-8?b?Z3LDvG4=?="),
        ("a\x85b", "X-A: =?utf-8?q?a?=\r\n =?utf-8?q?_b?="),
        ("=?utf-8?q?a=0D=0ABcc:_x=40y?=", "X-A: =?utf-8?q?a=0D=0ABcc:_x=40y?="),
        ("word " * 20, "X-A: " + "word " * 13 + "word\r\n word word word word word word"),
    ],
)
def test_header_lines(value: str, line: str) -> None:
    assert header_line("X-A", value) == line


def test_m1_a_decoded_subject_becomes_no_second_header() -> None:
    decoded = str(make_header(decode_header("=?utf-8?q?a=0D=0ABcc:_x=40y?=")))
    assert "\r\n" in decoded
    assert header_line("X-Subject", decoded) == "X-Subject: a Bcc: x@y"


@pytest.mark.parametrize("name", ["X-A", "x", "List-Id", "X-A_b.c", "9", "A" * 76, "Authentication-Results"])
def test_names(name: str) -> None:
    assert AddHeader(name, "x").name == name


@pytest.mark.parametrize(
    "name",
    ["", " X", "X ", "X:", "X Y", "X\r\n", "X\n", "X\0", "Ä", "-x", "A" * 77, "DKIM-SIGNATURE", *sorted(RESERVED)],
)
def test_g9_no_name_or_a_reserved_one(name: str) -> None:
    for make in (lambda: AddHeader(name, "x"), lambda: ReplaceHeader(name, "x"), lambda: RemoveHeader(name)):
        with pytest.raises(EditError):
            make()


@pytest.mark.parametrize("value", ["x" * (MAX_VALUE + 1), "x" * 100_000, None, 7, b"bytes"])
def test_g9_a_value_that_cannot_be_one_is_the_authors_error(value: str) -> None:
    for kind in (AddHeader, ReplaceHeader):
        with pytest.raises(EditError, match="the value of X-A is"):
            kind("X-A", value)


def test_scopes_are_compared_by_value() -> None:
    anna = Address("anna", "example.test")
    assert AddHeader("X", "1", ForMembers(anna)) == AddHeader("X", "1", ForMembers(Address("anna", "example.test")))
    assert AddHeader("X", "1", ForRecipient(anna)) != AddHeader("X", "1")
