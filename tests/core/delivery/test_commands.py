"""The command lines of a transaction, without any network."""

from __future__ import annotations

import pytest

from gateway.delivery.commands import CannotSend, Capabilities, envelope, xforward_lines, xtext
from gateway.delivery.transport import Batch, Copy
from gateway.mail.address import Address
from gateway.mail.edits import Edits
from gateway.mail.envelope import Client
from tests.core.delivery.batches import ANNA, BO, batch, spilled

EVERYTHING = Capabilities.parse(
    ["mx.test", "PIPELINING", "SIZE 1000", "8BITMIME", "smtputf8", "DSN", "XFORWARD SOURCE NAME ADDR PORT"]
)


def lines(sent: Batch, offered: Capabilities = EVERYTHING, *, reset: bool = False, xforward: bool = False) -> list[str]:
    commands = envelope(sent, offered, reset=reset, xforward=xforward)
    found = [line.decode() for line in commands.lines()]
    assert len(found) == commands.count
    assert all(line.endswith("\r\n") for line in found)
    return [line.removesuffix("\r\n") for line in found]


def test_capabilities_are_read_from_the_ehlo_reply() -> None:
    assert (EVERYTHING.pipelining, EVERYTHING.size, EVERYTHING.eight_bit) == (True, 1000, True)
    assert (EVERYTHING.smtputf8, EVERYTHING.dsn) == (True, True)
    assert EVERYTHING.xforward == ("NAME", "ADDR", "PORT", "SOURCE"), "the order they are sent in"
    nothing = Capabilities.parse(["mx.test"])
    assert (nothing.pipelining, nothing.size, nothing.dsn, nothing.xforward) == (False, None, False, ())


@pytest.mark.parametrize("text", ["SIZE", "SIZE 0", "SIZE abc", "SIZE -5", "SIZE " + "9" * 30, "SIZE ²"])
def test_a_size_without_a_usable_limit_is_no_limit(text: str) -> None:
    assert Capabilities.parse(["mx.test", text]).size == 0


def test_the_commands_stand_in_order() -> None:
    client = Client("192.0.2.7", 25)
    sent = batch(b"x\r\n", ANNA, BO, client=client)
    assert lines(sent, reset=True, xforward=True) == [
        "RSET",
        "XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=25",
        "XFORWARD SOURCE=REMOTE",
        "MAIL FROM:<sender@example.com> SIZE=3",
        "RCPT TO:<anna@example.test>",
        "RCPT TO:<bo@example.test>",
        "DATA",
    ]
    assert envelope(sent, EVERYTHING, reset=True, xforward=True).preamble == 3
    assert lines(sent)[0].startswith("MAIL")


@pytest.mark.parametrize(
    ("more", "mail"),
    [
        ({"sender": None}, "MAIL FROM:<> SIZE=3"),
        ({"sender": Address("a b", "example.com")}, 'MAIL FROM:<"a b"@example.com> SIZE=3'),
        ({"edits": Edits(("X: y",))}, "MAIL FROM:<sender@example.com> SIZE=9"),
        ({"body_type": "8BITMIME"}, "MAIL FROM:<sender@example.com> SIZE=3 BODY=8BITMIME"),
        ({"sender": Address("ä", "example.com")}, "MAIL FROM:<ä@example.com> SIZE=3 SMTPUTF8"),
        ({"smtputf8": True}, "MAIL FROM:<sender@example.com> SIZE=3 SMTPUTF8"),
        ({"ret": "FULL", "envid": "a+20b"}, "MAIL FROM:<sender@example.com> SIZE=3 RET=FULL ENVID=a+20b"),
        ({"ret": "x", "envid": "a b"}, "MAIL FROM:<sender@example.com> SIZE=3"),
    ],
)
def test_parameters_of_mail(more: dict[str, object], mail: str) -> None:
    found = next(line for line in lines(batch(b"x\r\n", **more)) if line.startswith("MAIL"))
    assert found == mail


@pytest.mark.parametrize(
    ("data", "body_type", "declared"),
    [
        (b"plain\r\n", "", False),
        (b"plain\r\n", "7BIT", False),
        (b"\xc3\xa4\r\n", "", True),
        (b"\xc3\xa4\r\n", "7BIT", True),
    ],
)
def test_p31_eight_bit_mail_is_declared_whoever_forgot_to(data: bytes, body_type: str, declared: bool) -> None:
    (mail, *_) = lines(batch(data, body_type=body_type))
    assert ("BODY=8BITMIME" in mail) is declared


