"""Mail that leaves through the sender's own smart host, with a real one on loopback."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.app import Gateway
from gateway.delivery.relays import COUNTED_AS, MOST_ACCOUNTS, RelayHops, relay_name
from gateway.directory.change import Change
from gateway.directory.relay import RelayAccount, RelayTls, SetRelay
from gateway.directory.tables import mailbox
from gateway.mail.address import Address
from gateway.mail.envelope import Recipient
from gateway.mail.transaction import Transaction
from gateway.routing.plan import DeliveryPlan
from gateway.store.schema import journal_step
from gateway.testing.sink import Sink
from tests.certificates import authority
from tests.core.gateways import OUTBOUND, config, plugin
from tests.core.submission.people import LISTENER, People, people

USER, PASSWORD = "anna-at-the-relay", "canary-of-the-relay"
MESSAGE = (
    "From: anna@acme.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@x>\r\nSubject: x\r\n\r\nHello.\r\n"
)


@pytest.fixture(autouse=True)
def the_password_is_nowhere(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)  # as start_logging does
    yield
    assert "canary" not in caplog.text


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink(users={USER: PASSWORD}) as made:
        yield made


@pytest.fixture
async def acme(tmp_path: Path, sink: Sink) -> AsyncIterator[People]:
    """anna's mailbox has an account at the sink."""
    async with people(tmp_path) as made:
        await made.do(SetRelay("anna@acme.test", account(sink)))
        yield made


def account(sink: Sink, password: str = PASSWORD, tls: RelayTls = "none") -> RelayAccount:
    return RelayAccount(sink.address, USER, password, tls)


async def mailbox_id(acme: People, address: str = "anna@acme.test") -> str:
    rows = await acme.gateway.store.read(select(mailbox.c.id).where(mailbox.c.address == address))
    return str(rows[0].id)


async def test_mail_to_elsewhere_goes_there_and_local_mail_stays(acme: People, sink: Sink) -> None:
    sent = await acme.send(MESSAGE, "x@elsewhere.test", "bo@acme.test")
    assert sent.code == 250
    (taken,) = sink.messages
    assert (taken.to, taken.login) == (("x@elsewhere.test",), USER)
    assert taken.data.endswith(MESSAGE.encode())
    assert set(acme.running.mail.delivered) == {"bo@acme.test"}
    assert acme.running.relay.batches == []
    story = await acme.running.story(sent.transaction)
    name = relay_name(await mailbox_id(acme))
    assert [step["via"] for step in story["steps"]] == [name, "mail"]
    assert "canary" not in json.dumps(story)
    assert acme.gateway.executor.counts[COUNTED_AS].transactions == 1


async def test_others_send_as_before_and_members_by_the_mailbox_they_send_as(acme: People, sink: Sink) -> None:
    bo = MESSAGE.replace("anna@", "bo@")
    assert (await acme.send(bo, "x@elsewhere.test", login="bo@acme.test")).code == 250
    assert sink.messages == []
    await acme.do(SetRelay("team@acme.test", account(sink)))
    team = MESSAGE.replace("anna@", "info@")
    assert (await acme.send(team, "x@elsewhere.test", login="bo@acme.test", sender="info@acme.test")).code == 250
    assert len(sink.messages) == 1


async def test_an_account_of_ones_own_needs_no_other_way_out(tmp_path: Path, sink: Sink) -> None:
    async with people(tmp_path, tables="") as acme:
        await acme.do(SetRelay("anna@acme.test", account(sink)))
        assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 250
        transaction = await acme.mail(await acme.session("bo@acme.test"), "bo@acme.test")
        assert isinstance(transaction, Transaction)
        reply = await acme.gateway.pipeline.rcpt(transaction, Recipient(Address.parse("x@elsewhere.test")))
        assert reply.code == 550


async def test_a_wrong_password_defers_and_the_retry_uses_the_new_one(acme: People, sink: Sink) -> None:
    await acme.do(SetRelay("anna@acme.test", account(sink, "canary-that-is-wrong")))
    sent = await acme.send(MESSAGE, "x@elsewhere.test")
    assert str(sent.verdict.reply).startswith("451 4.3.5 ")
    story = await acme.running.story(sent.transaction)
    (step,) = story["steps"]
    assert f"does not let user '{USER}' in" in step["where"]
    assert "canary" not in json.dumps(story)
    await acme.do(SetRelay("anna@acme.test", account(sink)))
    assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 250
    assert len(sink.messages) == 1


