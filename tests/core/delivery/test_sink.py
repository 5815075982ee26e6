"""The sink itself: other tests believe it, so it is spoken to here byte by byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.testing.sink import KEYWORDS, XFORWARD, Answer, Sink, SinkRecipient


async def talk(sink: Sink, *writes: bytes) -> bytes:
    """Write it all, half-close, and return everything the sink says."""
    host, port = sink.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for data in writes:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    said = await reader.read()
    writer.close()
    return said


def codes(said: bytes) -> list[str]:
    return [line[:3].decode() for line in said.split(b"\r\n") if line[3:4] == b" "]


ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@example.com> SIZE=5\r\nRCPT TO:<b@example.test> NOTIFY=NEVER\r\nDATA\r\n"


async def test_a_dialogue_is_recorded() -> None:
    async with Sink(keywords=(*KEYWORDS, XFORWARD)) as sink:
        said = await talk(
            sink, b"EHLO x\r\nXFORWARD NAME=a+2Bb ADDR=[UNAVAILABLE]\r\n", ENVELOPE[8:] + b"x\r\n..y\r\n.\r\nQUIT\r\n"
        )
    assert codes(said) == ["220", "250", "250", "250", "250", "354", "250", "221"]
    (message,) = sink.messages
    assert (message.sender, message.parameters, message.helo) == ("a@example.com", ("SIZE=5",), "x")
    assert message.recipients == (SinkRecipient("b@example.test", ("NOTIFY=NEVER",)),)
    assert message.data == b"x\r\n.y\r\n"
    assert message.xforward == {"NAME": "a+b", "ADDR": "[UNAVAILABLE]"}
    assert sink.commands[-1] == "QUIT"
    assert sink.connections == 1


@pytest.mark.parametrize("step", [1, 2, 3, 7])
async def test_it_makes_no_difference_how_the_bytes_are_cut(step: int) -> None:
    dialogue = ENVELOPE + b"a\r\n.\n\n.\r\n\r.\r\n..\r\nb\r\n.\r\n"
    async with Sink() as sink:
        await talk(sink, *(dialogue[start : start + step] for start in range(0, len(dialogue), step)))
    assert [message.data for message in sink.messages] == [b"a\r\n\n\n.\r\n\r.\r\n.\r\nb\r\n"]


@pytest.mark.parametrize(
    ("wire", "data"), [(b".\r\n", b""), (b"\r\n.\r\n", b"\r\n"), (b"..\r\n.\r\n", b".\r\n"), (b"x\r\n.\r\n", b"x\r\n")]
)
async def test_ends_of_data(wire: bytes, data: bytes) -> None:
    async with Sink() as sink:
        await talk(sink, ENVELOPE + wire)
    assert [message.data for message in sink.messages] == [data]


@pytest.mark.parametrize(
    "odd", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n.\0\r\n", b"\r\n. \r\n"]
)
async def test_nothing_but_crlf_dot_crlf_ends_the_data(odd: bytes) -> None:
    async with Sink() as sink:
        said = await talk(sink, ENVELOPE + b"x" + odd + b"MAIL FROM:<evil@example.org>\r\n")
    assert sink.received == []
    assert codes(said)[-1] == "354"


async def test_a_command_ends_at_crlf_only() -> None:
    async with Sink() as sink:
        said = await talk(sink, b"EHLO x\r\nMAIL FROM:<a@x>\nRCPT TO:<b@x>\r\n")
    assert codes(said) == ["220", "250", "250"]
    assert sink.commands[1] == "MAIL FROM:<a@x>\nRCPT TO:<b@x>"


async def test_commands_out_of_turn_are_refused() -> None:
    async with Sink() as sink:
        said = await talk(
            sink, b"DATA\r\nRCPT TO:<x>\r\nMAIL FROM x\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nWHAT\r\nRSET\r\n"
        )
    assert codes(said) == ["220", "503", "503", "501", "250", "503", "500", "250"]


async def test_answers_are_given_once_in_turn_then_the_usual() -> None:
    async with Sink() as sink:
        sink.answer("RCPT", "550 5.1.1 one", "450 4.2.1 two")
        sink.answer("RCPT", "551 5.7.1 hers", to="her@x")
        rcpt = b"RCPT TO:<him@x>\r\n"
        said = await talk(sink, b"MAIL FROM:<>\r\n" + rcpt + b"RCPT TO:<her@x>\r\n" + rcpt + rcpt)
    assert codes(said) == ["220", "250", "550", "551", "450", "250"]


async def test_an_answer_may_last() -> None:
    async with Sink() as sink:
        sink.answer("MAIL", "450 4.3.0 once", "550 5.7.1 ever after", always=True)
        said = await talk(sink, b"MAIL FROM:<>\r\n" * 4)
    assert codes(said) == ["220", "450", "550", "550", "550"]


async def test_lmtp_answers_for_each_recipient() -> None:
    async with Sink(protocol="lmtp") as sink:
        sink.answer("DOT", "452 4.2.2 full", to="b@x")
        said = await talk(
            sink, b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n"
        )
    assert codes(said)[-3:] == ["250", "452", "250"]
    assert sink.messages[0].replies == ["250 2.0.0 ok: queued as 1", "452 4.2.2 full"]


async def test_a_refused_message_is_received_but_not_accepted() -> None:
    async with Sink() as sink:
        sink.answer("DOT", "550 5.7.1 no")
        await talk(sink, ENVELOPE + b"x\r\n.\r\n")
        assert (len(sink.received), sink.messages) == (1, [])


async def test_raw_bytes_pieces_and_hanging_up() -> None:
    async with Sink() as sink:
        sink.answer("CONNECT", Answer(b"\xff\n", piece_bytes=1), Answer("554 no", then="close"), Answer(then="reset"))
        assert (await talk(sink))[:2] == b"\xff\n"
        assert await talk(sink) == b"554 no\r\n"
        with pytest.raises(ConnectionResetError):
            await talk(sink)


async def test_a_point_can_be_waited_for_and_held() -> None:
    async with Sink() as sink:
        gate = asyncio.Event()
        sink.answer("MAIL", Answer("250 ok", after=gate))
        conversation = asyncio.create_task(talk(sink, b"MAIL FROM:<>\r\n"))
        await sink.reached("MAIL")
        assert not conversation.done()
        gate.set()
        assert codes(await conversation) == ["220", "250"]


async def test_a_fault_in_a_dialogue_closes_the_connection_and_is_raised_at_the_end() -> None:
    """Otherwise the socket stays open, and whichever test runs at the next garbage collection is blamed for it."""
    sink = Sink()
    await sink.__aenter__()
    sink.answer("CONNECT", Answer("\udc80"))
    assert await asyncio.wait_for(talk(sink), timeout=20) == b""
    with pytest.raises(UnicodeEncodeError):
        await sink.__aexit__(None, None, None)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "sink"
    async with Sink(unix_path=path) as sink:
        assert sink.address == f"unix:{path}"
        reader, writer = await asyncio.open_unix_connection(path)
        assert (await reader.readline()).startswith(b"220")
        writer.close()
