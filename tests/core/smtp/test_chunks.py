"""What comes by BDAT is what would have come by DATA, wherever chunks and blocks were cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.data import ChunkDecoder, DataDecoder, MessageDecoder
from gateway.smtp.chunking import Chunk, read_chunk

pieces = st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"bc", b"\r\n.\r\n", b"\r\n.", b"x" * 30])
messages = st.lists(pieces, max_size=14).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=8)


def cut(raw: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(position for position in at if position < len(raw)), len(raw)]
    return [raw[begin:end] for begin, end in itertools.pairwise(marks) if begin < end]


def by_chunks(blocks: list[bytes], *, normalise: bool = False) -> tuple[bytes, ChunkDecoder]:
    decoder = ChunkDecoder(normalise=normalise, max_line_bytes=20)
    content = b"".join([decoder.feed(block) for block in blocks])
    return content + decoder.finish(), decoder


def findings(decoder: MessageDecoder) -> tuple[object, ...]:
    return (decoder.stray_cr, decoder.stray_lf, decoder.stray_nul, decoder.line_too_long, decoder.ended)


@given(messages, cuts, st.booleans())
def test_a_message_in_any_chunks_is_the_message_of_data(raw: bytes, at: list[int], normalise: bool) -> None:
    raw += b"\r\n"  # DATA can carry whole lines only
    data = DataDecoder(normalise=normalise, max_line_bytes=20)
    stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
    expected = data.feed(stuffed + b".\r\n")
    content, decoder = by_chunks(cut(raw, at), normalise=normalise)
    assert content == expected
    assert findings(decoder) == findings(data)
    # BDAT need not know of dots to be plain, but what it calls plain may follow DATA as it is.
    assert decoder.is_plain == (data.is_plain and not decoder.has_strays)


@given(messages, cuts)
def test_octets_are_kept_as_they_are(raw: bytes, at: list[int]) -> None:
    content, decoder = by_chunks(cut(raw, at))
    assert content == raw
    unpaired = raw.replace(b"\r\n", b"")
    assert (decoder.stray_cr, decoder.stray_lf) == (unpaired.count(b"\r"), unpaired.count(b"\n"))
    lines = raw.split(b"\r\n")
    assert decoder.is_plain == (
        not decoder.has_strays and lines[-1] == b"" and not any(line.startswith(b".") for line in lines)
    )


def test_a_message_may_be_empty() -> None:
    content, decoder = by_chunks([])
    assert (content, decoder.is_plain, decoder.ended) == (b"", True, True)


@pytest.mark.parametrize(
    ("line", "chunk"),
    [
        (b"BDAT 10\r\n", Chunk(10, last=False)),
        (b"BDAT 0 LAST\r\n", Chunk(0, last=True)),
        (b"bdat  007  last \r\n", Chunk(7, last=True)),
        (b"BDAT 99999999999999999999\r\n", Chunk(99999999999999999999, last=False)),
        (b"BDAT 5\n", Chunk(5, last=False)),
        (b"BDAT\r\n", None),
        (b"BDAT \r\n", None),
        (b"BDAT LAST\r\n", None),
        (b"BDAT -1\r\n", None),
        (b"BDAT +1\r\n", None),
        (b"BDAT 1_0\r\n", None),
        (b"BDAT 0x10\r\n", None),
        (b"BDAT \xd9\xa3\r\n", None),
        (b"BDAT 10 FIRST\r\n", None),
        (b"BDAT 10 LAST LAST\r\n", None),
        (b"BDAT 10LAST\r\n", None),
        (b"BDAT 10\r LAST\r\n", None),
        (b"BDAT 10\tLAST\r\n", None),
        (b"BDAT 100000000000000000000\r\n", None),
    ],
)
def test_the_command(line: bytes, chunk: Chunk | None) -> None:
    assert read_chunk(line) == chunk
