"""Which addresses count as reachable from outside."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.dns.public_address import is_usable

DOCUMENTATION = tuple(ip_network(text) for text in ("192.0.2.0/24", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("127.8.9.10", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.1.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("192.0.2.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fc00::1", False),
        ("fd12:3456::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("2001:db8::1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
        ("64:ff9b::127.0.0.1", False),
        ("2002:7f00:1::1", False),
    ],
)
def test_usable(address: str, usable: bool) -> None:
    assert is_usable(address) is usable


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"])
def test_treat_as_public_lets_a_network_in(address: str) -> None:
    assert is_usable(address, DOCUMENTATION)


@pytest.mark.parametrize("address", ["198.51.100.1", "127.0.0.1", "::ffff:127.0.0.1", "2001:db9::1"])
def test_treat_as_public_says_nothing_about_other_networks(address: str) -> None:
    assert is_usable(address, DOCUMENTATION) is is_usable(address)
