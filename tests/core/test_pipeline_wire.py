"""The walk with a real next hop behind it: what goes over the wire, and what its replies come to (N4, N5, N7, DSN)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from gateway.delivery.smtp_client import SmtpNextHop
from gateway.mail.address import Address
from gateway.mail.envelope import MailParameters, Recipient
from gateway.testing.sink import KEYWORDS, Answer, Sink
from tests.core.gateways import HELLO, OUTBOUND, Running, running, texts

ANNA, BO, CLEO = (f"{name}@elsewhere.test" for name in ("anna", "bo", "cleo"))
WITHOUT_DSN = tuple(keyword for keyword in KEYWORDS if keyword != "DSN")


@asynccontextmanager
async def relaying(
    directory: Path, protocol: Literal["smtp", "lmtp"] = "smtp", keywords: tuple[str, ...] = KEYWORDS
) -> AsyncIterator[tuple[Running, Sink]]:
    """A gateway whose `relay` is a server on loopback."""
    async with Sink(protocol=protocol, keywords=keywords) as sink, running(directory, tables=OUTBOUND) as gateway:
        hop = SmtpNextHop("relay", sink.address, protocol=protocol, helo_name="gw.example.test")
        gateway.gateway.next_hops["relay"] = hop
        yield gateway, sink


@pytest.mark.parametrize("listener", ["filter", "lmtp"])
async def test_n4_a_mix_at_rcpt(tmp_path: Path, listener: str) -> None:
    async with relaying(tmp_path) as (gateway, sink):
        sink.answer("RCPT", "450 4.2.0 later", to=BO)
        sink.answer("RCPT", "550 5.1.1 nobody", to=CLEO)
        sent = await gateway.send(ANNA, BO, CLEO, listener=listener)
        assert sent.code == 450
        assert texts(sent.verdict) == ["250 2.0.0 ok: queued as 1", "450 4.2.0 later", "550 5.1.1 nobody"]
        rest = [ANNA, BO, CLEO] if listener == "filter" else [BO]
        again = await gateway.send(*rest, listener=listener)
        assert again.code == 250
        assert [message.to for message in sink.messages] == [(ANNA,), (BO,)]
        assert await gateway.notifications() == ([("failed", CLEO)] if listener == "filter" else [])


async def test_n5_lmtp_answers_each_recipient_after_the_dot(tmp_path: Path) -> None:
    async with relaying(tmp_path, "lmtp") as (gateway, sink):
        sink.answer("DOT", "552 5.2.2 over quota", to=BO)
        sent = await gateway.send(ANNA, BO, CLEO, listener="lmtp")
        assert sent.codes == [250, 552, 250]
        assert await gateway.states() == {ANNA: "done", BO: "refused", CLEO: "done"}


async def test_n7_a_reset_after_the_final_dot_is_unknown_and_costs_at_most_one_duplicate(tmp_path: Path) -> None:
    async with relaying(tmp_path) as (gateway, sink):
        sink.answer("DOT", Answer(then="reset"))
        sent = await gateway.send(ANNA, listener="filter")
        assert texts(sent.verdict) == ["451 4.4.2 the next hop broke off or was too slow, try again later"]
        assert await gateway.steps("state", "doubts") == [("unknown", 1)]
        assert (await gateway.send(ANNA, listener="filter")).code == 250
        assert [message.to for message in sink.received] == [(ANNA,), (ANNA,)]
        assert await gateway.steps("state", "doubts") == [("done", 1)]


@pytest.mark.parametrize("offers_dsn", [True, False])
async def test_the_duties_of_rfc_3461_are_passed_on_or_done_here(tmp_path: Path, offers_dsn: bool) -> None:
    async with relaying(tmp_path, keywords=KEYWORDS if offers_dsn else WITHOUT_DSN) as (gateway, sink):
        to = Recipient(Address.parse(ANNA), ("SUCCESS", "FAILURE"), "rfc822;anna@old.test")
        parameters = MailParameters(ret="HDRS", envid="e1")
        assert (await gateway.send(to, listener="filter", parameters=parameters)).code == 250
        (message,) = sink.messages
        (recipient,) = message.recipients
        passed_on = {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;anna@old.test"}
        assert set(recipient.parameters) == (passed_on if offers_dsn else set())
        assert ({"RET=HDRS", "ENVID=e1"} <= set(message.parameters)) is offers_dsn
        assert await gateway.notifications() == ([] if offers_dsn else [("relayed", ANNA)])


async def test_what_goes_out_is_what_came_in_below_our_fields(tmp_path: Path) -> None:
    async with relaying(tmp_path) as (gateway, sink):
        sent = await gateway.send(ANNA, listener="filter")
        (message,) = sink.messages
        head, body = message.data[: -len(HELLO)], message.data[-len(HELLO) :]
        assert body == HELLO
        assert head.startswith(b"Received: from client.test ([192.0.2.7])\r\n\tby gw.example.test (Stellwerk)")
        assert f"id {sent.transaction.id}\r\n\tfor <{ANNA}>".encode() in head
        assert message.sender == "out@sender.test"
