"""A listener that is nearly full, and clients that bring more than they may."""

from __future__ import annotations

import logging

import pytest

from tests.core.smtp.conftest import StartEdge


async def test_stress_shortens_the_time_of_those_who_wait(start_edge: StartEdge) -> None:
    edge = await start_edge(
        max_connections=5,
        stress_percent=80,
        stress_timeout_seconds=0.4,
        stress_max_errors=1,
        max_errors=3,
        trusted_peers=["127.0.0.9/32"],
    )
    clients = [await edge.greeted() for _ in range(3)]
    try:
        for _ in range(2):
            assert (await clients[0].say("FOO")).startswith("500 ")
        assert not edge.server._service.connections.stressed
        async with await edge.connect("127.0.0.9") as trusted:
            assert (await trusted.reply()).startswith("220 ")
            assert edge.server._service.connections.stressed
            assert (await clients[0].say("FOO")).startswith("421 4.7.0")
            for client in clients[1:]:
                assert (await client.reply()).startswith("421 4.4.2")
            assert (await trusted.say("EHLO front.test")).startswith("250")
    finally:
        for client in clients:
            client.close()
    await edge.idle()
    assert not edge.server._service.connections.stressed


async def test_message_and_recipient_rates(start_edge: StartEdge) -> None:
    edge = await start_edge(max_message_rate=2, max_recipient_rate=3, trusted_peers=["127.0.0.9/32"])
    async with await edge.greeted() as client:
        await client.say("MAIL FROM:<>")
        for code in ("250 2.1.5", "250 2.1.5", "250 2.1.5", "450 4.7.1"):
            assert (await client.say("RCPT TO:<anna@example.test>")).startswith(code)
        await client.say("RSET")
        assert (await client.say("MAIL FROM:<>")).startswith("250 ")
        await client.say("RSET")
        assert (await client.say("MAIL FROM:<>")).startswith("450 4.7.1")
    async with await edge.connect("127.0.0.9") as trusted:
        await trusted.reply()
        for _ in range(3):
            assert (await trusted.say("EHLO front.test", "MAIL FROM:<>")).startswith("250 ")


async def test_who_was_sent_away_stands_in_the_log(start_edge: StartEdge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.smtp")
    edge = await start_edge(max_errors=1, command_timeout_seconds=0.2)
    for commands in (["FOO", "FOO"], ["MAIL FROM:<>"], ["BDAT x"]):
        async with await edge.greeted() as client:
            await client.say(*commands)
            assert await client.is_closed() or await client.is_closed()
    told = [(record.getMessage(), dict(record.__dict__["fields"])) for record in caplog.records]
    assert {(fields["listener"], fields["client"]) for _, fields in told} == {("mx", "127.0.0.1")}
    assert [(event, fields.get("command"), fields["reply"]) for event, fields in told] == [
        ("command refused", None, "500 5.5.2 unknown command"),  # what it was may have been a password
        ("session ended", None, "421 4.7.0 too many errors"),
        ("session ended", None, "421 4.4.2 too slow"),
        (
            "session ended",
            "BDAT x",
            "501 5.5.4 expected BDAT, the number of octets that follow, and maybe LAST",
        ),
    ]
    ids = [fields["id"] for _, fields in told]
    assert all(ids)
    assert len(set(ids)) == 3
