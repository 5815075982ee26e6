from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.data import DataDecoder


def decode(blocks: list[bytes], *, normalise: bool = False, max_line_bytes: int = 0) -> tuple[bytes, DataDecoder]:
    decoder = DataDecoder(normalise=normalise, max_line_bytes=max_line_bytes)
    content = b""
    for number, block in enumerate(blocks):
        content += decoder.feed(block)
        if decoder.ended:
            decoder.rest += b"".join(blocks[number + 1 :])
            break
    return content, decoder


@pytest.mark.parametrize(
    ("wire", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b".\r\nQUIT\r\n", b"", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b".x\r\n.\r\n", b"x\r\n", b""),
        (b". \r\n.\r\n", b" \r\n", b""),
        (b"a\r\n.\r\nRSET\r\nQUIT\r\n", b"a\r\n", b"RSET\r\nQUIT\r\n"),
        (b"a\r\n..\r\n...b\r\n.\r\n", b"a\r\n.\r\n..b\r\n", b""),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        # The ends that other servers have taken for the end of the data.
        (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", b""),
        (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", b""),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", b""),
        (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", b""),
        (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\r\nb\r\n", b""),
        (b"a\r\n\0.\r\nb\r\n.\r\n", b"a\r\n\0.\r\nb\r\n", b""),
        (b"a\r\n.\0\r\nb\r\n.\r\n", b"a\r\n\0\r\nb\r\n", b""),
        (b"a\r\r\n.\r\nb", b"a\r\r\n", b"b"),
    ],
)
def test_the_data_ends_at_crlf_dot_crlf_only(wire: bytes, content: bytes, rest: bytes) -> None:
    for cut in range(len(wire) + 1):
        decoded, decoder = decode([block for block in (wire[:cut], wire[cut:]) if block])
        assert (decoded, decoder.ended, decoder.rest) == (content, True, rest)


@pytest.mark.parametrize(
    ("wire", "content", "strays"),
    [
        (b"a\rb\r\n.\r\n", b"a\r\nb\r\n", (1, 0, 0)),
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n", (0, 1, 0)),
        (b"a\0b\r\n.\r\n", b"ab\r\n", (0, 0, 1)),
        (b"a\n.\r\nMAIL\r\n.\r\n", b"a\r\n.\r\nMAIL\r\n", (0, 1, 0)),
        (b"a\r\n\0.\r\n.\r\n", b"a\r\n.\r\n", (0, 0, 1)),
        (b"a\r\r\n.\r\n", b"a\r\n\r\n", (1, 0, 0)),
        (b"a\n\r\r\n.\r\n", b"a\r\n\r\n\r\n", (1, 1, 0)),
        (b"a\r\nb\r\n.\r\n", b"a\r\nb\r\n", (0, 0, 0)),
    ],
)
def test_strays_are_normalised_and_counted(wire: bytes, content: bytes, strays: tuple[int, int, int]) -> None:
    for cut in range(len(wire) + 1):
        decoded, decoder = decode([block for block in (wire[:cut], wire[cut:]) if block], normalise=True)
        assert decoded == content
        assert (decoder.stray_cr, decoder.stray_lf, decoder.stray_nul) == strays


def reference(wire: bytes) -> tuple[bytes, bytes] | None:
    """The same, octet by octet and without any idea of speed."""
    data = b"\r\n" + wire
    end = data.find(b"\r\n.\r\n")
    if end < 0:
        return None
    return re.sub(rb"(?<=\r\n)\.", b"", data[: end + 2])[2:], data[end + 5 :]


tricky = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\0", b"a", b"bc"]), max_size=40).map(
    b"".join
)


@given(tricky, st.lists(st.integers(0, 60), max_size=6))
def test_blocks_may_be_cut_anywhere(wire: bytes, cuts: list[int]) -> None:
    wire += b"\r\n.\r\nNOOP\r\n"
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    content, decoder = decode([wire[start:end] for start, end in itertools.pairwise(edges)])
    assert (content, decoder.rest) == reference(wire)
    assert decoder.stray_cr == len(re.findall(rb"\r(?!\n)", content))
    assert decoder.stray_lf == len(re.findall(rb"(?<!\r)\n", content))
    assert decoder.stray_nul == content.count(b"\0")


@given(tricky, st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_p13_plain_is_what_needs_nothing_done(wire: bytes, cuts: list[int], normalise: bool) -> None:
    wire += b"\r\n.\r\n"
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    content, decoder = decode([wire[start:end] for start, end in itertools.pairwise(edges)], normalise=normalise)
    sent, _ = reference(wire) or (b"", b"")
    is_as_sent = content == sent and wire.startswith(sent)
    assert decoder.is_plain == (is_as_sent and not re.search(rb"\r(?!\n)|(?<!\r)\n|\0|\r\n\.", b"\r\n" + sent))


@given(tricky, st.integers(1, 5))
def test_normalised_content_holds_no_strays(wire: bytes, size: int) -> None:
    wire += b"\r\n.\r\n"
    content, decoder = decode([wire[at : at + size] for at in range(0, len(wire), size)], normalise=True)
    assert decoder.ended
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 20))
def test_line_length_is_found_wherever_blocks_are_cut(lengths: list[int], limit: int, size: int) -> None:
    wire = b"".join(b"x" * length + b"\r\n" for length in lengths) + b".\r\n"
    content, decoder = decode([wire[at : at + size] for at in range(0, len(wire), size)], max_line_bytes=limit)
    assert content == wire[:-3]
    assert decoder.line_too_long == (max(lengths) > limit)
