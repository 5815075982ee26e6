"""Replies: what can be one, how a next hop's is cleaned, and the id at its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import reply as replies
from gateway.mail.reply import MAX_TEXT, Reply
from tests.core.mail.strategies import replies as any_reply

CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}


@pytest.mark.parametrize(
    ("code", "enhanced"),
    [
        (199, ""), (600, ""), (99, ""), (-1, ""),
        (250, "5.0.0"), (550, "2.0.0"), (354, "3.0.0"), (550, "5.7"), (550, "5.7.1.1"), (550, "5.7.1000"),
        (550, "5.7.x"), (550, "5.7.1 "), (550, "5.7.1\r\n250 ok"), (550, "5.7.1\n"), (550, "\u0665.7.1"),
    ],
)  # fmt: skip
def test_no_reply(code: int, enhanced: str) -> None:
    with pytest.raises(ValueError, match="reply code"):
        Reply(code, enhanced, "text")


@given(any_reply())
def test_one_line_of_printable_ascii(reply: Reply) -> None:
    line = str(reply)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) + 2 <= 512, "RFC 5321 4.5.3.1.5"


@pytest.mark.parametrize("text", ["ok\r\n354 go on", "a\0b", "a\x1b[31mb", "ä\u2028ö", "250 ok\n"])
def test_g7_line_ends_never_reach_the_wire(text: str) -> None:
    assert all(" " <= character <= "~" for character in str(Reply(250, "2.0.0", text)))


@given(any_reply())
def test_json_round_trip(reply: Reply) -> None:
    assert Reply.from_json(json.loads(json.dumps(reply.to_json()))) == reply


@given(any_reply(), st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=20))
def test_the_id_stands_at_the_end_once(reply: Reply, transaction_id: str) -> None:
    tagged = reply.tagged(transaction_id)
    assert str(tagged).endswith(f" [{transaction_id}]")
    assert (tagged.code, tagged.enhanced) == (reply.code, reply.enhanced)
    assert len(tagged.text) <= MAX_TEXT
    assert tagged.tagged(transaction_id) == tagged


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (250, "2.0.0 Ok: queued as ABC", Reply(250, "2.0.0", "Ok: queued as ABC")),
        (550, "5.1.1  <x>: unknown", Reply(550, "5.1.1", "<x>: unknown")),
        (550, "unknown", Reply(550, "", "unknown")),
        (550, "2.0.0 what", Reply(550, "", "2.0.0 what")),
        (450, "4.2.0", Reply(450, "4.2.0", "")),
        (450, "4.2.0\r\n5.0.0 x", Reply(450, "4.2.0", "5.0.0 x")),
        (550, "5.1.1x", Reply(550, "", "5.1.1x")),
        (550, "", Reply(550, "", "")),
        (550, "a\x00\x1b[0mb\xff", Reply(550, "", "a [0mb")),
    ],
)
def test_a_next_hops_reply_keeps_class_and_enhanced_code(code: int, text: str, expected: Reply) -> None:
    assert Reply.parse(code, text) == expected


@given(st.integers(200, 599), st.text(max_size=600))
def test_any_next_hops_text_can_be_read(code: int, text: str) -> None:
    reply = Reply.parse(code, text)
    assert reply.code == code
    assert str(reply).isprintable()


@pytest.mark.parametrize(("name", "reply"), CONSTANTS.items(), ids=CONSTANTS)
def test_constants(name: str, reply: Reply) -> None:
    assert reply.text
    assert bool(reply.enhanced) == (reply.code != 354), "RFC 2034: every 2xx, 4xx and 5xx has an enhanced code"
    assert [reply.is_accept, reply.is_temporary, reply.is_permanent].count(True) == 1


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("TOO_BIG", "552 5.3.4"), ("UNKNOWN_USER", "550 5.1.1"), ("MAILBOX_DISABLED", "550 5.2.1"),
        ("ADDRESS_LITERAL", "550 5.1.2"), ("BAD_RECIPIENT_DOMAIN", "550 5.1.2"), ("NULL_MX_RECIPIENT", "556 5.1.10"),
        ("BAD_SENDER_DOMAIN", "550 5.1.8"), ("NULL_MX_SENDER", "550 5.7.27"), ("SENDER_DOMAIN_TROUBLE", "450 4.1.8"),
        ("RECIPIENT_DOMAIN_TROUBLE", "450 4.1.2"), ("DNS_TROUBLE", "451 4.4.3"), ("RELAY_DENIED", "550 5.7.1"),
        ("MAIL_LOOP", "554 5.4.6"), ("TOO_MANY_RECIPIENTS", "452 4.5.3"), ("BARE_NEWLINE", "550 5.6.0"),
        ("NEXT_HOP_DOWN", "451 4.4.1"), ("NEXT_HOP_BROKE_OFF", "451 4.4.2"), ("STORE_DOWN", "451 4.3.0"),
        ("PLUGIN_FAILED", "451 4.3.0"), ("STILL_BEING_DELIVERED", "451 4.3.0"), ("DISK_FULL", "452 4.3.1"),
        ("SPOOL_DOWN", "451 4.3.0"),
        ("SHUTTING_DOWN", "421 4.3.2"), ("TOO_MANY_ERRORS", "421 4.7.0"), ("TOO_MANY_CONNECTIONS", "421 4.7.0"),
        ("TOO_SLOW", "421 4.4.2"), ("TALK_BEFORE_BANNER", "554 5.5.0"),
    ],
)  # fmt: skip
def test_normative_codes(name: str, codes: str) -> None:
    reply = CONSTANTS[name]
    assert f"{reply.code} {reply.enhanced}" == codes


def test_says_keeps_the_codes() -> None:
    assert replies.TOO_BIG.says("other") == Reply(552, "5.3.4", "other")
