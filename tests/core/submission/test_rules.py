"""What a submitted message's header becomes, by the rules alone."""

from __future__ import annotations

import re

import pytest

from gateway.directory.logins import Right, SendingAddress
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import Identity
from gateway.mail.headers import Headers
from gateway.mail.reply import Reply
from gateway.submission.rules import Rewriting, is_notification, read_authors, refusal, rewrite

ANNA = Identity(Address.parse("anna@acme.test"), "p1", "Anna Berg")
COMPLETE = "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n"
BODY = "\r\nBcc: not a field\r\n\xa0 body\r\n"


def may(
    address: str, right: Right, display_name: str = "", *, personal: bool = True, send: bool = True
) -> SendingAddress:
    return SendingAddress(address, right, send, f"m-{address}", address, display_name, personal)


KNOWN = {
    each.key: each
    for each in (
        may("anna@acme.test", "own"),
        may("boss@acme.test", "own", "The Boss"),
        may("team@acme.test", "send_as", "Acme Söhne", personal=False),
        may("info@acme.test", "send_on_behalf", "Acme, Info", personal=False),
        may("plain@acme.test", "send_on_behalf", personal=False),
    )
}


def rewritten(header: str) -> tuple[str, Rewriting]:
    """The message that goes out, and how it came to that."""
    raw = (header + BODY).encode("utf-8")
    body = MemoryBody(raw)
    headers = Headers(body.header_block)
    authors = read_authors(headers)
    assert not isinstance(authors, Reply), authors
    done = rewrite(headers, authors, KNOWN, ANNA, sender_address="anna@acme.test", message_id="<t1@gw.test>", at=0.0)
    out = done.edits.render(body)
    assert out.endswith(BODY.encode("utf-8"))
    return out.decode("utf-8").removesuffix(BODY), done


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("From: Anna <anna@acme.test>\r\n", "From: Anna <anna@acme.test>\r\n", id="nothing to do"),
        pytest.param(
            "from:  boss@acme.test\r\nSubject: x\r\n",
            "From: The Boss <boss@acme.test>\r\nSubject: x\r\n",
            id="name added",
        ),
        pytest.param(
            "From: Me Myself\r\n <BOSS@acme.test>\r\n", "From: The Boss <BOSS@acme.test>\r\n", id="name replaced"
        ),
        pytest.param("From: The Boss <boss@acme.test>\r\n", "From: The Boss <boss@acme.test>\r\n", id="name is so"),
        pytest.param(
            "From: team@acme.test\r\n", "From: =?utf-8?q?Acme_S=C3=B6hne?= <team@acme.test>\r\n", id="encoded"
        ),
        pytest.param(
            "From: plain@acme.test\r\n",
            "Sender: Anna Berg <anna@acme.test>\r\nFrom: plain@acme.test\r\n",
            id="on behalf",
        ),
        pytest.param(
            "From: x <info@acme.test>\r\nSender: anna@acme.test\r\n",
            'From: "Acme, Info" <info@acme.test>\r\nSender: anna@acme.test\r\n',
            id="on behalf, Sender is there",
        ),
        pytest.param(
            "From: plain@acme.test\r\nSender: team@acme.test\r\n",
            "From: plain@acme.test\r\nSender: Anna Berg <anna@acme.test>\r\n",
            id="Sender names no person",
        ),
        pytest.param(
            "Sender: ceo@bank.test\r\nFrom: anna@acme.test\r\nSender: ceo@bank.test\r\n",
            "Sender: Anna Berg <anna@acme.test>\r\nFrom: anna@acme.test\r\n",
            id="Sender of somebody else",
        ),
        pytest.param(
            "From: anna@acme.test\r\nSender: ceo@bank.test,\r\n (\r\n",
            "From: anna@acme.test\r\nSender: Anna Berg <anna@acme.test>\r\n",
            id="Sender that nobody can read",
        ),
        pytest.param(
            "From: anna@acme.test\r\nSender: team@acme.test\r\n",
            "From: anna@acme.test\r\nSender: team@acme.test\r\n",
            id="Sender that one may send as",
        ),
        pytest.param(
            "From: anna@acme.test, boss@acme.test\r\n",
            "Sender: Anna Berg <anna@acme.test>\r\nFrom: anna@acme.test,\r\n The Boss <boss@acme.test>\r\n",
            id="several authors",
        ),
        pytest.param(
            "Bcc: a@x,\r\n b@x\r\nFrom: anna@acme.test\r\nBCC : c@x\r\nResent-Bcc: d@x\r\nX-Bcc: e@x\r\n",
            "From: anna@acme.test\r\nX-Bcc: e@x\r\n",
            id="Bcc goes",
        ),
    ],
)
def test_the_header(header: str, expected: str) -> None:
    out, _ = rewritten(header + COMPLETE)
    assert out == expected + COMPLETE


