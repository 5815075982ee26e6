"""The SMTP and LMTP client against a real server on loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.delivery.transport import Batch, Copy, Outcome, Results
from gateway.mail.address import Address
from gateway.mail.body import CHUNK, Body, FileBody, MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.envelope import Client
from gateway.mail.reply import BAD_ADDRESS, BARE_NEWLINE, DEADLINE_PASSED, INTERNAL_ERROR, NEXT_HOP_BROKE_OFF
from gateway.testing.sink import KEYWORDS, XFORWARD, Answer, Sink
from tests.core.delivery.batches import ANNA, BO, CLEO, MESSAGE, SENDER, batch, next_hop, soon, spilled

SERIAL = tuple(keyword for keyword in KEYWORDS if keyword != "PIPELINING")


@pytest.mark.parametrize("keywords", [KEYWORDS, SERIAL, ()], ids=["pipelining", "serial", "bare"])
async def test_a_message_arrives_byte_for_byte(keywords: tuple[str, ...]) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert str(result.reply) == "250 2.0.0 ok: queued as 1"
    assert result.where == f"smtp {sink.address}"
    (message,) = sink.messages
    assert (message.sender, message.to, message.data) == ("sender@example.com", ("anna@example.test",), MESSAGE)


async def test_a_unix_socket_works_as_well(tmp_path: Path) -> None:
    async with Sink(protocol="lmtp", unix_path=tmp_path / "lmtp.sock") as sink, next_hop(sink) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert sink.commands[0] == "LHLO gw.example.test"


async def test_edits_are_applied_on_the_way_out() -> None:
    edits = Edits(("X-One: 1", "X-Two: 2"), (Splice(0, 26, ""),))
    async with Sink() as sink, next_hop(sink) as hop:
        await hop.deliver(batch(edits=edits), deadline=soon())
    assert sink.messages[0].data == b"X-One: 1\r\nX-Two: 2\r\n" + MESSAGE[26:]


@pytest.mark.parametrize(
    ("data", "arrives"),
    [
        (b"", b""),
        (b"no line end", b"no line end\r\n"),
        (b".\r\n", b".\r\n"),
        (b"..\r\n", b"..\r\n"),
        (b"\r\n", b"\r\n"),
        (b"a\r\n.", b"a\r\n.\r\n"),
    ],
)
async def test_awkward_messages_arrive_as_they_are(data: bytes, arrives: bytes) -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        await hop.deliver(batch(data), deadline=soon())
        await hop.deliver(batch(spilled(data)), deadline=soon())
    assert [message.data for message in sink.messages] == [arrives, arrives]


@pytest.mark.parametrize("make_body", [MemoryBody, spilled], ids=["memory", "spilled"])
async def test_a_large_message_whose_dots_lie_on_the_borders_of_chunks(make_body: Callable[[bytes], Body]) -> None:
    line = b".0123456789abcde\r\n"
    data = b"".join(
        b"x" * (CHUNK - 2 - shift) + b"\r\n" + b"." * shift + b"\r\n" if shift else line for shift in range(6)
    ) + line * (3 * CHUNK // len(line))
    async with Sink() as sink, next_hop(sink) as hop:
        (result,) = await hop.deliver(batch(make_body(data)), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert sink.messages[0].data == data


async def test_with_pipelining_the_envelope_is_one_piece_and_the_message_another() -> None:
    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Says nothing to MAIL and RCPT before it has seen DATA, so a client that waits for replies gets nowhere.
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 PIPELINING\r\n")
        heard.append(await reader.readuntil(b"DATA\r\n"))
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        heard.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 taken\r\n")
        await reader.read()
        writer.close()

    heard: list[bytes] = []
    server = await asyncio.start_server(patient, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, next_hop(f"127.0.0.1:{port}") as hop:
        (result,) = await hop.deliver(batch(b"x\r\n"), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert heard == [
        b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n",
        b"x\r\n.\r\n",
    ]


@pytest.mark.parametrize("keywords", [KEYWORDS, SERIAL], ids=["pipelining", "serial"])
async def test_connections_are_reused_and_reset_only_when_a_transaction_was_left_open(
    keywords: tuple[str, ...],
) -> None:
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        await hop.deliver(batch(), deadline=soon())
        await hop.deliver(batch(), deadline=soon())
        assert "RSET" not in sink.commands
        sink.answer("RCPT", "550 5.1.1 no such user")
        (refused,) = await hop.deliver(batch(), deadline=soon())
        await hop.deliver(batch(), deadline=soon())
    assert refused.outcome is Outcome.REFUSED
    assert sink.commands.count("RSET") == 1
    assert sink.connections == 1
    assert len(sink.messages) == 3


async def test_mixed_recipients_get_their_own_replies() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "550 5.1.1 no such user", to=str(BO))
        sink.answer("RCPT", "450 4.2.1 busy", to=str(CLEO))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO, CLEO), deadline=soon())
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.REFUSED, Outcome.DEFERRED]
    assert [str(result.reply) for result in results[1:]] == ["550 5.1.1 no such user", "450 4.2.1 busy"]
    assert sink.messages[0].to == (str(ANNA),)


async def test_capabilities_decide_the_parameters() -> None:
    copies = (Copy(ANNA, ("SUCCESS", "FAILURE"), "rfc822;a+2Bb@example.test"), Copy(BO))
    sent = batch(b"Subject: x\r\n\r\n\xc3\xa4\r\n", copies=copies, ret="HDRS", envid="QQ+2B1")
    async with Sink() as sink, next_hop(sink) as hop:
        results = await hop.deliver(sent, deadline=soon())
    (message,) = sink.messages
    assert message.parameters == ("SIZE=18", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B1")
    assert message.recipients[0].parameters == ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;a+2Bb@example.test")
    assert message.recipients[1].parameters == ()
    assert all(result.dsn_passed_on for result in results)

    async with Sink(keywords=()) as sink, next_hop(sink) as hop:
        results = await hop.deliver(sent, deadline=soon())
    (message,) = sink.messages
    assert message.parameters == ()
    assert message.recipients[0].parameters == ()
    assert message.data.endswith(b"\xc3\xa4\r\n"), "P32: passed as it is"
    assert not any(result.dsn_passed_on for result in results)


async def test_smtputf8_is_asked_for_only_where_it_is_needed() -> None:
    umlaut = Address("jürgen", "example.test")
    async with Sink() as sink, next_hop(sink) as hop:
        await hop.deliver(batch(MESSAGE, umlaut), deadline=soon())
    assert "SMTPUTF8" in sink.messages[0].parameters
    assert sink.messages[0].to == ("jürgen@example.test",)

    async with Sink(keywords=("PIPELINING",)) as sink, next_hop(sink) as hop:
        declared_but_plain = await hop.deliver(batch(smtputf8=True), deadline=soon())
        utf8_header = await hop.deliver(batch("Subject: ä\r\n\r\n".encode(), smtputf8=True), deadline=soon())
        results = await hop.deliver(batch(MESSAGE, ANNA, umlaut), deadline=soon())
    assert declared_but_plain[0].outcome is Outcome.DONE
    assert {result.reply.enhanced for result in utf8_header + results} == {"5.6.7"}
    assert len(sink.messages) == 1, "P35: no half fan-out"


async def test_what_is_said_about_the_client_is_passed_on() -> None:
    client = Client("2001:db8::1", 2525, "mx.example.com", "héllo there", "ESMTP", "4XQ1", "")
    async with Sink(keywords=(*KEYWORDS, XFORWARD)) as sink, next_hop(sink) as hop:
        await hop.deliver(batch(client=client), deadline=soon())
        await hop.deliver(batch(), deadline=soon())
    assert sink.messages[0].xforward == {
        "NAME": "mx.example.com",
        "ADDR": "IPV6:2001:db8::1",
        "PORT": "2525",
        "PROTO": "ESMTP",
        "HELO": "hÃ©llo there",
        "IDENT": "4XQ1",
        "SOURCE": "REMOTE",
    }
    assert sink.messages[1].xforward == {}


async def test_a_hop_that_refuses_xforward_still_gets_the_mail() -> None:
    async with Sink(keywords=(*KEYWORDS, XFORWARD)) as sink, next_hop(sink) as hop:
        sink.answer("XFORWARD", "550 5.7.0 not for you", always=True)
        (result,) = await hop.deliver(batch(client=Client("192.0.2.1")), deadline=soon())
    assert result.outcome is Outcome.DONE


@pytest.mark.parametrize("local", ["a\r\nRCPT TO:<x@example.org>", "a\nb", "a\0b", "\udc80"])
async def test_an_address_can_never_become_a_second_command(local: str) -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        results = await hop.deliver(batch(MESSAGE, ANNA, Address(local, "example.test")), deadline=soon())
    assert [result.reply for result in results] == [BAD_ADDRESS, BAD_ADDRESS]
    assert [command.split()[0] for command in sink.commands] in (["EHLO"], ["EHLO", "QUIT"])


@pytest.mark.parametrize("keywords", [KEYWORDS, SERIAL], ids=["pipelining", "serial"])
async def test_recipients_over_the_limit_of_the_hop_follow_at_once(keywords: tuple[str, ...]) -> None:
    people = [Address(f"u{number}", "example.test") for number in range(7)]
    async with Sink(keywords=keywords) as sink, next_hop(sink) as hop:
        full = "452 4.5.3 too many recipients"
        sink.answer("RCPT", *["250 2.1.5 ok"] * 3, *[full] * 4, *["250 2.1.5 ok"] * 3, full)
        results = await hop.deliver(batch(MESSAGE, *people), deadline=soon())
    assert {result.outcome for result in results} == {Outcome.DONE}
    assert [len(message.to) for message in sink.messages] == [3, 3, 1]


async def test_a_hop_that_takes_nobody_is_not_asked_for_ever() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("RCPT", "452 4.5.3 too many recipients", always=True)
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon())
    assert {result.outcome for result in results} == {Outcome.DEFERRED}
    assert sink.commands.count("DATA") == 1


async def test_bare_newlines_never_leave() -> None:
    large = b"x" * CHUNK + b"\nbare\r\n"
    async with Sink() as sink, next_hop(sink) as hop:
        for body in (MemoryBody(b"a\nb\r\n"), MemoryBody(large), spilled(large), spilled(b"a\0\r\n")):
            (result,) = await hop.deliver(batch(body), deadline=soon())
            assert (result.outcome, result.reply) == (Outcome.REFUSED, BARE_NEWLINE)
    assert sink.received == []


@pytest.mark.parametrize("is_at_hand", [True, False])
async def test_a_spilled_plain_body_arrives_by_either_way_of_reading(
    monkeypatch: pytest.MonkeyPatch, is_at_hand: bool
) -> None:
    data = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n" * 200_000
    body = spilled(data, is_plain=True)
    if not is_at_hand:
        monkeypatch.setattr(FileBody, "read_at_once", lambda self, start, end: None)
    async with Sink() as sink, next_hop(sink) as hop:
        (result,) = await hop.deliver(batch(body, edits=Edits(("X: y",))), deadline=soon())
    assert result.outcome is Outcome.DONE
    assert [message.data for message in sink.messages] == [b"X: y\r\n" + data]


@pytest.mark.parametrize("is_plain", [True, False])
async def test_a_spool_that_lost_octets_breaks_off(tmp_path: Path, is_plain: bool) -> None:
    descriptor = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    os.write(descriptor, b"x" * 100 + b"\r\n")
    cut = FileBody(descriptor, 200, b"", is_plain=is_plain)
    async with Sink() as sink, next_hop(sink) as hop:
        (result,) = await hop.deliver(batch(cut), deadline=soon())
    assert (result.outcome, result.reply) == (Outcome.DEFERRED, INTERNAL_ERROR)
    assert sink.messages == []


# Deadlines and cancellation: what happens depends on which side of the final dot it is.


async def test_the_deadline_before_the_dot_breaks_off() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("DATA", Answer("354 go ahead", after=asyncio.Event()))
        (result,) = await hop.deliver(batch(), deadline=soon(0.1))
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, DEADLINE_PASSED)
        assert sink.received == []


async def test_the_deadline_after_the_dot_is_unknown_until_the_hop_answers() -> None:
    told: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    async with Sink() as sink, next_hop(sink) as hop:
        gate = asyncio.Event()
        sink.answer("DOT", Answer("250 2.0.0 late", after=gate))
        (result,) = await hop.deliver(batch(), deadline=soon(0.1), late=told.set_result)
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)
        gate.set()
        (truth,) = await told
        assert (truth.outcome, truth.reply.text) == (Outcome.DONE, "late")
        await hop.deliver(batch(), deadline=soon())
        assert sink.connections == 1, "the connection serves on"


async def test_lmtp_at_the_deadline_knows_what_was_answered_by_then() -> None:
    told: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    async with Sink(protocol="lmtp") as sink, next_hop(sink) as hop:
        gate = asyncio.Event()
        sink.answer("DOT", Answer("550 5.2.2 full", after=gate), to=str(BO))
        results = await hop.deliver(batch(MESSAGE, ANNA, BO), deadline=soon(0.2), late=told.set_result)
        assert [result.outcome for result in results] == [Outcome.DONE, Outcome.UNKNOWN]
        gate.set()
        assert [result.outcome for result in await told] == [Outcome.DONE, Outcome.REFUSED]


async def test_cancelled_before_the_dot_it_is_aborted() -> None:
    told: list[Results] = []
    async with Sink() as sink, next_hop(sink, connections=1) as hop:
        sink.answer("DATA", Answer("354 go ahead", after=asyncio.Event()))
        delivery = asyncio.create_task(hop.deliver(batch(), deadline=soon(), late=told.append))
        await sink.reached("DATA")
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE, "the place in the pool is free again"
        assert len(sink.received) == 1
    assert told == []


async def test_cancelled_after_the_dot_it_is_finished_all_the_same() -> None:
    told: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    async with Sink() as sink, next_hop(sink) as hop:
        gate = asyncio.Event()
        sink.answer("DOT", Answer("250 2.0.0 taken", after=gate))
        delivery = asyncio.create_task(hop.deliver(batch(), deadline=soon(), late=told.set_result))
        await sink.reached("DOT")
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        gate.set()
        assert (await told)[0].outcome is Outcome.DONE


async def test_closing_reports_what_is_still_awaited_as_unknown() -> None:
    told: list[Results] = []
    async with Sink() as sink, next_hop(sink) as hop:
        sink.answer("DOT", Answer(after=asyncio.Event()))
        await hop.deliver(batch(), deadline=soon(0.1), late=told.append)
        await hop.close()
        assert [results[0].outcome for results in told] == [Outcome.UNKNOWN]


async def test_a_dot_that_never_left_this_process_can_be_taken_back() -> None:
    async def never_read(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Says yes to everything in advance of the data, then does not read it.
        for reply in (b"220 x\r\n", b"250-x\r\n250 PIPELINING\r\n"):
            writer.write(reply)
            await _reader.readline()
        await _reader.readuntil(b"DATA\r\n")
        _reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await release.wait()
        writer.close()

    release = asyncio.Event()
    server = await asyncio.start_server(never_read, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    huge = b"0123456789abcdef\r\n" * 1_000_000
    async with server, next_hop(f"127.0.0.1:{port}") as hop:
        (result,) = await hop.deliver(batch(huge), deadline=soon(0.3))
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, DEADLINE_PASSED)
        release.set()


async def test_probe_tells_what_is_wrong() -> None:
    async with Sink() as sink, next_hop(sink) as hop:
        assert await hop.probe() is None
        assert [each.capabilities.size for each in await hop.inspect()] == [0]
        sink.answer("CONNECT", "554 5.7.1 go away")
        assert await hop.probe() == (
            f"next hop 'hop' (smtp {sink.address}) takes no mail: it greeted with 554 5.7.1 go away"
        )


async def test_many_deliveries_share_few_connections() -> None:
    async with Sink() as sink, next_hop(sink, connections=3) as hop:
        batches: list[Batch] = [batch(b"Subject: %d\r\n\r\n" % number) for number in range(100)]
        results = await asyncio.gather(*(hop.deliver(one, deadline=soon()) for one in batches))
    assert {result[0].outcome for result in results} == {Outcome.DONE}
    assert {message.data for message in sink.messages} == {b"Subject: %d\r\n\r\n" % number for number in range(100)}
    assert sink.connections <= 3


async def test_a_connection_is_given_up_after_its_share_of_messages() -> None:
    async with Sink() as sink, next_hop(sink, messages_per_connection=2) as hop:
        for _ in range(5):
            await hop.deliver(batch(sender=None), deadline=soon())
    assert [message.connection for message in sink.messages] == [1, 1, 2, 2, 3]
    assert {message.sender for message in sink.messages} == {""}
    assert SENDER.domain not in "".join(sink.commands)


async def test_waiting_for_a_free_connection_ends_at_the_deadline() -> None:
    async with Sink() as sink, next_hop(sink, connections=1) as hop:
        gate = asyncio.Event()
        sink.answer("DOT", Answer("250 2.0.0 ok", after=gate))
        first = asyncio.create_task(hop.deliver(batch(), deadline=soon()))
        await sink.reached("DOT")
        (second,) = await hop.deliver(batch(), deadline=soon(0.1))
        assert (second.outcome, second.reply) == (Outcome.DEFERRED, DEADLINE_PASSED)
        gate.set()
        assert (await first)[0].outcome is Outcome.DONE
