"""Whom an automatic answer must never go to (RFC 3834 2), and what an answer looks like."""

from __future__ import annotations

import email
import email.policy

import pytest

from gateway.answers.rules import reason_for_silence
from gateway.answers.writing import answer
from gateway.mail.address import Address
from gateway.mail.headers import Headers

OWN = frozenset({"team@acme.test", "info@acme.test"})
PLAIN = "From: Out <out@sender.test>\r\nTo: Team <team@acme.test>\r\nSubject: hello\r\n"


def why(more: str = "", sender: str = "out@sender.test", header: str = PLAIN) -> str:
    address = Address.parse(sender) if sender else None
    return reason_for_silence(Headers(f"{more}{header}\r\n".encode()), address, OWN)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", ""),
        ("Auto-Submitted: no\r\n", ""),
        ("Auto-Submitted: NO (really)\r\n", "it is marked Auto-Submitted"),
        ("Auto-Submitted: auto-replied\r\n", "it is marked Auto-Submitted"),
        ("Auto-Submitted: auto-generated; type=x\r\n", "it is marked Auto-Submitted"),
        ("Precedence: Bulk\r\n", "its Precedence is bulk"),
        ("Precedence: list\r\n", "its Precedence is list"),
        ("Precedence: junk\r\n", "its Precedence is junk"),
        ("Precedence: auto_reply\r\n", "its Precedence is auto_reply"),
        ("Precedence: first-class\r\n", ""),
        ("List-Id: <x.sender.test>\r\n", "it comes from a mailing list"),
        ("List-Unsubscribe: <mailto:x@sender.test>\r\n", "it comes from a mailing list"),
        ("X-Auto-Response-Suppress: OOF\r\n", "it has the field X-Auto-Response-Suppress"),
        ("X-Autoreply: yes\r\n", "it has the field X-Autoreply"),
        ("X-Autorespond: x\r\n", "it has the field X-Autorespond"),
        ("Content-Type: multipart/report; boundary=x\r\n", "it is a report"),
    ],
)
def test_what_the_header_says(more: str, expected: str) -> None:
    assert why(more) == expected


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("", "it has the null sender"),
        ("TEAM@acme.test", "it comes from the mailbox itself"),
        ("owner-things@sender.test", "nobody reads mail to owner-things@sender.test"),
        ("things-request@sender.test", "nobody reads mail to things-request@sender.test"),
        ("MAILER-DAEMON@sender.test", "nobody reads mail to MAILER-DAEMON@sender.test"),
        ("no-reply@sender.test", "nobody reads mail to no-reply@sender.test"),
        ("donotreply@sender.test", "nobody reads mail to donotreply@sender.test"),
        ("bounce-77@sender.test", "nobody reads mail to bounce-77@sender.test"),
        ("requests@sender.test", ""),
        ("noreen@sender.test", ""),
    ],
)
def test_who_it_is_from(sender: str, expected: str) -> None:
    assert why(sender=sender) == expected


@pytest.mark.parametrize(
    ("header", "answered"),
    [
        ("To: info@acme.test\r\n", True),
        ('Cc: x@y.test, "A, B" <TEAM+lists@Acme.Test>\r\n', True),
        ("Resent-To: team@acme.test\r\n", True),
        ("To: someone@else.test\r\n", False),
        ("Bcc: team@acme.test\r\n", False),
        ("To: ((((((((\r\nCc: team@acme.test\r\n", True),
        ("To: " + "(" * 3000 + "\r\n", False),
        ("To: " + "a" * 100_000 + "@\r\n", False),
        ("", False),
    ],
)
def test_the_mailbox_must_be_named(header: str, answered: bool) -> None:
    assert (why(header=header) == "") is answered


def parsed(original: str, **changed: str) -> email.message.EmailMessage:
    values = {"subject": "", "text": "I am away.\n", "display_name": "Acme Sales"} | changed
    content = answer(
        mailbox=Address.parse("team@acme.test"),
        to=Address.parse("out@sender.test"),
        original=Headers(original.encode()),
        now=1_700_000_000.0,
        message_id="1.2@gw.test",
        **values,
    )
    assert content.count(b"\n") == content.count(b"\r\n")
    return email.message_from_bytes(content, policy=email.policy.SMTP)


def test_an_answer() -> None:
    told = parsed("Message-ID: <a@x>\r\nReferences: <r1@x> <r2@x>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n")
    assert {name: str(value) for name, value in told.items() if not name.startswith(("Content", "MIME"))} == {
        "From": "Acme Sales <team@acme.test>",
        "To": "out@sender.test",
        "Subject": "Auto: Grüße",
        "Date": "Tue, 14 Nov 2023 22:13:20 +0000",
        "Message-ID": "<1.2@gw.test>",
        "In-Reply-To": "<a@x>",
        "References": "<r1@x> <r2@x> <a@x>",
        "Auto-Submitted": "auto-replied",
        "X-Auto-Response-Suppress": "All",
    }
    assert told.get_content() == "I am away.\r\n"


def test_an_answer_with_its_own_subject_and_any_text() -> None:
    told = parsed(
        "", subject="Urlaub: zurück am 3.", text="Ich bin im Urlaub - bis bald.\n.\n", display_name="Jürgen, Ä"
    )
    assert (str(told["Subject"]), str(told["From"])) == ("Urlaub: zurück am 3.", '"Jürgen, Ä" <team@acme.test>')
    assert told.get_content() == "Ich bin im Urlaub - bis bald.\r\n.\r\n"
    assert "In-Reply-To" not in told


@pytest.mark.parametrize(
    "original",
    [
        "Subject: =?utf-8?q?a=0D=0ABcc:_x=40y.test?=\r\nMessage-ID: <a\r\n b@x>\r\n\r\n",
        "Subject: " + "x" * 5000 + "\r\nMessage-ID: <" + "y" * 5000 + "@x>\r\n\r\n",
        "Subject: \u202egnp.exe\r\nMessage-ID: <<<<\r\nReferences: " + "<a@x>" * 3000 + "\r\n\r\n",
    ],
)
def test_what_is_quoted_breaks_out_of_nothing(original: str) -> None:
    told = parsed(original)
    assert told["Bcc"] is None
    assert len(str(told["Subject"])) <= 210
    assert str(told["Subject"]).isprintable()
    assert len(str(told.get("References", ""))) < 400
