"""A message in chunks is handed on as the same octets that DATA would have brought, wherever they were cut."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.core.smtp.client import Client, eventually
from tests.security.conftest import MANY_CONNECTIONS, Playground

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]

_LINES = (b".", b"..", b".x", b"", b"QUIT", b"BDAT 5 LAST", b"\xff\xfe eight bits", b"x" * 997, b"a line")


def message(source: random.Random) -> bytes:
    lines = source.choices(_LINES, k=source.choice((0, 1, 5, 300, 6000)))
    return b"Subject: chunks\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)


def chunks(source: random.Random, raw: bytes) -> list[bytes]:
    cuts = sorted(source.sample(range(len(raw)), min(len(raw), source.choice((0, 1, 3, 40)))))
    return [raw[begin:end] for begin, end in itertools.pairwise((0, *cuts, len(raw)))]


@pytest.mark.parametrize("seed", range(12))
async def test_any_chunks_of_a_message_are_its_octets(playground: Playground, seed: int) -> None:
    source = random.Random(seed)
    raw = message(source)
    parts = chunks(source, raw)
    by_data = raw.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    by_bdat = b"".join(
        b"BDAT %d%s\r\n%s" % (len(part), b" LAST" if number == len(parts) else b"", part)
        for number, part in enumerate(parts, start=1)
    )
    before = len(playground.sink.messages)
    async with await Client.connect(playground.addresses["inbound", *MANY_CONNECTIONS]) as client:
        await client.reply()
        await client.say("EHLO client.example")
        for sender, command, wire in (("data", ["DATA"], by_data), ("bdat", [], by_bdat)):
            await client.say(f"MAIL FROM:<{sender}-{seed}@sender.example>", "RCPT TO:<anna@example.test>", *command)
            await client.send(wire)
            replies = [await client.reply() for _ in range(len(parts) if command == [] else 1)]
            assert all(reply.startswith("250 2.0.0") for reply in replies), replies
    await eventually(lambda: len(playground.sink.messages) >= before + 2)
    handed_on = [held.data.partition(b"Subject: ")[2] for held in playground.sink.messages[before:]]
    assert handed_on == [raw.partition(b"Subject: ")[2]] * 2