def test_p31_a_spilled_body_is_taken_at_its_word_or_for_the_worst() -> None:
    assert "BODY=8BITMIME" in lines(batch(spilled(b"x\r\n")))[0]
    assert "BODY" not in lines(batch(spilled(b"x\r\n"), body_type="7BIT"))[0]


def test_p35_utf8_mail_is_not_sent_where_it_cannot_go() -> None:
    plain = Capabilities.parse(["mx.test"])
    with pytest.raises(CannotSend, match=r"553 5\.6\.7"):
        lines(batch(b"x\r\n", Address("ä", "example.test")), plain)
    with pytest.raises(CannotSend, match=r"553 5\.6\.7"):
        lines(batch("Subject: ä\r\n\r\n".encode(), smtputf8=True), plain)
    assert lines(batch(b"Subject: a\r\n\r\n\xc3\xa4", smtputf8=True), plain)[0] == "MAIL FROM:<sender@example.com>"


def test_n10_what_is_too_big_for_the_hop_is_not_begun() -> None:
    with pytest.raises(
        CannotSend, match=r"552 5\.3\.4 message of 1001 bytes is too big for the next hop \(1000 bytes\)"
    ):
        lines(batch(b"x" * 1001))
    assert lines(batch(b"x" * 1000))[0].endswith("SIZE=1000")


def test_parameters_of_rcpt_that_would_be_none_are_left_out() -> None:
    copies = (Copy(ANNA, ("NEVER",), "rfc822;a b"), Copy(BO, (), "rfc822;b\r\nDATA"))
    assert lines(batch(b"x\r\n", copies=copies))[1:3] == [
        "RCPT TO:<anna@example.test> NOTIFY=NEVER",
        "RCPT TO:<bo@example.test>",
    ]


@pytest.mark.parametrize(
    ("text", "coded"),
    [("plain-text.1", "plain-text.1"), ("a+b=c", "a+2Bb+3Dc"), ("a b\r\n", "a+20b+0D+0A"), ("ä", "+C3+A4"), ("", "")],
)
def test_xtext(text: str, coded: str) -> None:
    assert xtext(text) == coded


ALL = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
U = "[UNAVAILABLE]"


@pytest.mark.parametrize(
    ("client", "first", "second"),
    [
        (
            Client("192.0.2.7", 2525, "mx.example.com", "mx", "ESMTP", "4Q", "LOCAL"),
            "NAME=mx.example.com ADDR=192.0.2.7 PORT=2525",
            "PROTO=ESMTP HELO=mx IDENT=4Q SOURCE=LOCAL",
        ),
        (
            Client("2001:DB8::7", name="not a name", helo="a b"),
            f"NAME={U} ADDR=IPV6:2001:db8::7 PORT={U}",
            f"PROTO={U} HELO=a+20b IDENT={U} SOURCE=REMOTE",
        ),
        (
            Client("unix", name="n" * 64, helo="x" * 300),
            f"NAME={U} ADDR={U} PORT={U}",
            f"PROTO={U} HELO={U} IDENT={U} SOURCE=REMOTE",
        ),
    ],
)
def test_xforward(client: Client, first: str, second: str) -> None:
    assert xforward_lines(client, ALL) == [f"XFORWARD {first}", f"XFORWARD {second}"]


def test_xforward_names_only_what_the_hop_takes() -> None:
    client = Client("192.0.2.7", 25, "mx.example.com", "mx", "ESMTP", "4Q")
    assert xforward_lines(client, ("ADDR",)) == ["XFORWARD ADDR=192.0.2.7"]
    assert xforward_lines(client, ("HELO", "SOURCE")) == ["XFORWARD HELO=mx SOURCE=REMOTE"]
    assert xforward_lines(client, ()) == []


@pytest.mark.parametrize("name", ["mx", "mx.example.com", "a_b.example", "x" * 63, "1.2.3.4"])
def test_xforward_passes_names_on(name: str) -> None:
    assert xforward_lines(Client("", name=name), ("NAME",)) == [f"XFORWARD NAME={name}"]


@pytest.mark.parametrize(
    "name", ["", "a..b", "-a", "a-", "a.", ".a", "x" * 64, "a b", "a\r\nb", "ä", ".".join(["x" * 50] * 6)]
)
def test_xforward_passes_nothing_on_that_is_no_name(name: str) -> None:
    assert xforward_lines(Client("", name=name), ("NAME",)) == [f"XFORWARD NAME={U}"]
