"""What the edge says and what it hands on, command by command."""

from __future__ import annotations

import pytest

from gateway.mail.reply import Reply
from tests.core.smtp.conftest import StartEdge

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


async def test_one_message(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        assert await client.say("MAIL FROM:<x@sender.test> SIZE=20 BODY=8BITMIME") == "250 2.1.0 sender ok"
        assert await client.say("RCPT TO:<anna@example.test> NOTIFY=NEVER") == "250 2.1.5 recipient ok"
        assert await client.say("DATA") == "354 end data with <CR><LF>.<CR><LF>"
        assert await client.tell(MESSAGE + b".\r\n") == "250 2.0.0 accepted [t1]"
        assert not edge.pipeline.confirmed
        assert await client.say("QUIT") == "221 2.0.0 goodbye"
        assert await client.is_closed()
    [kept] = edge.pipeline.kept
    assert (kept.sender, kept.recipients, kept.data) == ("x@sender.test", ("anna@example.test",), MESSAGE)
    assert edge.pipeline.confirmed == ["t1"]
    session = kept.transaction.session
    assert (session.helo, session.listener, session.protocol, session.trusted) == ("client.test", "mx", "smtp", False)
    assert session.client == session.peer
    assert (session.peer.address, session.peer.helo) == ("127.0.0.1", "client.test")
    assert kept.transaction.parameters.size == 20


async def test_what_ehlo_offers(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_bytes=100_000)
    async with await edge.connect() as client:
        assert await client.reply() == "220 gw.example.test ESMTP Stellwerk"
        lines = (await client.say("EHLO client.test")).split("\n")
        assert lines[0] == "250-gw.example.test"
        offered = {line[4:] for line in lines[1:]}
        assert offered == {
            "PIPELINING",
            "SIZE 100000",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "CHUNKING",
        }
        assert await client.say("HELO client.test") == "250 gw.example.test"


async def test_xforward_is_offered_to_trusted_peers_and_lasts_for_one_transaction(start_edge: StartEdge) -> None:
    edge = await start_edge(role="filter", trusted_peers=["127.0.0.1/32"])
    async with await edge.connect() as client:
        await client.reply()
        assert "XFORWARD NAME ADDR PROTO HELO IDENT PORT SOURCE" in await client.say("EHLO front.test")
        assert (await client.say("XFORWARD NAME=a.test ADDR=192.0.2.1")).startswith("250 ")
        assert (await client.say("XFORWARD HELO=b.test IDENT=4Xyz SOURCE=REMOTE")).startswith("250 ")
        assert (await client.say("MAIL FROM:<x@sender.test>")).startswith("250 ")
        assert (await client.say("XFORWARD NAME=late.test")).startswith("503 5.5.1")
        await client.say("RCPT TO:<v@else.test>", "DATA")
        assert (await client.tell(MESSAGE + b".\r\n")).startswith("250 ")
        assert (await client.say("MAIL FROM:<y@sender.test>")).startswith("250 ")
        assert (await client.say("RSET")).startswith("250 ")
        assert (await client.say("XFORWARD ADDR=192.0.2.2", "RSET", "MAIL FROM:<z@sender.test>")).startswith("250 ")
    first, second, third = edge.pipeline.sessions
    assert (first.client.address, first.client.helo, first.client.ident) == ("192.0.2.1", "b.test", "4Xyz")
    assert first.client.forwarded
    assert first.peer.address == "127.0.0.1"
    assert second.client == second.peer == third.client


async def test_lmtp_gives_a_reply_for_every_accepted_rcpt(start_edge: StartEdge) -> None:
    edge = await start_edge(protocol="lmtp")
    edge.pipeline.replies["bo@example.test"] = Reply(451, "4.3.0", "not now")
    async with await edge.connect() as client:
        assert await client.reply() == "220 gw.example.test LMTP Stellwerk"
        assert (await client.say("EHLO x")).startswith("500 ")
        assert (await client.say("LHLO x")).startswith("250-")
        assert (await client.say("DATA")).startswith("503 5.5.1")
        await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "RCPT TO:<nobody@example.test>")
        await client.say("RCPT TO:<bo@example.test>", "RCPT TO:<Anna@example.test>", "DATA")
        await client.send(MESSAGE + b".\r\nNOOP\r\n")
        replies = [await client.reply() for _ in range(4)]
        assert [reply[:3] for reply in replies] == ["250", "451", "250", "250"]
        assert all(reply.endswith("[t1]") for reply in replies[:3])
        # Refused by the edge itself: the same reply for each.
        await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "RCPT TO:<bo@example.test>", "DATA")
        await client.send(b"a\nb\r\n.\r\n")
        assert [(await client.reply())[:9] for _ in range(2)] == ["550 5.6.0"] * 2
        assert (await client.say("MAIL FROM:<>", "RCPT TO:<nobody@example.test>")).startswith("550 5.1.1")
        assert (await client.say("DATA")).startswith("503 5.5.1")
    [kept] = edge.pipeline.kept
    assert kept.recipients == ("anna@example.test", "bo@example.test")


