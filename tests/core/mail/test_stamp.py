"""The gateway's own header fields: nobody else's data can break them, and nobody else can write them."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.envelope import Client, Envelope, Identity, MailParameters, Recipient, Session
from gateway.mail.stamp import LOOP_FIELD, Inspection, Stamp
from tests.core.mail.strategies import bodies

HOST = "gw.example.org"
STAMP = Stamp(HOST, b"secret")
ANNA = Recipient(Address("anna", "example.test"))
BO = Recipient(Address("bo", "example.test"))
LOGIN = Identity(Address("cleo", "example.test"))
AT = 1_700_000_000.7


def received(
    helo: str = "client.test",
    address: str = "192.0.2.7",
    *to: Recipient,
    name: str = "",
    smtputf8: bool = False,
    **session: object,
) -> str:
    client = Client(address, name=name)
    settings: dict[str, object] = {"protocol": "smtp", **session}
    came_by = Session("s", "mx", role="inbound", direction="inbound", peer=client, client=client, helo=helo, **settings)  # type: ignore[arg-type]
    envelope = Envelope(None, to or (ANNA, BO), MailParameters(smtputf8=smtputf8))
    return STAMP.received_line("id42", came_by, envelope, AT)


@pytest.mark.parametrize(
    ("helo", "address", "name", "start"),
    [
        ("client.test", "192.0.2.7", "", "from client.test ([192.0.2.7])"),
        ("client.test", "192.0.2.7", "mx.client.test", "from client.test (mx.client.test [192.0.2.7])"),
        ("client.test", "2001:db8::7", "", "from client.test ([IPv6:2001:db8::7])"),
        ("client.test", "unix", "", "from client.test (local socket)"),
        ("client.test", "", "", "from client.test ([unknown])"),
        ("", "192.0.2.7", "", "from unknown ([192.0.2.7])"),
        ("[192.0.2.7]", "192.0.2.7", "", "from [192.0.2.7] ([192.0.2.7])"),
        ("a\r\nBcc: x@y", "192.0.2.7", "", "from a?Bcc:?x@y ([192.0.2.7])"),
        ("a) (b\\", "192.0.2.7", "c)\0(d", "from a?b? (c?d [192.0.2.7])"),
        ("gr\u00fcn\u2028x", "192.0.2.7", "\u202e", "from gr?n?x (? [192.0.2.7])"),
        ("x" * 300, "192.0.2.7", "", f"from {'x' * 255} ([192.0.2.7])"),
    ],
)
def test_p39_received_tells_who_came_and_cannot_be_broken(helo: str, address: str, name: str, start: str) -> None:
    lines = received(helo, address, name=name).split("\r\n")
    assert lines[0] == f"Received: {start}"
    assert lines[1] == f"\tby {HOST} (Stellwerk) with ESMTP id id42;"
    assert parsedate_to_datetime(lines[2].strip()).timestamp() == int(AT)
    assert len(lines) == 3


@given(st.text(max_size=300), st.text(max_size=300))
def test_p39_any_client_makes_one_well_formed_field(helo: str, name: str) -> None:
    lines = received(helo, name=name).split("\r\n")
    assert len(lines) == 3
    assert all(re.fullmatch(r"[\t\x20-\x7e]{1,998}", line) for line in lines)
    assert re.fullmatch(r"Received: from [^() ]+ \([^()]*\)", lines[0])


def test_a_forwarded_clients_own_helo_counts() -> None:
    peer, client = Client("127.0.0.1"), Client("192.0.2.9", helo="far.test", forwarded=True)
    came_by = Session("s", "lmtp", "lmtp", "filter", "inbound", peer, client, "postfix.test")
    line = STAMP.received_line("id42", came_by, Envelope(None, (ANNA, BO)), AT)
    assert line.startswith(
        "Received: from far.test ([192.0.2.9])\r\n\tby gw.example.org (Stellwerk) with LMTP id id42;"
    )


@pytest.mark.parametrize(
    ("session", "smtputf8", "word"),
    [
        ({}, False, "ESMTP"),
        ({"esmtp": False}, False, "SMTP"),
        ({"tls": "TLSv1.3"}, False, "ESMTPS (TLSv1.3)"),
        ({"tls": "TLSv1.3", "identity": LOGIN}, False, "ESMTPSA (TLSv1.3)"),
        ({"tls": "TLSv1.3", "identity": LOGIN}, True, "UTF8SMTPSA (TLSv1.3)"),
        ({"identity": LOGIN}, False, "ESMTPA"),
        ({"tls": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384"}, False, "ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)"),
        ({"tls": "TLSv1.3", "protocol": "lmtp"}, False, "LMTPS (TLSv1.3)"),
        ({}, True, "UTF8SMTP"),
        ({"tls": "TLSv1.3"}, True, "UTF8SMTPS (TLSv1.3)"),
        ({"protocol": "lmtp"}, False, "LMTP"),
        ({"protocol": "lmtp"}, True, "UTF8LMTP"),
    ],
)
def test_the_protocols_word(session: dict[str, object], smtputf8: bool, word: str) -> None:
    assert f" with {word} id id42" in received(smtputf8=smtputf8, **session)  # type: ignore[arg-type]


def test_who_has_logged_in_is_not_told() -> None:
    assert "cleo" not in received(identity=LOGIN)


def test_the_client_is_hidden_on_request() -> None:
    line = received("laptop.lan", "192.0.2.7", name="home.isp.test", hides_client=True)
    assert line.startswith("Received: from client (hidden)\r\n")
    assert not any(secret in line for secret in ("laptop", "192.0.2.7", "isp.test"))


def test_the_stamp_is_for_the_message_id_that_is_added() -> None:
    added = f"Message-ID: {STAMP.message_id('id42')}\r\n"
    stamp = STAMP.inspect(b"From: a@b\r\n\r\n", "mx", STAMP.message_id("id42")).edits.prepend[0]
    assert STAMP.inspect(f"{stamp}\r\n{added}From: a@b\r\n\r\n".encode(), "mx").loops == 1
    own = b"Message-ID: <own@b>\r\n\r\n"
    assert STAMP.inspect(own, "mx", "<other@b>") == STAMP.inspect(own, "mx")


def test_r14_only_a_single_recipient_is_named() -> None:
    assert "\r\n\tfor <anna@example.test>;\r\n" in received("client.test", "192.0.2.7", ANNA)
    assert " for " not in received("client.test", "192.0.2.7", ANNA, BO)
    quoted = Recipient(Address('a";\\b', "example.test"))
    assert '\tfor <"a\\";\\\\b"@example.test>;' in received("client.test", "192.0.2.7", quoted)


def inspect(block: bytes, listener: str = "mx", stamp: Stamp = STAMP) -> Inspection:
    return stamp.inspect(block, listener)


def stamped(block: bytes, listener: str = "mx", stamp: Stamp = STAMP) -> bytes:
    """The header as it leaves the gateway."""
    return stamp.inspect(block, listener).edits.render(bodies(block)[0])


MAIL = b"From: a@x.test\r\nMessage-ID: <1@x.test>\r\nSubject: hello\r\n"


@pytest.mark.parametrize(
    ("block", "count"),
    [
        (b"", 0),
        (b"Received: x\r\n", 1),
        (b"RECEIVED: x\r\nA: b\r\nreceived: y\r\n", 2),
        (b"A: Received: x\r\nReceived-SPF: pass\r\nX-Received: x\r\n", 0),
        (b"Received: x\r\n\tReceived: folded\r\n", 1),
        (b"Received: x\r\n" * 100_000, 100_000),
    ],
)
def test_m5_received_fields_are_counted(block: bytes, count: int) -> None:
    assert inspect(block).received == count


def test_a_message_without_anything_of_ours_only_gets_the_stamp() -> None:
    found = inspect(MAIL)
    assert (found.loops, found.removed, found.edits.splices, found.edits.may_break_dkim) == (0, (), (), ())
    (line,) = found.edits.prepend
    assert re.fullmatch(rf"{LOOP_FIELD}: mx [0-9a-f]{{32}}", line)


def test_r4_our_own_stamp_is_recognised_and_kept() -> None:
    once = stamped(MAIL)
    found = inspect(once)
    assert (found.loops, found.removed) == (1, ())
    twice = stamped(once)
    assert twice.endswith(once)
    assert inspect(twice).loops == 2


def test_r4_passing_two_listeners_of_one_gateway_is_no_loop() -> None:
    once = stamped(MAIL, "mx")
    found = inspect(once, "reinjected")
    assert (found.loops, found.removed) == (0, ())
    assert inspect(stamped(once, "reinjected"), "mx").loops == 1


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"X-Stellwerk-Loop: mx 00000000000000000000000000000000\r\n", id="guessed"),
        pytest.param(b"X-Stellwerk-Loop: mx\r\n", id="without digest"),
        pytest.param(b"X-Stellwerk-Loop: mx \xff\xfe\r\n", id="no text"),
        pytest.param(b"x-stellwerk-loop :\r\n folded\r\n", id="folded"),
    ],
)
def test_m16_a_stamp_that_is_not_ours_is_removed(field: bytes) -> None:
    found = inspect(MAIL + field)
    assert (found.loops, found.removed) == (0, ("x-stellwerk-loop",))
    assert stamped(MAIL + field).endswith(b"\r\n" + MAIL)


def test_m16_a_stamp_is_for_one_message_one_listener_and_one_secret() -> None:
    line = inspect(MAIL).edits.prepend[0].encode() + b"\r\n"
    assert inspect(line + MAIL.replace(b"<1@", b"<2@")).removed == ("x-stellwerk-loop",)
    assert inspect(line.replace(b" mx ", b" lmtp ") + MAIL).removed == ("x-stellwerk-loop",)
    assert inspect(line + MAIL, stamp=Stamp(HOST, b"other")).removed == ("x-stellwerk-loop",)
    assert inspect(line + MAIL, stamp=Stamp("other.host", b"secret")).loops == 1, "a node of the same installation"


FORGED = [
    b"X-Stellwerk-VIP: yes\r\n",
    b"x-stellwerk-vip: yes\r\n",
    b"X-STELLWERK-ANYTHING :\r\n\tyes\r\n",
    b"Authentication-Results: gw.example.org; dmarc=pass\r\n",
    b"authentication-results: GW.Example.ORG; dmarc=pass\r\n",
    b"Authentication-Results : gw.example.org; dmarc=pass\r\n",
    b"Authentication-Results:\r\n gw.example.org; dmarc=pass\r\n",
    b"Authentication-Results: gw.example.org 1; dmarc=pass\r\n",
    b"Authentication-Results: gw.example.org(x); dmarc=pass\r\n",
    b"Authentication-Results: (x) gw.example.org; dmarc=pass\r\n",
    b"Authentication-Results: (x(y\\)) z)\r\n (w) gw.example.org; dmarc=pass\r\n",
    b'Authentication-Results: "gw.example.org"; dmarc=pass\r\n',
    b'Authentication-Results: "gw\\.example.org"; dmarc=pass\r\n',
    b'Authentication-Results: "g\\w.ex\\ample.org"; dmarc=pass\r\n',
    b"Authentication-Results: (" + b"x" * 3000 + b") gw.example.org; dmarc=pass\r\n",
]


@pytest.mark.parametrize("field", FORGED, ids=range(len(FORGED)))
@pytest.mark.parametrize("place", ["top", "middle", "end"])
def test_m16_what_only_we_may_write_is_removed_and_nothing_else(field: bytes, place: str) -> None:
    before, after = {"top": (b"", MAIL), "middle": (MAIL, MAIL), "end": (MAIL, b"")}[place]
    found = inspect(before + field + after)
    assert len(found.removed) == 1
    assert found.edits.render(bodies(before + field + after)[0]) == (
        found.edits.prepend[0].encode() + b"\r\n" + before + after
    )


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: other.example.org; dmarc=pass\r\n",
        b"Authentication-Results: gw.example.org.evil.test; dmarc=pass\r\n",
        b"Authentication-Results: other.test; spf=pass smtp.helo=gw.example.org\r\n",
        b"Authentication-Results: (gw.example.org) other.test; spf=pass\r\n",
        b'Authentication-Results: "other\\.test"; none\r\n',
        b"ARC-Authentication-Results: i=1; gw.example.org; dmarc=pass\r\n",
        b"X-Authentication-Results: gw.example.org; dmarc=pass\r\n",
        b"Authentication-Results:\r\n",
        b"Subject: X-Stellwerk-VIP: yes\r\n",
        b"Subject:\r\n X-Stellwerk-VIP: yes\r\n",
        b"Y-X-Stellwerk-VIP: yes\r\n",
    ],
)
def test_what_others_may_write_stays(field: bytes) -> None:
    found = inspect(MAIL + field)
    assert (found.removed, found.edits.splices) == ((), ())


def test_r4_a_message_that_begins_folded_is_recognised_all_the_same() -> None:
    """Its first line continues our stamp."""
    once = stamped(b" X-Stellwerk-VIP: yes\r\n" + MAIL)
    assert (inspect(once).loops, inspect(once).removed) == (1, ())


def test_removing_a_signed_field_is_told() -> None:
    block = b"DKIM-Signature: v=1; h=from:x-stellwerk-vip:subject; b=x\r\n" + MAIL + b"X-Stellwerk-VIP: yes\r\n"
    assert inspect(block).edits.may_break_dkim == ("x-stellwerk-vip",)
    assert inspect(block + b"X-Stellwerk-Other: 1\r\n").edits.may_break_dkim == ("x-stellwerk-vip",)
    assert inspect(MAIL + b"X-Stellwerk-VIP: yes\r\n").edits.may_break_dkim == ()


@given(st.lists(st.sampled_from(
    [MAIL, b"X-Stellwerk-A: 1\r\n", b"Authentication-Results: ", b"gw.example.org", b"(", b")", b"\\", b'"', b";", b" ",
     b"\r\n", b"\xff", b"X-Stellwerk-Loop: mx 0", b"Message-ID:"]), max_size=30).map(b"".join))  # fmt: skip
def test_any_header_can_be_inspected_and_passing_twice_removes_nothing_more(block: bytes) -> None:
    once = stamped(block)
    assert inspect(once).removed == ()
