from __future__ import annotations

import pytest

from gateway.mail.address import Address
from gateway.mail.envelope import MailParameters, Recipient
from gateway.smtp.parameters import ArgumentError, read_helo, read_mail, read_rcpt

HOST = "gw.example.test"
ANNA = Address("anna", "example.test")


@pytest.mark.parametrize(
    ("argument", "sender", "parameters"),
    [
        ("FROM:<>", None, MailParameters()),
        ("from: <Anna@Example.TEST.>", Address("Anna", "example.test"), MailParameters()),
        ("FROM:<anna@example.test> SIZE=100 BODY=8BITMIME", ANNA, MailParameters(100, "8BITMIME")),
        ("FROM:<anna@example.test> size=0 body=7bit", ANNA, MailParameters(0, "7BIT")),
        ("FROM:<anna@example.test> RET=hdrs ENVID=a+2Bb", ANNA, MailParameters(ret="HDRS", envid="a+2Bb")),
        ("FROM:<änna@example.test> SMTPUTF8", Address("änna", "example.test"), MailParameters(smtputf8=True)),
        ('FROM:<"a > b"@example.test>', Address("a > b", "example.test"), MailParameters()),
        ("FROM:<@relay.test,@other.test:anna@example.test>", ANNA, MailParameters()),
    ],
)
def test_mail(argument: str, sender: Address | None, parameters: MailParameters) -> None:
    assert read_mail(argument) == (sender, parameters)


