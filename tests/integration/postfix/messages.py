"""Messages for the tests with Postfix, and how to tell what was put on top of one on its way."""

from __future__ import annotations

import re

# What Postfix, its milter and the gateway may put in front of a message; anything else on top is a fault.
_TRACE_FIELDS = re.compile(
    rb"(?:Return-Path|X-Original-To|Delivered-To|Received|Authentication-Results|X-Stellwerk-[\w-]+)\Z"
)


def message(number: int = 1, *, body: bytes = b"hello\r\n") -> bytes:
    """A complete message with CRLF lines; `number` makes its Message-ID and subject differ."""
    return (
        b"From: Cleo <cleo@client.example>\r\n"
        b"To: anna@example.test\r\n"
        b"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\n"
        b"Message-ID: <%d@client.example>\r\n"
        b"Subject: number %d\r\n"
        b"\r\n" % (number, number)
    ) + body


def message_id(delivered: bytes) -> bytes:
    """The Message-ID of a delivered message. AssertionError unless there is exactly one."""
    header = delivered.partition(b"\n\n")[0]
    found = re.findall(rb"^message-id:\s*(\S+)", header, re.IGNORECASE | re.MULTILINE)
    if len(found) != 1:
        raise AssertionError(f"{len(found)} Message-ID fields in {header!r}")
    return bytes(found[0])


def assert_untouched(delivered: bytes, sent: bytes) -> None:
    """`delivered` (LF lines) must be trace fields followed by exactly what was `sent` (CRLF lines)."""
    original = sent.replace(b"\r\n", b"\n")
    if not delivered.endswith(original):
        raise AssertionError(f"the message was changed:\n{delivered[:4000]!r}\nfrom:\n{original[:4000]!r}")
    on_top = delivered.removesuffix(original)
    names = re.findall(rb"^([^\s:]+):", on_top, re.MULTILINE)
    if strange := [name for name in names if not _TRACE_FIELDS.match(name)]:
        raise AssertionError(f"put on top of the message: {strange}")
