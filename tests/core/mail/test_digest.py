"""The digest on a proxy listener: the topmost Received field does not count, and nothing else is left out."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.digest import MAX_LOOKED_AT, ContentDigest

FIRST = b"Received: from a (b [192.0.2.1])\r\n\tby c; Sun, 22 Nov 2026 10:00:01 +0000\r\n"
SECOND = b"RECEIVED : short\r\n"
REST = b"Received: older\r\nSubject: x\r\n\r\nReceived: in the text\r\n"


def digest(*pieces: bytes, skip_received: bool = True) -> bytes:
    made = ContentDigest(skip_received=skip_received)
    for piece in pieces:
        made.update(piece)
    return made.digest()


@pytest.mark.parametrize(
    ("raw", "counted"),
    [
        pytest.param(FIRST + REST, REST, id="on top"),
        pytest.param(SECOND + REST, REST, id="written otherwise"),
        pytest.param(b"X-Policy: 1\r\n" + FIRST + REST, b"X-Policy: 1\r\n" + REST, id="fields above count"),
        pytest.param(b"Subject: x\r\n\r\n" + FIRST, b"Subject: x\r\n\r\n" + FIRST, id="in the text"),
        pytest.param(b"\r\n" + FIRST + REST, b"\r\n" + FIRST + REST, id="no header"),
        pytest.param(b"X-Received: a\r\n\r\n", b"X-Received: a\r\n\r\n", id="another field"),
        pytest.param(FIRST + b"\r\ntext\r\n", b"\r\ntext\r\n", id="the only field"),
        pytest.param(FIRST, FIRST, id="nothing behind it"),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(
            b"X: " + b"y" * MAX_LOOKED_AT + b"\r\n" + FIRST + REST,
            b"X: " + b"y" * MAX_LOOKED_AT + b"\r\n" + FIRST + REST,
            id="too far down",
        ),
    ],
)
def test_what_counts(raw: bytes, counted: bytes) -> None:
    pieces = [raw[start : start + 1] for start in range(min(len(raw), 500))] + [raw[500:]]
    assert digest(*pieces) == sha256(counted).digest()
    assert digest(raw, skip_received=False) == sha256(raw).digest()


@given(
    st.lists(st.sampled_from([FIRST, SECOND, b"Received:", b"\r\n", b" ", b"A: b\r\n", b"x"]), max_size=12), st.data()
)
def test_pieces_make_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(parts)
    cut = data.draw(st.integers(0, len(raw)))
    assert digest(raw[:cut], raw[cut:]) == digest(raw)