async def test_pipelined_replies_leave_in_one_piece(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        await client.send(
            b"MAIL FROM:<x@sender.test>\r\nRCPT TO:<anna@example.test>\r\nRCPT TO:<v@else.test>\r\n"
            b"RCPT TO:<bo@example.test>\r\nDATA\r\n"
        )
        block = await client.read()
        assert [line[:3] for line in block.split(b"\r\n")] == [b"250", b"250", b"550", b"250", b"354", b""]


@pytest.mark.parametrize(
    ("wire", "confirmed"),
    [
        (b".\r\n", []),
        (b".\r\nQUIT\r\n", []),
        (b".\r\nNOOP\r\nQUI", []),
    ],
)
async def test_a_command_that_was_pipelined_before_our_reply_confirms_nothing(
    start_edge: StartEdge, wire: bytes, confirmed: list[str]
) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
        assert (await client.tell(MESSAGE + wire)).startswith("250 ")
        if b"QUI" in wire:
            assert (await client.reply())[:3] in ("221", "250")
        assert edge.pipeline.confirmed == confirmed
        if wire.endswith(b"QUI"):
            await client.send(b"T\r\n")
            assert (await client.reply()).startswith("221")
            assert edge.pipeline.confirmed == []


async def test_a_later_command_confirms_all_that_was_answered_before(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
        # The next transaction is pipelined behind the dot of the first.
        await client.send(MESSAGE + b".\r\nMAIL FROM:<>\r\nRCPT TO:<bo@example.test>\r\nDATA\r\n")
        assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        assert (await client.tell(MESSAGE + b".\r\n")).startswith("250 ")
        assert edge.pipeline.confirmed == []
        await client.say("NOOP")
        assert edge.pipeline.confirmed == ["t1", "t2"]


@pytest.mark.parametrize("ending", ["RSET", "EHLO again.test", "QUIT", ""])
async def test_what_was_begun_is_abandoned(start_edge: StartEdge, ending: str) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>")
        if ending:
            await client.say(ending)
    await edge.idle()
    assert edge.pipeline.abandoned == ["t1"]
    assert edge.pipeline.confirmed == []


@pytest.mark.parametrize("method", ["mail", "rcpt", "process", "refused"])
async def test_a_bug_is_never_the_senders_fault_and_tells_nothing(start_edge: StartEdge, method: str) -> None:
    edge = await start_edge()
    edge.pipeline.failing.add(method)
    async with await edge.greeted() as client:
        replies = [await client.say("MAIL FROM:<>"), await client.say("RCPT TO:<anna@example.test>")]
        if method in ("process", "refused"):
            await client.say("DATA")
            await client.send(b"\n\r\n.\r\n" if method == "refused" else b".\r\n")
            replies.append(await client.reply())
    assert [reply for reply in replies if "secret" in reply or "Error" in reply] == []
    assert [reply for reply in replies if reply.startswith("451 4.3.0")]


async def test_a_bug_at_the_greeting(start_edge: StartEdge) -> None:
    edge = await start_edge()
    edge.pipeline.failing.add("connect")
    async with await edge.connect() as client:
        assert (await client.reply()).startswith("451 4.3.0")
        assert await client.is_closed()


async def test_every_refusal_ends_with_an_id(start_edge: StartEdge) -> None:
    edge = await start_edge()
    async with await edge.greeted() as client:
        outside = [await client.say(line) for line in ("FOO", "MAIL FROM:<>  x", "RCPT TO:<a@b.test>", "XFORWARD A=b")]
        session_id = outside[0].rpartition("[")[2]
        assert all(reply.endswith(f"[{session_id}") for reply in outside)
        await client.say("MAIL FROM:<>")
        inside = [await client.say(line) for line in ("FOO", "RCPT TO:<>", "RCPT TO:<v@else.test>", "DATA")]
        assert all(reply.endswith(" [t1]") for reply in inside)


async def test_an_accepted_message_renews_the_budget(start_edge: StartEdge) -> None:
    edge = await start_edge(max_errors=3)
    async with await edge.greeted() as client:
        for _ in range(3):
            await client.say("FOO", "FOO", "FOO")
            await client.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "DATA")
            assert (await client.say(".")).startswith("250 ")
        assert (await client.say("FOO", "FOO", "FOO", "FOO")).startswith("421 4.7.0")
        assert await client.is_closed()


async def test_a_trusted_server_is_not_blamed_for_its_clients_mail(start_edge: StartEdge) -> None:
    edge = await start_edge(max_errors=3, trusted_peers=["127.0.0.1/32"])
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>")
        for _ in range(10):
            assert (await client.say("RCPT TO:<nobody@example.test>")).startswith("550 5.1.1")
        assert (await client.say("RCPT TO:<anna@example.test>")).startswith("250 ")
