"""The header index: spans of octets that lie where they say, names and values as a reader sees them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.headers import Headers

NAMES = st.text("ABCabcXYZ-", min_size=1, max_size=6)
VALUES = st.lists(
    st.binary(max_size=8).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")), min_size=1, max_size=3
)


@st.composite
def well_formed(draw: st.DrawFn) -> list[bytes]:
    """Fields with their CRLF, some of them folded."""
    fields = []
    for name in draw(st.lists(NAMES, max_size=6)):
        folded = draw(st.sampled_from([b"\r\n ", b"\r\n\t"])).join(draw(VALUES))
        fields.append(name.encode() + draw(st.sampled_from([b":", b": ", b" :"])) + folded + b"\r\n")
    return fields


@given(well_formed())
def test_the_spans_cover_a_well_formed_header_exactly(fields: list[bytes]) -> None:
    block = b"".join(fields)
    headers = Headers(block)
    assert [field.raw for field in headers] == fields
    assert [(field.start, field.end) for field in headers] == list(spans(fields))
    assert len(headers) == len(fields)


def spans(fields: list[bytes]) -> list[tuple[int, int]]:
    found, position = [], 0
    for field in fields:
        found.append((position, position + len(field)))
        position += len(field)
    return found


@given(
    st.binary(max_size=80) | st.lists(st.sampled_from([b"\r\n", b" ", b"a", b":", b"\r", b"\n", b"\t"])).map(b"".join)
)
def test_any_octets_have_an_index_of_whole_lines(block: bytes) -> None:
    position = 0
    for field in Headers(block):
        gap = block[position : field.start]
        assert gap == b"" or gap.endswith(b"\r\n"), "a field begins at the start of a line"
        assert re.fullmatch(rb"[!-9;-~]+[ \t]*", field.raw.partition(b":")[0])
        assert block[field.start : field.end] == field.raw
        assert field.end == len(block) or field.raw.endswith(b"\r\n")
        assert field.name == field.name.lower()
        assert isinstance(field.value, str)
        position = field.end


@pytest.mark.parametrize(
    ("raw", "name", "value"),
    [
        (b"Subject: hello\r\n", "subject", "hello"),
        (b"SUBJECT :hello\r\n", "subject", "hello"),
        (b"Subject:hello", "subject", "hello"),
        (b"Subject:\r\n hello\r\n", "subject", "hello"),
        (b"Subject: a\r\n b\r\n\tc \r\n", "subject", "a b\tc"),
        (b"Subject: a:b\r\n", "subject", "a:b"),
        (b"Subject:\r\n", "subject", ""),
        (b"Subject: gr\xc3\xbcn\r\n", "subject", "grün"),
        (b"Subject: gr\xfcn\r\n", "subject", "gr\ufffdn"),
        (b"X(y): 1\r\n", "x(y)", "1"),
    ],
)
def test_name_and_value(raw: bytes, name: str, value: str) -> None:
    (field,) = Headers(raw)
    assert (field.name, field.value) == (name, value)


@pytest.mark.parametrize(
    "line",
    [b" folded at the start\r\n", b"From somebody Mon Jan  1\r\n", b"no colon\r\n", b": x\r\n", b"\xc3\xa4: x\r\n"],
)
def test_what_is_no_field_stays_in_place_and_is_not_listed(line: bytes) -> None:
    headers = Headers(line + b"A: 1\r\n" + (line if not line.startswith(b" ") else b"") + b"B: 2\r\n")
    assert [(field.name, field.value) for field in headers] == [("a", "1"), ("b", "2")]


def test_m4_the_first_of_several_and_all_of_them() -> None:
    headers = Headers(b"From: a@x\r\nSubject: 1\r\nfrom: b@x\r\nFROM : c@x\r\n")
    assert headers.get("From") == "a@x"
    assert [field.value for field in headers.all("fRoM")] == ["a@x", "b@x", "c@x"]
    assert headers.count("from") == 3
    first = headers.first("from")
    assert first is not None
    assert first.start == 0
    assert headers.first("To") is None
    assert headers.get("To", "nobody") == "nobody"
    assert headers.all("To") == []


@pytest.mark.parametrize(
    ("block", "names"),
    [
        (b"DKIM-Signature: v=1; h=From:To : Subject; b=x\r\n", {"from", "to", "subject"}),
        (b"DKIM-Signature: v=1; h=From:\r\n\tTo:X-Stellwerk-\r\n VIP; b=x\r\n", {"from", "to", "x-stellwerk-vip"}),
        (b"DKIM-Signature: h=a\r\nDKIM-Signature: h=B::\r\n", {"a", "b"}),
        (b"DKIM-Signature: v=1; bh=h; b=h=x\r\n", set()),
        (b"DKIM-Signature: ;;;=;h\r\n", set()),
        (b"Subject: h=From\r\n", set()),
    ],
)
def test_signed_names(block: bytes, names: set[str]) -> None:
    assert Headers(block).signed_names() == names
