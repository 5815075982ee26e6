"""TLS towards a next hop that goes wrong (fault catalogue N9): 451 4.7.5 where it is required, else plain text."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from gateway.delivery.client_tls import ClientTls
from gateway.delivery.transport import Outcome, Result
from gateway.mail.reply import NEXT_HOP_WITHOUT_TLS
from gateway.testing.sink import Answer, Point, Sink
from tests.core.delivery.batches import batch, next_hop, soon
from tests.core.delivery.certificates import NAME, ca_file, server


async def handed_to(sink: Sink, tls: ClientTls, connect_timeout_seconds: float = 30.0) -> Result:
    async with next_hop(sink, tls=tls, connect_timeout_seconds=connect_timeout_seconds) as hop:
        (result,) = await hop.deliver(batch(), deadline=soon())
    return result


BAD_CERTIFICATES: dict[str, tuple[Callable[[], ssl.SSLContext], str]] = {
    "expired": (lambda: server(expired=True), "certificate has expired"),
    "wrong name": (lambda: server("other.example.test"), "is not valid for"),
    "unknown authority": (lambda: server(stranger=True), "local issuer"),
}


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
async def test_n9_a_bad_certificate_is_451_where_tls_is_required(tmp_path: Path, name: str) -> None:
    context, said = BAD_CERTIFICATES[name]
    async with Sink(tls=context()) as sink:
        result = await handed_to(sink, ClientTls(required=True, ca_file=ca_file(tmp_path)))
        assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_WITHOUT_TLS)
        assert said in result.where
        assert sink.commands == ["EHLO gw.example.test", "STARTTLS"], "no mail was begun"


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
async def test_n9_a_bad_certificate_still_encrypts_where_tls_is_opportunistic(name: str) -> None:
    async with Sink(tls=BAD_CERTIFICATES[name][0]()) as sink:
        result = await handed_to(sink, ClientTls())
        assert result.outcome is Outcome.DONE
        assert "TLSv1.3" in result.where
        assert "not verified" in result.where
        assert [message.tls for message in sink.messages] == ["TLSv1.3"]


WITHOUT_TLS: dict[str, tuple[Point, str | bytes | Answer]] = {
    "not offered": ("EHLO", "250-sink.test\r\n250 PIPELINING"),
    "refused for now": ("STARTTLS", "454 4.7.0 TLS not available"),
    "refused": ("STARTTLS", "502 5.5.1 what"),
    "closing": ("STARTTLS", Answer("421 4.3.2 going down", then="close")),
    "broken off in the handshake": ("TLS", Answer(then="close")),
    "reset in the handshake": ("TLS", Answer(then="reset")),
    "garbage in the handshake": ("TLS", Answer(b"no TLS here\r\n", then="close")),
    "injected behind 220": ("STARTTLS", b"220 go ahead\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n"),
    "half a reply behind 220": ("STARTTLS", b"220 go ahead\r\n250-"),
}
HANGING = "hanging in the handshake"


def without_tls(name: str) -> tuple[Point, str | bytes | Answer]:
    """An event belongs to the loop of the test that first waits for it: each test gets its own."""
    return ("TLS", Answer(after=asyncio.Event())) if name == HANGING else WITHOUT_TLS[name]


@pytest.mark.parametrize("name", [*WITHOUT_TLS, HANGING])
@pytest.mark.parametrize("level", ["required", "opportunistic"])
async def test_n9_where_tls_does_not_come_about(
    tmp_path: Path, name: str, level: Literal["required", "opportunistic"]
) -> None:
    point, answer = without_tls(name)
    async with Sink(tls=server()) as sink:
        sink.answer(point, answer)
        if level == "required":
            tls = ClientTls(required=True, ca_file=ca_file(tmp_path))
            result = await handed_to(sink, tls, connect_timeout_seconds=0.5)
            assert (result.outcome, result.reply) == (Outcome.DEFERRED, NEXT_HOP_WITHOUT_TLS)
            assert sink.received == []
            assert not any(command.startswith("MAIL") for command in sink.commands)
        else:
            result = await handed_to(sink, ClientTls(), connect_timeout_seconds=2)
            assert result.outcome is Outcome.DONE, result
            assert [message.tls for message in sink.messages] == [""]


@pytest.mark.parametrize("level", ["required", "opportunistic"])
async def test_n9_no_tls_below_1_2(tmp_path: Path, level: str) -> None:
    required = level == "required"
    async with Sink(tls=server(old=True)) as sink:
        result = await handed_to(sink, ClientTls(required=required, ca_file=ca_file(tmp_path) if required else None))
        assert result.outcome is (Outcome.DEFERRED if required else Outcome.DONE)
        assert [message.tls for message in sink.messages] == ([] if required else [""])


async def test_n9_what_was_said_in_plain_text_does_not_count_under_tls(tmp_path: Path) -> None:
    """Somebody in between could make mail bounce with a small SIZE, or strip extensions."""
    async with Sink(tls=server()) as sink:
        sink.answer("EHLO", "250-sink.test\r\n250-SIZE 10\r\n250 STARTTLS")
        result = await handed_to(sink, ClientTls(required=True, ca_file=ca_file(tmp_path)))
        assert result.outcome is Outcome.DONE
        assert "SIZE=" in sink.messages[0].parameters[0]
        assert sink.commands[:3] == ["EHLO gw.example.test", "STARTTLS", "EHLO gw.example.test"]


async def test_n9_a_failed_handshake_is_not_tried_with_every_message(caplog: pytest.LogCaptureFixture) -> None:
    async with Sink(tls=server()) as sink:
        sink.answer("TLS", Answer(then="close"), always=True)
        async with next_hop(sink, tls=ClientTls(), messages_per_connection=1) as hop:
            for _ in range(3):
                (result,) = await hop.deliver(batch(), deadline=soon())
                assert result.outcome is Outcome.DONE
        assert sink.commands.count("STARTTLS") == 1
    assert caplog.text.count("going on in plain text") == 1


async def test_n9_the_name_is_the_one_configured(tmp_path: Path) -> None:
    async with Sink(tls=server(NAME)) as sink:
        for name, outcome in ((NAME, Outcome.DONE), ("", Outcome.DEFERRED), ("example.test", Outcome.DEFERRED)):
            result = await handed_to(sink, ClientTls(required=True, ca_file=ca_file(tmp_path), name=name))
            assert result.outcome is outcome, name
