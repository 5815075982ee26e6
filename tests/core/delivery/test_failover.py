"""Several addresses of one next hop: which is tried when, and that the cap on connections holds for all together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.delivery.transport import Outcome
from gateway.mail.reply import NEXT_HOP_DOWN, NEXT_HOP_WITHOUT_TLS
from gateway.testing.sink import Answer, Point, Sink
from tests.core.delivery.batches import batch, next_hop, soon


@contextmanager
def closed_port() -> Iterator[str]:
    """An address that refuses connections for as long as this lasts."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("point", "answer"),
    [
        ("CONNECT", "554 5.7.1 no"),
        ("CONNECT", Answer("421 4.3.2 later", then="close")),
        ("EHLO", Answer(then="reset")),
        ("MAIL", Answer("421 4.3.2 going down", then="close")),
        ("MAIL", Answer(then="close")),
        ("MAIL", Answer(then="reset")),
    ],
)
async def test_the_next_address_takes_what_the_first_does_not(point: Point, answer: str | Answer) -> None:
    async with Sink() as first, Sink() as second:
        first.answer(point, answer)
        async with next_hop(first, fallback_addresses=[second.address], messages_per_connection=1) as hop:
            for _ in range(2):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.outcome is Outcome.DONE
                assert result.where == f"smtp {second.address}", "the first is passed over for a while"
        assert (first.connections, len(first.received), len(second.messages)) == (1, 0, 2)


@pytest.mark.parametrize("point", ["RCPT", "DATA"])
async def test_there_is_no_other_address_once_mail_was_answered(point: Point) -> None:
    """What the first knows of the message by then is its own; the sender's retry goes to the next."""
    async with Sink(keywords=()) as first, Sink() as second:
        first.answer(point, Answer(then="close"))
        async with next_hop(first, fallback_addresses=[second.address]) as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DEFERRED
        assert second.connections == 0


async def test_never_another_address_after_the_dot() -> None:
    async with Sink() as first, Sink() as second:
        first.answer("DOT", Answer(then="close"))
        async with next_hop(first, fallback_addresses=[second.address]) as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.UNKNOWN
        assert second.connections == 0


async def test_the_first_address_is_probed_again_after_its_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.delivery")
    async with Sink() as first, Sink() as second:
        first.answer("CONNECT", "421 4.3.2 later")
        settings = {"fallback_addresses": [second.address], "messages_per_connection": 1}
        async with next_hop(first, cool_down_seconds=0.05, **settings) as hop:
            await hop.deliver(batch(), deadline=soon())
            await asyncio.sleep(0.06)
            await hop.deliver(batch(), deadline=soon())
        assert (len(first.messages), len(second.messages)) == (1, 1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_dead_connection_leads_to_the_next_address() -> None:
    async with Sink() as second:
        async with Sink() as first:
            hop_of = next_hop(first, fallback_addresses=[second.address])
            hop = await hop_of.__aenter__()
            await hop.deliver(batch(), deadline=soon())
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE
        assert len(second.messages) == 1
        await hop_of.__aexit__(None, None, None)


async def test_when_all_are_down_each_is_named() -> None:
    with closed_port() as one, closed_port() as other:
        async with next_hop(one, fallback_addresses=[other, "unix:/nonexistent/smtp"]) as hop:
            for _ in range(2):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_DOWN)
                for why in (f"{one}: Connection refused", f"{other}: Connection refused", "smtp: No such file"):
                    assert why in result.where
            assert f"{other}: Connection refused" in str(await hop.probe())


async def test_while_all_are_down_each_message_tries_them(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is gained by waiting when there is nowhere else to go, and the first to come back takes the mail."""
    async with Sink() as back_again:
        back_again.answer("CONNECT", "421 4.3.2 later")
        with closed_port() as down:
            async with next_hop(down, fallback_addresses=[back_again.address]) as hop:
                outcomes = [(await hop.deliver(batch(), deadline=soon()))[0].outcome for _ in range(2)]
    assert outcomes == [Outcome.DEFERRED, Outcome.DONE]
    assert caplog.text.count("takes no mail") == 2


async def test_a_name_leads_to_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sink(host="127.0.0.2") as sink:
        port = int(sink.address.rpartition(":")[2])
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.3", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
        ]

        async def getaddrinfo(*_: object, **__: object) -> object:
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        async with next_hop(f"mx.example.test:{port}") as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
            assert result.outcome is Outcome.DONE
            assert result.where == f"smtp 127.0.0.2:{port} (mx.example.test)"
            inspections = await hop.inspect()
        assert [bool(one.problem) for one in inspections] == [True, False]


async def test_a_name_that_does_not_exist_leads_to_the_next() -> None:
    async with Sink() as sink, next_hop("nowhere.invalid:25", fallback_addresses=[sink.address]) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE


async def test_different_troubles_are_not_told_as_one() -> None:
    from gateway.delivery.client_tls import ClientTls

    async with Sink() as no_tls:
        async with next_hop(no_tls, tls=ClientTls(required=True)) as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
            assert result.reply == NEXT_HOP_WITHOUT_TLS
        with closed_port() as down:
            async with next_hop(no_tls, fallback_addresses=[down], tls=ClientTls(required=True)) as hop:
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.reply == NEXT_HOP_DOWN


@pytest.mark.parametrize("messages_per_connection", [1, 3, 100])
async def test_the_cap_holds_over_all_addresses_and_reconnections(messages_per_connection: int) -> None:
    """Open at once as the hop counts: one that says goodbye is open until it has read the end."""
    async with Sink() as first, Sink() as second:
        first.answer("CONNECT", *["421 4.3.2 later"] * 5)
        first.answer("MAIL", *[Answer("421 4.3.2 later", then="close")] * 5)
        second.answer("MAIL", *[Answer(then="reset")] * 3)
        async with next_hop(
            first,
            fallback_addresses=[second.address],
            connections=3,
            cool_down_seconds=0.01,
            messages_per_connection=messages_per_connection,
        ) as hop:
            await asyncio.gather(*(hop.deliver(batch(), deadline=soon()) for _ in range(60)))
        assert first.most_at_once <= 3
        assert second.most_at_once <= 3
        assert len(first.messages) + len(second.messages) >= 50


async def test_n14_what_was_deferred_while_all_was_down_arrives_once() -> None:
    async with Sink() as sink:
        sink.answer("CONNECT", Answer("421 4.3.2 down", then="close"), always=True)
        async with next_hop(sink, connections=5, cool_down_seconds=60) as hop:
            waiting = {f"Message-ID: <{number}@example.com>\r\n\r\nx\r\n".encode() for number in range(200)}
            attempts = await asyncio.gather(*(hop.deliver(batch(data), deadline=soon()) for data in waiting))
            assert {(one.outcome, one.reply) for (one,) in attempts} == {(Outcome.DEFERRED, NEXT_HOP_DOWN)}
            sink.answer("CONNECT", "220 sink.test back again", always=True)
            again = await asyncio.gather(*(hop.deliver(batch(data), deadline=soon()) for data in waiting))
            assert {one.outcome for (one,) in again} == {Outcome.DONE}
        assert sorted(message.data for message in sink.received) == sorted(waiting)
        assert sink.most_at_once <= 5