def test_date_and_message_id_are_added_when_missing() -> None:
    out, done = rewritten("From: anna@acme.test\r\n")
    assert re.fullmatch(
        r"Date: Thu, 01 Jan 1970 \d\d:00:00 \+\d\d00\r\nMessage-ID: <t1@gw\.test>\r\nFrom: anna@acme\.test\r\n", out
    )
    assert done.changes == ("Date added", "Message-ID added")


@pytest.mark.parametrize(
    ("header", "broken"),
    [
        ("From: anna@acme.test\r\n", ()),
        ("From: boss@acme.test\r\nBcc: x@x\r\n", ("from",)),
        ("From: plain@acme.test\r\n", ("sender",)),
    ],
)
def test_signed_fields_that_change_are_named(header: str, broken: tuple[str, ...]) -> None:
    signature = "DKIM-Signature: v=1; d=acme.test; h=From : Sender:\r\n\tSubject; b=x\r\n"
    _, done = rewritten(signature + header + COMPLETE)
    assert done.edits.may_break_dkim == broken


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Subject: x\r\n", "has no From field"),
        ("From: anna@acme.test\r\nFrom: ceo@bank.test\r\n", "has 2 From fields"),
        ("From: anna@acme.test\r\nFROM : ceo@bank.test\r\n", "has 2 From fields"),
        ("From: (((\r\n", "comment is not closed"),
        ("From: a@x <b@x>\r\n", "put the name in quotes"),
        (f"From: {'(' * 3000}\r\n", "comment is not closed"),
        (f"From: {'a' * 100_000}@x\r\n", "longer than"),
    ],
)
def test_headers_that_do_not_say_who_wrote_are_refused(header: str, said: str) -> None:
    refused = read_authors(Headers(header.encode()))
    assert isinstance(refused, Reply)
    assert (refused.code, refused.enhanced) == (550, "5.6.0")
    assert said in refused.text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "From: you may not send from x@acme.test"),
        (may("x@acme.test", ""), "From: you may not send from x@acme.test"),
        (may("x@acme.test", "", send=False), "From: you may not send from x@acme.test"),
        (may("x@acme.test", "own", send=False), "neither verified nor trusted"),
        (may("x@acme.test", "own"), None),
        (may("x@acme.test", "send_on_behalf"), None),
    ],
)
def test_who_may_send_from_an_address(found: SendingAddress | None, said: str | None) -> None:
    refused = refusal(Address.parse("x@acme.test"), found, "From")
    if said is None:
        assert refused is None
    else:
        assert refused is not None
        assert (refused.code, refused.enhanced) == (553, "5.7.1")
        assert said in refused.text


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=x\r\n", True),
        ('Content-Type: multipart/REPORT;\r\n\tboundary=x;\r\n\treport-type="disposition-notification"\r\n', True),
        ("Content-Type: multipart/report; report-type=delivery-status\r\n", False),
        ("Content-Type: text/plain; x=multipart/report; report-type=disposition-notification\r\n", False),
        ("Subject: x\r\n", False),
    ],
)
def test_read_receipts_are_recognised(header: str, expected: bool) -> None:
    assert is_notification(Headers(header.encode())) is expected
