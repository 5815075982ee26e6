"""P45 and what follows a login, in a whole gateway: MAIL, header, routing, Received, rates, sessions that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.explain import lines
from gateway.directory.change import Command
from gateway.directory.domains import TrustDomain
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.mailboxes import ChangeMailbox
from gateway.directory.members import EndMember
from gateway.directory.passwords import hash_password
from gateway.directory.people import AddAppPassword, SetPassword
from gateway.errors import ConfigError
from gateway.explain import Question, explain
from gateway.mail.address import Address
from gateway.mail.envelope import Client, Credentials, Identity, Recipient
from gateway.mail.reply import Reply
from gateway.mail.transaction import Transaction
from tests.core.gateways import plugin, session
from tests.core.submission.people import LISTENER, People, people
from tests.databases import on_both_databases

pytestmark = [on_both_databases, pytest.mark.slow]

HEAD = "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@mua.test>\r\n"
BODY = "Subject: hello\r\n\r\nHello.\r\n"


def message(author: str = "Anna <anna@acme.test>", more: str = "") -> str:
    return f"From: {author}\r\n{more}{HEAD}{BODY}"


@pytest.fixture
async def acme(tmp_path: Path) -> AsyncIterator[People]:
    async with people(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("login", "sender", "refusal"),
    [
        ("anna@acme.test", "anna@acme.test", ""),
        ("anna@acme.test", "A.Berg+x@acme.test", ""),
        ("anna@acme.test", "team@acme.test", ""),
        ("bo@acme.test", "info@acme.test", ""),
        ("anna@acme.test", "", ""),
        ("anna@acme.test", "bo@acme.test", "553 5.7.1 MAIL FROM: you may not send from bo@acme.test"),
        ("anna@acme.test", "nobody@acme.test", "553 5.7.1 MAIL FROM: you may not send from nobody@acme.test"),
        ("anna@acme.test", "ceo@bank.test", "553 5.7.1 MAIL FROM: you may not send from ceo@bank.test"),
        ("anna@acme.test", "anna@new.test", "553 5.7.1 MAIL FROM: the domain new.test is neither verified nor trusted"),
    ],
)
async def test_p45_whom_somebody_may_send_as(acme: People, login: str, sender: str, refusal: str) -> None:
    outcome = await acme.mail(await acme.session(login), sender)
    if refusal:
        assert isinstance(outcome, Reply)
        assert str(outcome).startswith(refusal)
        assert outcome.text.endswith("]")
        (story,) = await acme.stories()
        assert (story["session"]["login"], story["reply"]["code"]) == (login, 553)
    else:
        assert isinstance(outcome, Transaction)


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (message("ceo@bank.test"), "553 5.7.1 From: you may not send from ceo@bank.test"),
        (message("bo@acme.test"), "553 5.7.1 From: you may not send from bo@acme.test"),
        (message("anna@acme.test, bo@acme.test"), "553 5.7.1 From: you may not send from bo@acme.test"),
        (message("anna@new.test"), "553 5.7.1 From: the domain new.test is neither verified nor trusted"),
        (message('"ceo@bank.test" <bo@acme.test>'), "553 5.7.1 From: you may not send from bo@acme.test"),
        (message("ceo@bank.test <anna@acme.test>"), "550 5.6.0 the From field of the message cannot be read: there is"),
        (message("(" * 3000), "550 5.6.0 the From field of the message cannot be read: a comment is not closed"),
        (message(more="From: ceo@bank.test\r\n"), "550 5.6.0 the message has 2 From fields"),
        (HEAD + BODY, "550 5.6.0 the message has no From field"),
        ("\r\nFrom: anna@acme.test\r\n", "550 5.6.0 the message has no From field"),
    ],
)
async def test_p45_m14_the_header_says_the_same(acme: People, raw: str, refusal: str) -> None:
    sent = await acme.send(raw, "x@elsewhere.test")
    assert str(sent.verdict.reply).startswith(refusal)
    assert acme.running.relay.batches == []


async def test_what_goes_out_is_what_came_in(acme: People) -> None:
    raw = message(more="X-Odd:  kept \r\n")
    assert (await acme.send(raw, "x@elsewhere.test")).code == 250
    (content,) = acme.running.relay.contents
    assert content.endswith(b"\r\n" + raw.encode())
    received, loop, rest = content.decode().partition("\r\nX-Stellwerk-Loop:")
    assert loop
    assert received.startswith(
        "Received: from client.test ([192.0.2.7])\r\n\tby gw.example.test (Stellwerk) with ESMTPSA"
    )
    assert rest.count("\r\nFrom:") == 1
    assert "anna" not in received


async def test_the_header_is_completed_and_the_trace_says_how(acme: People) -> None:
    raw = "From: Anna Privately <info@acme.test>\r\nBcc: secret@elsewhere.test\r\n" + BODY
    sent = await acme.send(raw, "x@elsewhere.test", "secret@elsewhere.test")
    assert sent.code == 250
    (content,) = acme.running.relay.contents
    text = content.decode()
    assert "Sender: Anna Berg <anna@acme.test>\r\n" in text
    assert f"Message-ID: <{sent.transaction.id}@gw.example.test>\r\n" in text
    assert text.endswith("\r\nFrom: Acme Sales <info@acme.test>\r\n" + BODY)
    assert "secret" not in text
    story = await acme.running.story(sent.transaction)
    (event,) = [each for each in story["events"] if each["event"] == "submission"]
    assert event["login"] == "anna@acme.test"
    assert event["from"] == {"info@acme.test": "send_on_behalf"}
    assert event["changes"] == [
        "From: display name of info@acme.test",
        "Sender added: anna@acme.test",
        "bcc removed",
        "Date added",
        "Message-ID added",
    ]
    assert story["session"]["login"] == "anna@acme.test"


async def test_explain_tells_the_same(acme: People) -> None:
    raw = "From: team@acme.test\r\nBcc: x@y.test\r\n" + BODY
    question = Question(Address.parse("anna@acme.test"), ["x@elsewhere.test"], raw.encode(), "submission")
    assert str((await explain(acme.gateway, question)).reply).startswith("530 5.7.0")
    told = await explain(acme.gateway, replace(question, login="anna@acme.test"))
    assert told.reply.code == 250
    assert told.plan is not None
    assert any(line.startswith("Sender: Anna Berg") for line in told.plan.edits.prepend)
    assert len(told.plan.edits.splices) == 2
    forged = replace(question, content=message("bo@acme.test").encode(), login="anna@acme.test")
    assert (await explain(acme.gateway, forged)).reply.code == 553


async def test_explain_takes_a_login_where_people_log_in(acme: People) -> None:
    question = Question("anna@acme.test", ["info@acme.test"], message().encode(), login="anna@acme.test")
    told = await explain(acme.gateway, question)
    assert (told.session.listener, told.reply.code) == ("submission", 250)
    nobody = await explain(acme.gateway, replace(question, login="nobody@acme.test"))
    assert str(nobody.reply).startswith("530 5.7.0")
    why = "there is no active person of that address"
    assert nobody.events == [{"event": "login", "who": "nobody@acme.test", "why": why}]
    with pytest.raises(ConfigError, match=r"nobody logs in on the listener mx \(inbound\).* submission: submission"):
        await explain(acme.gateway, replace(question, listener="mx"))


async def test_explain_shows_the_way_of_an_alias(acme: People) -> None:
    told = await explain(acme.gateway, Question("out@sender.test", ["info@acme.test"], message().encode()))
    (way,) = [" ".join(line.split()) for line in lines(told) if line.startswith("info@")]
    assert way == "info@acme.test core 'alias' (alias of team@acme.test) -> team@acme.test via mail"


async def test_a_signature_that_a_new_name_breaks_is_named(acme: People) -> None:
    raw = "DKIM-Signature: v=1; d=acme.test; h=from:date; b=x\r\n" + message("team@acme.test")
    sent = await acme.send(raw, "x@elsewhere.test", login="bo@acme.test")
    story = await acme.running.story(sent.transaction)
    assert story["plan"]["edits"]["may_break_dkim"] == ["from"]


async def test_the_null_sender_is_for_read_receipts(acme: People) -> None:
    receipt = "Content-Type: multipart/report; report-type=disposition-notification; boundary=x\r\n"
    assert (await acme.send(message(more=receipt), "x@elsewhere.test", sender="")).code == 250
    assert str((await acme.send(message(), "x@elsewhere.test", sender="")).verdict.reply).startswith(
        "553 5.7.1 the null"
    )
    forged = message("ceo@bank.test", receipt)
    assert (await acme.send(forged, "x@elsewhere.test", sender="")).code == 553


async def test_local_recipients_go_through_the_same_chain_and_others_out(tmp_path: Path) -> None:
    seen = plugin(
        tmp_path,
        "seen",
        """
        @hookimpl
        def message_received(self, message):
            self.services.log.warning("seen %s", message.session.identity.address)

        @hookimpl
        def route_recipient(self, message, recipient):
            if recipient.local == "bo":
                return Redirect((Address("anna", "acme.test"),), keep=True)
        """.replace("\n        ", "\n"),
    )
    async with people(tmp_path, seen) as acme:
        sent = await acme.send(message(), "bo@acme.test", "x@elsewhere.test")
        assert sent.code == 250
        assert set(acme.running.mail.delivered) == {"bo@acme.test", "anna@acme.test"}
        assert set(acme.running.relay.delivered) == {"x@elsewhere.test"}
        transaction = await acme.mail(await acme.session("anna@acme.test"), "anna@acme.test")
        assert isinstance(transaction, Transaction)
        reply = await acme.gateway.pipeline.rcpt(transaction, Recipient(Address.parse("nobody@acme.test")))
        assert str(reply).startswith("550 5.1.1")


async def test_without_a_next_hop_for_elsewhere_such_recipients_are_refused(tmp_path: Path) -> None:
    async with people(tmp_path, tables="") as acme:
        transaction = await acme.mail(await acme.session("anna@acme.test"), "anna@acme.test")
        assert isinstance(transaction, Transaction)
        reply = await acme.gateway.pipeline.rcpt(transaction, Recipient(Address.parse("x@elsewhere.test")))
        assert str(reply).startswith("550 5.7.1")


async def test_the_client_is_hidden_on_request(tmp_path: Path) -> None:
    async with people(tmp_path, listener=LISTENER + "hide_client = true\n") as acme:
        came = await acme.session("anna@acme.test", client=Client("192.0.2.77", 1, "laptop.lan"), hides_client=True)
        await acme.send(message(), "x@elsewhere.test", came=came)
        (content,) = acme.running.relay.contents
        assert content.startswith(b"Received: from client (hidden)\r\n\tby gw.example.test (Stellwerk) with ESMTPSA")
        assert not any(secret in content for secret in (b"192.0.2", b"laptop", b"client.test"))
        assert acme.running.relay.batches[0].client is None


async def test_rates_are_one_persons_over_all_sessions(tmp_path: Path) -> None:
    settings = "max_person_message_rate = 2\nmax_person_recipient_rate = 3\n"
    async with people(tmp_path, listener=LISTENER + settings) as acme:
        assert isinstance(await acme.mail(await acme.session("anna@acme.test"), "anna@acme.test"), Transaction)
        first = await acme.mail(await acme.session("anna@acme.test"), "anna@acme.test")
        assert isinstance(first, Transaction)
        refused = await acme.mail(await acme.session("anna@acme.test"), "anna@acme.test")
        assert str(refused).startswith("450 4.7.1 you may send 2 messages in 3600 s")
        assert isinstance(await acme.mail(await acme.session("bo@acme.test"), "bo@acme.test"), Transaction)
        replies = [
            await acme.gateway.pipeline.rcpt(first, Recipient(Address.parse(f"x{number}@elsewhere.test")))
            for number in range(4)
        ]
        assert [reply.code for reply in replies] == [250, 250, 250, 450]


@pytest.mark.parametrize("change", [SetPassword("anna@acme.test", "#other"), DeactivatePerson("anna@acme.test")])
async def test_an_open_session_starts_no_mail_after_the_password_has_changed_or_the_person_left(
    acme: People, change: Command[object]
) -> None:
    came = await acme.session("anna@acme.test")
    transaction = await acme.mail(came, "anna@acme.test")
    assert isinstance(transaction, Transaction)
    await acme.do(change)
    assert str(await acme.mail(came, "anna@acme.test")).startswith("421 4.7.0 your login does not hold any more")
    # What had begun is finished.
    reply = await acme.gateway.pipeline.rcpt(transaction, Recipient(Address.parse("x@elsewhere.test")))
    assert reply.code == 250


async def test_a_login_is_checked_with_argon2_and_app_passwords_do_as_well(acme: People) -> None:
    await acme.do(SetPassword("anna@acme.test", await asyncio.to_thread(hash_password, "sesame")))
    await acme.do(AddAppPassword("anna@acme.test", "phone", await asyncio.to_thread(hash_password, "for the phone")))
    came = session("submission", direction="outbound")
    told = [
        await acme.gateway.pipeline.authenticate(came, Credentials("PLAIN", "anna@acme.test", password))
        for password in ("sesame", "for the phone", "barley")
    ]
    assert [str(each.address) if isinstance(each, Identity) else each.code for each in told] == [
        "anna@acme.test",
        "anna@acme.test",
        535,
    ]


async def test_rights_that_end_are_missed_at_the_next_mail(acme: People) -> None:
    came = await acme.session("bo@acme.test")
    assert isinstance(await acme.mail(came, "team@acme.test"), Transaction)
    await acme.do(EndMember("team@acme.test", "bo@acme.test"))
    assert str(await acme.mail(came, "team@acme.test")).startswith("553 5.7.1")
    await acme.do(TrustDomain("acme.test", trusted=False))
    assert str(await acme.mail(came, "bo@acme.test")).startswith("553 5.7.1 MAIL FROM: the domain acme.test")


async def test_no_mail_while_the_directory_cannot_be_read(acme: People) -> None:
    came = await acme.session("anna@acme.test")
    acme.gateway.directory.version._seen_at = float("-inf")
    await asyncio.to_thread(acme.gateway.store.close)
    assert str(await acme.mail(came, "anna@acme.test")).startswith("451 4.3.0")


async def test_a_changed_display_name_is_used_at_once(acme: People) -> None:
    await acme.do(ChangeMailbox("anna@acme.test", {"display_name": "Änna"}))
    await acme.send(message("Anna <anna@acme.test>"), "x@elsewhere.test")
    assert "\r\nFrom: =?utf-8?b?w4RubmE=?= <anna@acme.test>\r\n" in acme.running.relay.contents[0].decode()
