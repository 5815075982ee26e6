from __future__ import annotations

import pytest

from gateway.mail.envelope import Client
from gateway.smtp.parameters import ArgumentError
from gateway.smtp.xforward import forwarded_client, read_xforward


def test_what_postfix_sends_in_two_commands() -> None:
    values = read_xforward("NAME=mail.sender.test ADDR=192.0.2.9 PORT=4711")
    values |= read_xforward("PROTO=ESMTP HELO=mail.sender.test IDENT=4Xyz12 SOURCE=REMOTE")
    assert forwarded_client(values) == Client(
        "192.0.2.9", 4711, "mail.sender.test", "mail.sender.test", "ESMTP", "4Xyz12", "REMOTE", forwarded=True
    )


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("name=[UNAVAILABLE] ADDR=[unavailable]", {"NAME": "", "ADDR": ""}),
        ("NAME=[TEMPUNAVAIL] PORT=[UNAVAILABLE]", {"NAME": "", "PORT": ""}),
        ("ADDR=IPV6:2001:DB8::1", {"ADDR": "2001:db8::1"}),
        ("ADDR=2001:db8::1", {"ADDR": "2001:db8::1"}),
        ("HELO=a+2Bb+3Dc", {"HELO": "a+b=c"}),
        ("HELO=a+0D+0Ab+00", {"HELO": "a??b?"}),
        ("HELO=+C3+A4+FF", {"HELO": "ä?"}),
        ("IDENT=" + "x" * 300, {"IDENT": "x" * 255}),
        ("SOURCE=local", {"SOURCE": "LOCAL"}),
    ],
)
def test_values(argument: str, values: dict[str, str]) -> None:
    assert read_xforward(argument) == values


@pytest.mark.parametrize(
    "argument", ["", "NAME", "LOGIN=x", "ADDR=localhost", "ADDR=1.2.3.4+0D+0A", "PORT=x", "PORT=65536", "SOURCE=THERE"]
)
def test_malformed(argument: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        read_xforward(argument)
    assert str(raised.value.reply).startswith("501 5.5.4")


def test_an_unavailable_client() -> None:
    assert forwarded_client(read_xforward("ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]")) == Client("", forwarded=True)
