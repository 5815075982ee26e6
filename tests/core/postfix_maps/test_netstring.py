"""The frames of the socketmap protocol, whatever comes in whichever pieces."""

from __future__ import annotations

import asyncio

import pytest

from gateway.postfix_maps.netstring import NetstringError, netstring, read_netstring

MAX_BYTES = 20


async def read(*pieces: bytes) -> list[bytes]:
    """Everything until the orderly end, fed piece by piece."""
    reader = asyncio.StreamReader(MAX_BYTES)

    async def feed() -> None:
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    found = []
    try:
        while (one := await read_netstring(reader, MAX_BYTES)) is not None:
            found.append(one)
    finally:
        await feeding
    return found


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"5:hello,"], [b"hello"]),
        ([b"0:,"], [b""]),
        ([b"1:,,"], [b","]),
        ([b"5", b":he", b"llo", b",3:", b"abc,"], [b"hello", b"abc"]),
        ([b"20:" + b"x" * 20 + b","], [b"x" * 20]),
        ([netstring(b"a:b,c\r\n\0\xff")], [b"a:b,c\r\n\0\xff"]),
    ],
)
async def test_what_is_read(pieces: list[bytes], expected: list[bytes]) -> None:
    assert await read(*pieces) == expected


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (b"5:hello", "ends within a request"),
        (b"5:hel", "ends within a request"),
        (b"5", "ends within a length"),
        (b"5:hellox", "no comma"),
        (b"05:hello,", "no length"),
        (b"-1:,", "no length"),
        (b"+5:hello,", "no length"),
        (b":,", "no length"),
        (b" 5:hello,", "no length"),
        (b"21:" + b"x" * 21 + b",", "at most 20"),
        (b"999999999999:", "no length"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no length"),
        (b"EHLO client.example\r\n" * 9, "no length"),
        ("\u0665:hello,".encode(), "no length"),
    ],
)
async def test_what_is_none(sent: bytes, complaint: str) -> None:
    with pytest.raises(NetstringError, match=complaint):
        await read(sent)