def test_what_postfix_passes_on_to_its_proxy_filter() -> None:
    said = "FROM:<a@b.test> SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=<> RET=HDRS ENVID=x+20y"
    expected = MailParameters(size=1, body="8BITMIME", smtputf8=True, ret="HDRS", envid="x+20y")
    assert read_mail(said, ignores_auth=True) == (Address("a", "b.test"), expected)
    with pytest.raises(ArgumentError, match="555"):  # where nobody has checked it before
        read_mail(said)


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", "501 5.5.4"),
        ("anna@example.test", "501 5.5.4"),
        ("TO:<anna@example.test>", "501 5.5.4"),
        ("FROM:anna@example.test", "501 5.1.7"),
        ("FROM:<anna@example.test", "501 5.1.7"),
        ("FROM:<anna>", "501 5.1.7"),
        ("FROM:<anna@example.test>SIZE=1", "501 5.1.7"),
        ('FROM:<"anna@example.test>', "501 5.1.7"),
        ("FROM:<" + '"a"' * 600 + '"', "501 5.1.7"),
        ("FROM:<anna@[127.0.0.1]>", "501 5.1.7"),
        ("FROM:<änna@example.test>", "553 5.6.7"),
        ("FROM:<anna@exämple.test>", "553 5.6.7"),
        ("FROM:<> SIZE=-1", "501 5.5.4"),
        ("FROM:<> SIZE=abc", "501 5.5.4"),
        ("FROM:<> SIZE=", "501 5.5.4"),
        ("FROM:<> SIZE", "501 5.5.4"),
        ("FROM:<> SIZE=" + "9" * 30, "501 5.5.4"),
        ("FROM:<> SIZE=\u0663", "501 5.5.4"),
        ("FROM:<> SIZE=1 SIZE=1", "501 5.5.4"),
        ("FROM:<> SMTPUTF8=yes", "501 5.5.4"),
        ("FROM:<> RET=ALL", "501 5.5.4"),
        ("FROM:<> ENVID=", "501 5.5.4"),
        ("FROM:<> ENVID=a+2", "501 5.5.4"),
        ("FROM:<> ENVID=" + "a" * 101, "501 5.5.4"),
        ("FROM:<> ENVID=a+0D+0A", "555 5.5.4"),
        ("FROM:<> BODY=BINARYMIME", "555 5.5.4"),
        ("FROM:<> BODY=x", "555 5.5.4"),
        ("FROM:<> BODY", "555 5.5.4"),
        ("FROM:<> FOO=bar", "555 5.5.4"),
        ("FROM:<> REQUIRETLS", "555 5.5.4"),
        ("FROM:<> AUTH=<>", "555 5.5.4"),
        ("FROM:<> NOTIFY=NEVER", "555 5.5.4"),
        ("FROM:<> <x", "555 5.5.4"),
    ],
)
def test_malformed_mail(argument: str, reply: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        read_mail(argument)
    assert str(raised.value.reply).startswith(reply)


@pytest.mark.parametrize(
    ("argument", "recipient"),
    [
        ("TO:<anna@example.test>", Recipient(ANNA)),
        ("to:<ANNA@EXAMPLE.TEST>", Recipient(Address("ANNA", "example.test"))),
        ("TO:<anna@example.test.>", Recipient(ANNA)),
        ("TO:<@ours.test:anna@example.test>", Recipient(ANNA)),
        ("TO:<Postmaster>", Recipient(Address("Postmaster", HOST))),
        ('TO:<"v@elsewhere"@example.test>', Recipient(Address("v@elsewhere", "example.test"))),
        ("TO:<v%elsewhere.test@example.test>", Recipient(Address("v%elsewhere.test", "example.test"))),
        ("TO:<anna@example.test> NOTIFY=success,failure", Recipient(ANNA, ("SUCCESS", "FAILURE"))),
        (
            "TO:<anna@example.test> NOTIFY=NEVER ORCPT=rfc822;b+2Bc@x.test",
            Recipient(ANNA, ("NEVER",), "rfc822;b+2Bc@x.test"),
        ),
        (f"TO:<{'l' * 64}@example.test>", Recipient(Address("l" * 64, "example.test"))),
        ("TO:<-f@example.test>", Recipient(Address("-f", "example.test"))),
        ("TO:<|cmd@example.test>", Recipient(Address("|cmd", "example.test"))),
    ],
)
def test_rcpt(argument: str, recipient: Recipient) -> None:
    assert read_rcpt(argument, False, HOST) == recipient


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", "501 5.5.4"),
        ("TO:<>", "501 5.1.3"),
        ("TO:<v@a@example.test>", "501 5.1.3"),
        ("TO:<v(c)@example.test>", "501 5.1.3"),
        ("TO:<v v@example.test>", "501 5.1.3"),
        ("TO:<v@example..test>", "501 5.1.3"),
        ("TO:<v@>", "501 5.1.3"),
        ("TO:<@example.test>", "501 5.1.3"),
        ("TO:<../../x@example.test>", "501 5.1.3"),
        ("TO:<$(id)@example.test>", "501 5.1.3"),
        ("TO:<a\0b@example.test>", "501 5.1.3"),
        ("TO:<a\rb@example.test>", "501 5.1.3"),
        ("TO:<\0>", "501 5.1.3"),
        (f"TO:<{'l' * 65}@example.test>", "501 5.1.3"),
        (f"TO:<v@{'d' * 63}.{'d' * 63}.{'d' * 63}.{'d' * 64}>", "501 5.1.3"),
        (f"TO:<{'l' * 64}@{'d' * 63}.{'d' * 63}.{'d' * 63}.test>", "501 5.1.3"),
        ("TO:<v@[127.0.0.1]>", "550 5.1.2"),
        ("TO:<v@[IPv6:::1]>", "550 5.1.2"),
        ("TO:<v>", "550 5.1.1"),
        ("TO:<änna@example.test>", "553 5.6.7"),
        ("TO:<anna@example.test> NOTIFY=NEVER <x", "555 5.5.4"),
        ("TO:<anna@example.test> FOO", "555 5.5.4"),
        ("TO:<anna@example.test> ORCPT=rfc822;a+0D+0Ab", "555 5.5.4"),
        ("TO:<anna@example.test> ORCPT=rfc822", "501 5.5.4"),
        ("TO:<anna@example.test> ORCPT=rfc822;a+GG", "501 5.5.4"),
        ("TO:<anna@example.test> ORCPT=rfc822;ä", "501 5.5.4"),
        ("TO:<anna@example.test> NOTIFY=", "501 5.5.4"),
        ("TO:<anna@example.test> NOTIFY=NEVER,SUCCESS", "501 5.5.4"),
        ("TO:<anna@example.test> NOTIFY=SUCCESS,SUCCESS", "501 5.5.4"),
        ("TO:<anna@example.test> NOTIFY=NEVER NOTIFY=NEVER", "501 5.5.4"),
    ],
)
def test_malformed_rcpt(argument: str, reply: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        read_rcpt(argument, False, HOST)
    assert str(raised.value.reply).startswith(reply)


def test_smtputf8_lets_other_letters_in() -> None:
    recipient = read_rcpt("TO:<änna@exämple.test> ORCPT=utf-8;änna@exämple.test", True, HOST)
    assert recipient == Recipient(Address("änna", "xn--exmple-cua.test"), (), "utf-8;änna@exämple.test")


@pytest.mark.parametrize("name", ["client.example", "[127.0.0.1]", "[IPv6:2001:db8::1]", "WIN_HOST", "a" * 255])
def test_helo(name: str) -> None:
    assert read_helo(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 256, "a" * 300, "<script>", "a\0b", "a\rb", "a b", "[", "[]", "exämple.test"]
)
def test_malformed_helo(name: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        read_helo(name)
    assert str(raised.value.reply).startswith("501 5.5.4")
