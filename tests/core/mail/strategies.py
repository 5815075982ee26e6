"""Hypothesis strategies for mail: addresses, header edits, messages as bytes."""

from __future__ import annotations

import os
import tempfile

from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.body import Body, FileBody, MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.reply import Reply

ATEXT = "abcXYZ019!#$%&'*+/=?^_`{|}~-"
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
dot_strings = st.lists(st.text(ATEXT + "äж字", min_size=1, max_size=6), min_size=1, max_size=3).map(".".join)
anything_printable = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"]), max_size=12)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    """Any address that can be written down, also with a local part that must be quoted."""
    return Address(draw(dot_strings | anything_printable), draw(domains))


@st.composite
def replies(draw: st.DrawFn, lowest: int = 200) -> Reply:
    code = draw(st.integers(lowest, 599))
    number = st.integers(0, 999)
    enhanced = (
        f"{code // 100}.{draw(number)}.{draw(number)}" if code // 100 in {2, 4, 5} and draw(st.booleans()) else ""
    )
    return Reply(code, enhanced, draw(st.text(max_size=450)))


lines = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), max_size=30)


@st.composite
def edits_within(draw: st.DrawFn, length: int) -> Edits:
    """Edits that fit a body of `length` octets."""
    positions = sorted(draw(st.lists(st.integers(0, length), max_size=6)))
    pairs = zip(positions[::2], positions[1::2], strict=False)
    splices = tuple(Splice(start, end, draw(lines)) for start, end in pairs)
    return Edits(tuple(draw(st.lists(lines, max_size=3))), splices, tuple(draw(st.lists(lines, max_size=2))))


def spilled(raw: bytes) -> FileBody:
    """A body in an unlinked file, as a large message has it."""
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        return FileBody(os.dup(file.fileno()), len(raw), b"")


def bodies(raw: bytes) -> tuple[Body, Body]:
    """The same octets in memory and in a file."""
    return MemoryBody(raw), spilled(raw)
