"""Dot-stuffing and the refusal of stray CR, LF and NUL, for every way of cutting a message into pieces."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.wire import DataEncoder, UnsafeContent

# Bytes that matter, in far more combinations than mail has.
AWKWARD = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"a", b"\r\n.", b"\r\n.\r\n"]), max_size=40)
CUTS = st.lists(st.integers(0, 100), max_size=8)


def encode(data: bytes, cuts: list[int]) -> bytes:
    encoder = DataEncoder()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(borders)]
    return b"".join([*(encoder.piece(piece) for piece in pieces), encoder.end()])


def receive(wire: bytes) -> bytes:
    """What RFC 5321 4.5.2 makes of it, line by line."""
    lines: list[bytes] = []
    while True:
        line, found, wire = wire.partition(b"\r\n")
        assert found, "the data does not end"
        if line == b".":
            assert wire == b"", "the data ends early"
            return b"".join(lines)
        lines.append(line.removeprefix(b".") + b"\r\n")


def is_safe(data: bytes) -> bool:
    return not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", data)


@given(parts=AWKWARD, cuts=CUTS)
def test_whatever_goes_out_comes_back_and_nothing_unsafe_goes_out(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    if not is_safe(data):
        with pytest.raises(UnsafeContent):
            encode(data, cuts)
        return
    wire = encode(data, cuts)
    assert receive(wire) == (data if data.endswith(b"\r\n") or not data else data + b"\r\n")
    assert wire.count(b"\r\n.\r\n") + wire.startswith(b".\r\n") == 1
    assert wire.endswith(b".\r\n")


@given(data=st.binary(max_size=60), cuts=CUTS)
def test_the_way_it_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    if is_safe(data):
        assert encode(data, cuts) == encode(data, [])


PLAIN = st.lists(st.sampled_from([b"\r\n", b"a\r\n", b"a.\r\n", b"bc d\r\n"]), max_size=20).map(b"".join)


@given(head=AWKWARD, body=PLAIN, cuts=CUTS)
def test_p13_a_plain_body_goes_out_as_it_would_after_a_look_at_it(
    head: list[bytes], body: bytes, cuts: list[int]
) -> None:
    encoder = DataEncoder()
    borders = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in pairwise(borders)]
    if not is_safe(b"".join(head) + body):
        with pytest.raises(UnsafeContent):
            b"".join([encoder.piece(b"".join(head)), *(encoder.plain(piece) for piece in pieces), encoder.end()])
        return
    wire = b"".join([encoder.piece(b"".join(head)), *(encoder.plain(piece) for piece in pieces), encoder.end()])
    assert wire == encode(b"".join(head) + body, [])


@pytest.mark.parametrize(
    ("pieces", "wire"),
    [
        ([], b".\r\n"),
        ([b""], b".\r\n"),
        ([b"a\r", b"\n", b".\r\n"], b"a\r\n..\r\n.\r\n"),
        ([b"a\r", b"\n.", b"b"], b"a\r\n..b\r\n.\r\n"),
        ([b"a\r\n", b".", b"\r\n"], b"a\r\n..\r\n.\r\n"),
        ([b".", b".\r\n"], b"...\r\n.\r\n"),
    ],
)
def test_dots_on_borders(pieces: list[bytes], wire: bytes) -> None:
    encoder = DataEncoder()
    assert b"".join([encoder.piece(piece) for piece in pieces] + [encoder.end()]) == wire


@pytest.mark.parametrize("pieces", [[b"a\r", b"b"], [b"a", b"\nb"], [b"\r"], [b"a\r", b"\n\n"], [b"a\r\r", b"\n"]])
def test_stray_bytes_on_borders(pieces: list[bytes]) -> None:
    encoder = DataEncoder()
    with pytest.raises(UnsafeContent):
        b"".join([encoder.piece(piece) for piece in pieces] + [encoder.end()])
