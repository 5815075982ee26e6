"""Who counts as one client and one network."""

from __future__ import annotations

import pytest

from gateway.mail.networks import client_key, network_key


@pytest.mark.parametrize(
    ("address", "client", "network"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::7", "2001:db8:1:2::/64", "2001:db8:1::/56"),
        ("unix", "unix", "unix"),
        ("", "", ""),
    ],
)
def test_keys(address: str, client: str, network: str) -> None:
    assert (client_key(address), network_key(address, 24, 56)) == (client, network)
