"""What a next hop's settings may say together, and what is said where they contradict each other."""

from __future__ import annotations

import pytest

from gateway.app import next_hops
from gateway.config import Config, read
from gateway.config.next_hop import SmtpNextHopConfig
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.errors import ConfigError

SMART_HOST = """\
[[listener]]
name = "mx"
address = "127.0.0.1:2525"
[routing]
hosted = "out"
[next_hop.out]
kind = "smtp"
"""
FIRST = SMART_HOST.count("\n") + 1


def config(*lines: str) -> Config:
    return read(SMART_HOST + "\n".join(lines) + "\n", "s.toml")


def test_a_smart_host_with_everything() -> None:
    found = config(
        'address = "smtp.example.com:465"',
        'fallback_addresses = ["smtp2.example.com:465", "[2001:db8::1]:465"]',
        'tls = "required"',
        "tls_implicit = true",
        'tls_name = "smtp.example.com"',
        'tls_ca_file = "/etc/ca.pem"',
        'tls_certificate = "/etc/gw.pem"',
        'tls_key = "/etc/gw.key"',
        'user = "gw"',
        'password_file = "/etc/stellwerk/password"',
        'chunking = "never"',
    )
    hop = found.next_hops["out"]
    assert isinstance(hop, SmtpNextHopConfig)
    assert hop.addresses == ("smtp.example.com:465", "smtp2.example.com:465", "[2001:db8::1]:465")
    assert isinstance(next_hops(found)["out"], SmtpNextHop), "no file is read before it is needed"


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (['address = "a"'], 0, "next_hop.out.address"),
        (['address = "a:25"', 'fallback_addresses = ["b"]'], 1, "next_hop.out.fallback_addresses[0]"),
        (['address = "a:25"', 'fallback_addresses = ["b:25", "a:25"]'], 1, "a:25 is named twice"),
        (['address = "a:25"', 'fallback_addresses = ["127.0.0.1:2525"]'], 1, 'this is our own listener "mx"'),
        (['address = "a:25"', 'tls = "maybe"'], 1, 'expected one of "none", "opportunistic", "required"'),
        (['address = "a:25"', "tls_implicit = true"], 1, 'tls_implicit: without tls = "required" nothing is checked'),
        (['address = "a:25"', 'tls = "opportunistic"', 'tls_name = "x"'], 2, "tls_name: without tls"),
        (['address = "a:25"', 'tls = "opportunistic"', 'tls_ca_file = "x"'], 2, "tls_ca_file: without tls"),
        (['address = "unix:/run/x"', 'tls = "required"'], 0, "tls_name: a UNIX socket has no host name"),
        (['address = "a:25"', 'tls_certificate = "x"'], 1, "shows nobody a certificate"),
        (['address = "a:25"', 'tls = "opportunistic"', 'tls_key = "x"'], 2, "a key without tls_certificate"),
        (['address = "a:25"', 'user = "x"'], 1, "a user without password_file"),
        (['address = "a:25"', 'password_file = "x"'], 1, "a password without user"),
        (['address = "a:25"', 'user = "x"', 'password_file = "x"'], 0, "the password would go to a:25 in the clear"),
        (
            [
                'address = "127.0.0.1:25"',
                'fallback_addresses = ["b:25"]',
                'user = "x"',
                'password_file = "x"',
                'tls = "opportunistic"',
            ],
            4,
            "the password would go to b:25 in the clear, or to whoever poses as it",
        ),
        (['address = "a:25"', 'chunking = "yes"'], 1, 'expected one of "never", "large", "always"'),
        (['address = "a:25"', "cool_down_seconds = 0"], 1, "more than 0"),
    ],
)
def test_what_does_not_fit_together(lines: list[str], line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(*lines)
    assert len(caught.value.problems) == 1, caught.value.problems
    assert said in caught.value.problems[0]
    if line:
        assert caught.value.problems[0].startswith(f"s.toml:{FIRST + line}: ")


@pytest.mark.parametrize(
    "lines",
    [
        ['address = "127.0.0.1:25"', 'user = "x"', 'password_file = "x"'],
        ['address = "unix:/run/x"', 'user = "x"', 'password_file = "x"'],
        ['address = "a:25"', 'user = "x"', 'password_file = "x"', "login_without_tls = true"],
        ['address = "a:25"', 'user = "x"', 'password_file = "x"', 'tls = "required"'],
        ['address = "unix:/run/x"', 'tls = "required"', 'tls_name = "mx.example.test"'],
    ],
)
def test_what_does(lines: list[str]) -> None:
    assert "out" in config(*lines).next_hops
