"""TLS towards a next hop as it should go, on both event loops."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.delivery.client_tls import ClientTls
from gateway.delivery.transport import Outcome
from gateway.errors import StartupError
from gateway.mail.reply import NEXT_HOP_BROKE_OFF
from gateway.testing.sink import Answer, Sink
from tests.core.delivery.batches import batch, next_hop, soon, spilled
from tests.core.delivery.certificates import ca_file, client_files, server

Scenario = Callable[[Path], Coroutine[Any, Any, None]]


async def one_session_for_many_messages(directory: Path) -> None:
    async with Sink(tls=server()) as sink:
        tls = ClientTls(required=True, ca_file=ca_file(directory))
        async with next_hop(sink, tls=tls, connections=1) as hop:
            for _ in range(3):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.outcome is Outcome.DONE
                assert "(TLSv1.3 TLS_" in result.where
                assert result.where.endswith(", verified)")
        assert [message.tls for message in sink.messages] == ["TLSv1.3"] * 3
        assert (sink.connections, sink.commands.count("STARTTLS"), sink.commands[-1]) == (1, 1, "QUIT")


async def a_large_message_and_a_slow_reader(directory: Path) -> None:
    data = b"Subject: large\r\n\r\n" + os.urandom(32).hex().encode() * 150_000 + b"\r\n"
    async with Sink(tls=server()) as sink, next_hop(sink, tls=ClientTls()) as hop:
        read_on = asyncio.Event()
        sink.answer("BODY", Answer(after=read_on))
        delivering = asyncio.create_task(hop.deliver(batch(spilled(data)), deadline=soon()))
        await sink.reached("BODY")
        read_on.set()
        (result,) = await delivering
        assert result.outcome is Outcome.DONE
        assert sink.messages[0].data == data


async def tls_from_the_first_byte(directory: Path) -> None:
    async with Sink(tls=server(), implicit_tls=True) as sink:
        tls = ClientTls(required=True, implicit=True, ca_file=ca_file(directory))
        async with next_hop(sink, tls=tls) as hop:
            (result,) = await hop.deliver(batch(), deadline=soon())
        assert result.outcome is Outcome.DONE
        assert "STARTTLS" not in sink.commands
        assert sink.messages[0].tls == "TLSv1.3"


async def our_own_certificate(directory: Path) -> None:
    context = server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca_file(directory))
    certificate, key = client_files(directory)
    plain = ClientTls(required=True, ca_file=ca_file(directory))
    async with Sink(tls=context) as sink:
        for tls, outcome in (
            (plain, Outcome.DEFERRED),
            (replace(plain, certificate=certificate, key=key, _context=None), Outcome.DONE),
        ):
            async with next_hop(sink, tls=tls) as hop:
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.outcome is outcome, result


async def what_has_not_left_is_taken_back(directory: Path) -> None:
    """The bytes of the dot wait in the transport below TLS, where they count as unsent too."""
    async with Sink(tls=server()) as sink, next_hop(sink, tls=ClientTls()) as hop:
        sink.answer("BODY", Answer(after=asyncio.Event()))
        huge = batch(b"0123456789abcdef\r\n" * 1_500_000)
        (result,) = await hop.deliver(huge, deadline=soon(0.5))
        assert result.outcome is Outcome.DEFERRED
        assert sink.received == []


async def broken_after_the_dot(directory: Path) -> None:
    async with Sink(tls=server()) as sink, next_hop(sink, tls=ClientTls()) as hop:
        sink.answer("DOT", Answer(then="close"))
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, result.reply) == (Outcome.UNKNOWN, NEXT_HOP_BROKE_OFF)


SCENARIOS: list[Scenario] = [
    one_session_for_many_messages,
    a_large_message_and_a_slow_reader,
    tls_from_the_first_byte,
    our_own_certificate,
    what_has_not_left_is_taken_back,
    broken_after_the_dot,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_tls(tmp_path: Path, scenario: Scenario, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario(tmp_path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ca_file": "missing.pem"}, "tls_ca_file: .*missing.pem: No such file"),
        ({"ca_file": "garbage.pem"}, "tls_ca_file: .*garbage.pem is no usable PEM file"),
        ({"certificate": "missing.pem"}, "tls_key: .*missing.pem: No such file"),
        ({"certificate": "garbage.pem"}, "tls_certificate: .*garbage.pem is no usable PEM file"),
        ({"certificate": "garbage.pem", "key": "missing.key"}, "tls_key: .*missing.key: No such file"),
    ],
)
async def test_files_that_cannot_be_used_are_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    (tmp_path / "garbage.pem").write_text("garbage")
    tls = ClientTls(required=True, **{name: tmp_path / file for name, file in settings.items()})  # type: ignore[arg-type]
    async with Sink(tls=server()) as sink, next_hop(sink, tls=tls) as hop:
        with pytest.raises(StartupError, match=f"next_hop.hop.{said}"):
            hop.check_files()
        (result,) = await hop.deliver(batch(), deadline=soon())
        assert (result.outcome, str(result.reply)[:9]) == (Outcome.DEFERRED, "451 4.3.5")
