"""`send` and `explain` read a file alike."""

from __future__ import annotations

import pytest

from gateway.cli.message_file import wire_bytes


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b""),
        (b"A: b\n\nc", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n"),
        (b"A: b\r\n\nmixed\n", b"A: b\r\n\r\nmixed\r\n"),
        (b"bare\rcr\n", b"bare\rcr\r\n"),
    ],
)
def test_wire_bytes(content: bytes, wire: bytes) -> None:
    assert wire_bytes(content) == wire
