"""Delivery status notifications, read back by another parser and compared byte for byte."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.dsn import Action, ReportedRecipient, notification
from gateway.mail.address import Address
from gateway.mail.reply import NEXT_HOP_DOWN, UNKNOWN_USER, Reply
from tests.core.delivery.batches import ANNA, BO, CLEO, SENDER

ORIGINAL = b"From: sender@example.com\r\nSubject: hello\r\n folded\r\n\r\nbody\r\n.\r\n--x\r\n"
NOW = datetime(2026, 10, 30, 4, tzinfo=UTC).timestamp()


def report(*recipients: ReportedRecipient, **more: Any) -> bytes:
    settings: dict[str, Any] = {
        "to": SENDER,
        "recipients": recipients or (ReportedRecipient(BO, Action.FAILED, UNKNOWN_USER),),
        "original": ORIGINAL,
        "full": False,
        "reporting_mta": "gw.example.test",
        "now": NOW,
        "message_id": "1@gw.example.test",
    }
    return notification(**{**settings, **more})


def parsed(data: bytes) -> tuple[EmailMessage, Any]:
    """The report and its three parts."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert not message.defects
    return message, message.get_payload()


def test_the_whole_report() -> None:
    failed = ReportedRecipient(
        BO,
        Action.FAILED,
        UNKNOWN_USER,
        orcpt="rfc822;bo+2Btag@example.test",
        remote_mta="mx.example.test",
        last_attempt=NOW - 1,
    )
    later = ReportedRecipient(CLEO, Action.DELAYED, NEXT_HOP_DOWN, will_retry_until=NOW + 86_400)
    data = report(failed, later, envid="QQ+2B314", arrived=NOW - 60, transaction="2AB-1")
    message, (text, status, header) = parsed(data)
    assert data.count(b"\n") == data.count(b"\r\n")
    assert {name.lower(): str(value) for name, value in message.items()} == {
        "from": "Mail delivery <MAILER-DAEMON@gw.example.test>",
        "to": "sender@example.com",
        "subject": "Your message could not be delivered",
        "date": "Fri, 30 Oct 2026 04:00:00 +0000",
        "message-id": "<1@gw.example.test>",
        "auto-submitted": "auto-replied",
        "mime-version": "1.0",
        "content-type": str(message["content-type"]),
    }
    assert message.get_content_type() == "multipart/report"
    assert message["content-type"].params["report-type"] == "delivery-status"
    assert text.get_content_type() == "text/plain"
    people = text.get_content().replace("\r\n", "\n")
    assert "<bo@example.test>\n    550 5.1.1 no such mailbox here\n" in people
    assert "<cleo@example.test>\n    451 4.4.1 the next hop" in people
    assert "mention this id: 2AB-1" in people
    assert status.get_content_type() == "message/delivery-status"
    blocks = [[f"{name}: {value}" for name, value in block.items()] for block in status.get_payload()]
    assert blocks == [
        [
            "Original-Envelope-Id: QQ+314",
            "Reporting-MTA: dns; gw.example.test",
            "Arrival-Date: Fri, 30 Oct 2026 03:59:00 +0000",
        ],
        [
            "Original-Recipient: rfc822;bo+tag@example.test",
            "Final-Recipient: rfc822; bo@example.test",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; mx.example.test",
            "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox here",
            "Last-Attempt-Date: Fri, 30 Oct 2026 03:59:59 +0000",
        ],
        [
            "Final-Recipient: rfc822; cleo@example.test",
            "Action: delayed",
            "Status: 4.4.1",
            "Diagnostic-Code: smtp; 451 4.4.1 the next hop does not answer, try again later",
            "Will-Retry-Until: Sat, 31 Oct 2026 04:00:00 +0000",
        ],
    ]
    assert header.get_content_type() == "text/rfc822-headers"
    assert b"From: sender@example.com\r\nSubject: hello\r\n folded\r\n\r\n--" in data


@pytest.mark.parametrize(
    ("action", "status", "subject"),
    [
        (Action.FAILED, "5.0.0", "could not be delivered"),
        (Action.DELAYED, "4.0.0", "delayed"),
        (Action.DELIVERED, "2.0.0", "was delivered"),
        (Action.RELAYED, "2.0.0", "handed on"),
        (Action.EXPANDED, "2.0.0", "several recipients"),
    ],
)
def test_each_action_without_a_reply(action: Action, status: str, subject: str) -> None:
    data = report(ReportedRecipient(ANNA, action), full=True)
    message, (_, machine, returned) = parsed(data)
    assert subject in message["subject"]
    block = machine.get_payload()[1]
    assert (block["action"], block["status"]) == (str(action), status)
    whole = returned.get_content_type() == "message/rfc822"
    assert whole is (action is Action.FAILED), "RFC 3461 4.3: RET concerns failures only"