async def test_the_stored_plan_survives_a_restart(tmp_path: Path, sink: Sink) -> None:
    async with people(tmp_path) as acme:
        await acme.do(SetRelay("anna@acme.test", account(sink, "canary-that-is-wrong")))
        assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 451
        await acme.running.written()
        (row,) = await acme.gateway.store.read(select(journal_step))
        assert row.via == relay_name(await mailbox_id(acme))
        assert "canary" not in str(row)
        await acme.do(SetRelay("anna@acme.test", account(sink)))
    again = Gateway(config(tmp_path, tables=LISTENER + OUTBOUND), clock=acme.running.clock)
    await again.start()
    try:
        acme.gateway = acme.running.gateway = again
        assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 250
    finally:
        await again.stop()
    assert len(sink.messages) == 1


async def test_when_the_account_is_gone_the_stored_step_leaves_as_other_mail_does(acme: People, sink: Sink) -> None:
    await acme.do(SetRelay("anna@acme.test", account(sink, "canary-that-is-wrong")))
    assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 451
    await acme.do(SetRelay("anna@acme.test", None))
    assert (await acme.send(MESSAGE, "x@elsewhere.test")).code == 250
    assert set(acme.running.relay.delivered) == {"x@elsewhere.test"}


async def test_an_account_that_cannot_be_read_defers_its_mail_and_no_other(acme: People, sink: Sink) -> None:
    broken = update(mailbox).where(mailbox.c.address == "anna@acme.test").values(relay='{"address": 1')

    @dataclass(frozen=True)
    class Break:
        def run(self, change: Change, /) -> None:
            change.connection.execute(broken)

    await acme.do(Break())
    sent = await acme.send(MESSAGE, "x@elsewhere.test", "bo@acme.test")
    assert str(sent.verdict.reply).startswith("451 4.3.5")
    assert set(acme.running.mail.delivered) == {"bo@acme.test"}
    await acme.do(SetRelay("anna@acme.test", account(sink)))
    assert (await acme.send(MESSAGE, "x@elsewhere.test", "bo@acme.test")).code == 250
    assert acme.running.mail.delivered["bo@acme.test"] == 1
    assert len(sink.messages) == 1


async def test_encryption_is_checked_unless_it_is_this_machine(
    acme: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue("localhost").configure_cert(context)
    async with Sink(users={USER: PASSWORD}) as plain, Sink(users={USER: PASSWORD}, tls=context) as secure:
        by_name = secure.address.replace("127.0.0.1", "localhost")
        for address, expected in ((plain.address, "451 4.7.5"), (secure.address, "451 4.7.5"), (by_name, "250 2.0.0")):
            await acme.do(SetRelay("anna@acme.test", RelayAccount(address, USER, PASSWORD)))
            raw = MESSAGE.replace("Hello", address)
            assert str((await acme.send(raw, "x@elsewhere.test")).verdict.reply).startswith(expected)
        assert plain.messages == []
        assert secure.messages[0].tls == "TLSv1.3"


async def test_plugins_that_review_the_plan_may_keep_the_account(tmp_path: Path, sink: Sink) -> None:
    keeps = plugin(tmp_path, "keeps", "@hookimpl\ndef plan_review(self, message, plan):\n    return plan\n")
    async with people(tmp_path, keeps) as acme:
        await acme.do(SetRelay("anna@acme.test", account(sink)))
        sent = await acme.send(MESSAGE, "x@elsewhere.test")
        assert sent.code == 250
        story = await acme.running.story(sent.transaction)
        assert DeliveryPlan.from_json(story["plan"]).to_json() == story["plan"]


async def test_hops_are_kept_while_the_account_is_the_same_and_are_bounded() -> None:
    accounts = {str(number): RelayAccount("127.0.0.1:1", f"u{number}", "canary", "none") for number in range(300)}

    async def find(mailbox_id: str) -> RelayAccount | None:
        return accounts.get(mailbox_id)

    hops = RelayHops(find, "gw.test")
    first = await hops.hop(relay_name("0"))
    assert first is not None
    assert await hops.hop(relay_name("0")) is first
    accounts["0"] = RelayAccount("127.0.0.1:1", "u0", "canary-two", "none")
    second = await hops.hop(relay_name("0"))
    assert second is not None
    assert second is not first
    for number in range(1, 300):
        await hops.hop(relay_name(str(number)))
    assert len(hops._hops) == MOST_ACCOUNTS
    assert len(hops._retired) <= 1
    assert await hops.hop(relay_name("nobody")) is None
    await hops.close()
