"""Any message, cut anywhere, arrives at a real server as it was: client, socket and sink together."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.transport import Outcome, Results
from gateway.mail.body import CHUNK, Body
from gateway.testing.sink import Sink, SinkMessage
from tests.core.delivery.batches import batch, next_hop, soon

LINES = st.lists(
    st.sampled_from([b"", b".", b"..", b". ", b".x", b"x.", b"QUIT", b"Subject: \xc3\xa4", b"x" * 998]), max_size=12
)


class CutBody(Body):
    """A body whose pieces end where the test says."""

    _data: bytes
    _borders: list[int]

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        vars(self).update(
            _data=data,
            _borders=sorted({len(data), *(cut for cut in cuts if cut < len(data))}),
            is_plain=data[-2:] in (b"", b"\r\n") and b"\r\n." not in b"\r\n" + data,
        )

    def __len__(self) -> int:
        return len(self._data)

    def read(self, start: int, end: int) -> bytes:
        return self._data[start:end]

    def read_at_once(self, start: int, end: int) -> bytes:
        assert end == start + CHUNK
        return self._data[start : next(border for border in self._borders if border > start)]


@st.composite
def bodies(draw: st.DrawFn) -> CutBody:
    lines = draw(LINES)
    data = b"".join(line + b"\r\n" for line in lines) + draw(st.sampled_from([b"", b".", b"end"]))
    return CutBody(data, draw(st.lists(st.integers(0, max(len(data), 1)), max_size=6)))


@settings(max_examples=40, deadline=None)
@given(sent=st.lists(bodies(), min_size=1, max_size=8), pipelining=st.booleans(), lmtp=st.booleans())
def test_any_message_arrives_as_it_was(sent: list[CutBody], pipelining: bool, lmtp: bool) -> None:
    async def send() -> tuple[list[Results], list[SinkMessage]]:
        keywords = ("PIPELINING", "8BITMIME") if pipelining else ()
        async with Sink(protocol="lmtp" if lmtp else "smtp", keywords=keywords) as sink, next_hop(sink) as hop:
            return [await hop.deliver(batch(body), deadline=soon()) for body in sent], sink.messages

    results, messages = asyncio.run(send())
    assert {result.outcome for (result,) in results} == {Outcome.DONE}
    for body, message in zip(sent, messages, strict=True):
        whole = body.read(0, len(body))
        assert message.data == (whole if whole.endswith(b"\r\n") or not whole else whole + b"\r\n")
    assert {message.connection for message in messages} == {1}