def test_a_reply_without_an_enhanced_code_still_has_a_status() -> None:
    recipient = ReportedRecipient(ANNA, Action.FAILED, Reply(554, "", "go away"))
    assert recipient.status == "5.0.0"


def test_a_long_diagnostic_is_folded() -> None:
    data = report(ReportedRecipient(BO, Action.FAILED, Reply(550, "5.7.1", "word " * 70)))
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert parsed(data)[1][1].get_payload()[1]["diagnostic-code"].count("word") == 70


@pytest.mark.parametrize("original", [ORIGINAL, b"", b"\r\nbody only\r\n", b"A: b\r\n", b"A: b\r\n\r\nno line end"])
def test_the_original_is_returned_byte_for_byte(original: bytes) -> None:
    data = report(original=original, full=True)
    returned = data.split(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")[1]
    assert returned.rpartition(b"\r\n--")[0] == original
    data = report(original=original)
    returned = data.split(b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")[1]
    header = b"" if original.startswith(b"\r\n") else original.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n")
    assert returned.rpartition(b"\r\n--")[0].removesuffix(b"\r\n") == header


def test_eight_bit_content_is_declared() -> None:
    data = report(original=b"Subject: \xc3\xa4\r\n\r\n\xff\r\n", full=True)
    assert b"message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: \xc3\xa4\r\n\r\n\xff\r\n" in data


def test_the_boundary_occurs_in_no_part() -> None:
    first = report(full=True).split(b'boundary="')[1].partition(b'"')[0]
    data = report(original=ORIGINAL + b"--" + first + b"--\r\n", full=True)
    second = data.split(b'boundary="')[1].partition(b'"')[0]
    assert first != second
    assert b"--" + first + b"--\r\n" in data
    assert len(parsed(data)[1]) == 3


@given(st.binary(max_size=200))
def test_whatever_the_original_is_the_report_has_three_parts(original: bytes) -> None:
    data = report(original=original, full=True)
    boundary = data.split(b'boundary="')[1].partition(b'"')[0]
    assert data.count(b"--" + boundary) == 4
    assert original in data


UMLAUT = Address("jürgen+x", "example.test")


def test_rfc_6533_addresses_as_they_are_where_the_report_may_hold_them() -> None:
    data = report(ReportedRecipient(UMLAUT, Action.FAILED, orcpt="utf-8;j+C3+BCrgen@example.test"), smtputf8=True)
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in data
    assert b"Content-Type: message/global-headers\r\n" in data
    assert "\r\nFinal-Recipient: utf-8; jürgen+x@example.test\r\n".encode() in data
    assert "\r\nOriginal-Recipient: utf-8;jürgen@example.test\r\n".encode() in data


def test_rfc_6533_addresses_in_ascii_where_it_may_not() -> None:
    data = report(ReportedRecipient(UMLAUT, Action.FAILED, orcpt=r"utf-8;j\x{FC}rgen@example.test"))
    assert b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n" in data
    assert b"\r\nFinal-Recipient: utf-8; j\\x{FC}rgen\\x{2B}x@example.test\r\n" in data
    assert b"\r\nOriginal-Recipient: utf-8;j\\x{FC}rgen@example.test\r\n" in data


def test_rfc_6533_a_report_to_such_an_address_is_such_a_report() -> None:
    assert b"message/global-delivery-status" in report(to=UMLAUT)


@pytest.mark.parametrize("orcpt", ["rfc822;a+0D+0ABcc:x@example.org", "rfc822;a+00b", "rfc822;a\r\nBcc: x", "rf\nc;x"])
def test_an_orcpt_never_makes_a_line_of_its_own(orcpt: str) -> None:
    data = report(ReportedRecipient(BO, Action.FAILED, UNKNOWN_USER, orcpt=orcpt), envid=orcpt, transaction=orcpt)
    (field,) = [line for line in data.split(b"\r\n") if line.startswith(b"Original-Recipient")]
    assert field.isascii()
    assert not any(line.lower().startswith((b"bcc", b"c;")) for line in data.replace(b"\r", b"\n").split(b"\n"))


def test_an_orcpt_without_a_type_is_left_out() -> None:
    assert b"Original-Recipient" not in report(ReportedRecipient(BO, Action.FAILED, orcpt="nonsense"))
