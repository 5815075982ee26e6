"""No content can end the data early at a next hop (fault catalogue P13), whatever way it came into the message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.delivery.transport import Batch, Outcome
from gateway.mail.body import CHUNK
from gateway.mail.edits import Edits, Splice
from gateway.mail.reply import BARE_NEWLINE
from gateway.testing.sink import KEYWORDS, Sink
from tests.core.delivery.batches import batch, next_hop, soon, spilled
from tests.core.delivery.real_postfix import trusting_postfix

# The odd ends of data of rows P1 to P11, and the true one, which must be taken for content here.
STRAY = {
    "lf.lf": b"\n.\n",
    "lf.crlf": b"\n.\r\n",
    "crlf.lf": b"\r\n.\n",
    "cr.cr": b"\r.\r",
    "cr.crlf": b"\r.\r\n",
    "crlf.cr": b"\r\n.\r",
    "cr.lf": b"\r.\n",
    "lf.cr": b"\n.\r",
    "crlf.crcrlf": b"\r\n.\r\r\n",
    "crlf-nul.crlf": b"\r\n\0.\r\n",
    "crlf.nul-crlf": b"\r\n.\0\r\n",
    "crcrlf.crlf": b"\r\r\n.\r\n",
}
CLEAN = {"crlf.space-crlf": b"\r\n. \r\n", "crlf.crlf": b"\r\n.\r\n"}
ALL = STRAY | CLEAN
SMUGGLED = (
    b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
)
START = b"Subject: outer\r\n\r\nfirst"


def ways_in(sequence: bytes) -> Iterator[Batch]:
    """The same attack in a small body, a spilled one, across the border of two chunks, in a field put in front by a
    plugin, and in one that replaces another."""
    attack = sequence + SMUGGLED + b"last\r\n"
    yield batch(START + attack)
    yield batch(spilled(START + attack))
    for shift in range(1, len(sequence) + 1):
        padded = b"Subject: outer\r\n\r\n" + b"x" * (CHUNK - 18 - shift)
        assert len(padded) == CHUNK - shift
        yield batch(spilled(padded + attack))
    text = attack.decode()
    yield batch(START + b"\r\n", edits=Edits((f"X-Note: first{text}",)))
    yield batch(START + b"\r\n", edits=Edits((), (Splice(0, 16, f"Subject: first{text}"),)))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("keywords", [KEYWORDS, (), (*KEYWORDS, "CHUNKING")], ids=["pipelining", "serial", "chunking"])
async def test_p13_the_sink_counts_no_message_more_than_was_sent(name: str, keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink, chunking="always") as hop:
        for sent in ways_in(ALL[name]):
            (result,) = await hop.deliver(sent, deadline=soon())
            if name in STRAY:
                assert (result.outcome, result.reply) == (Outcome.REFUSED, BARE_NEWLINE)
                assert sink.received == []
            else:
                assert result.outcome is Outcome.DONE
                assert sink.messages[-1].data == sent.edits.render(sent.body)
        if name in CLEAN:
            assert len(sink.received) == len(list(ways_in(ALL[name])))
    assert not any("evil" in command for command in sink.commands)
    assert "CHUNKING" not in keywords or "DATA" not in sink.commands


@pytest.mark.server("postfix")
@pytest.mark.parametrize("chunking", ["never", "always"], ids=["data", "bdat"])
async def test_p13_a_real_postfix_on_loopback_queues_only_what_was_sent(chunking: str) -> None:
    async with trusting_postfix() as reinjection:
        async with next_hop(f"127.0.0.1:{reinjection.smtp_port}", chunking=chunking) as hop:
            for name, sequence in ALL.items():
                for sent in (batch(START + sequence + SMUGGLED), batch(spilled(START + sequence + SMUGGLED))):
                    (result,) = await hop.deliver(sent, deadline=soon(60))
                    assert result.outcome is (Outcome.REFUSED if name in STRAY else Outcome.DONE), (name, result)
        await reinjection.wait_until_queue_is_empty()
        await reinjection.wait_until_delivered(2 * len(CLEAN), "anna")
        bodies = [text.partition(b"\n\n")[2] for text in reinjection.delivered("anna")]
        wanted = [(START + sequence + SMUGGLED).partition(b"\r\n\r\n")[2] for sequence in CLEAN.values()]
        # virtual(8) writes a last line end of its own.
        assert sorted(body.rstrip(b"\n") for body in bodies) == sorted(
            body.replace(b"\r\n", b"\n").rstrip(b"\n") for body in wanted * 2
        )
