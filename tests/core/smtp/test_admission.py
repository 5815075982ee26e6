from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.config.listener import ListenerConfig
from gateway.mail.reply import Reply
from gateway.smtp.admission import Admission, ConnectionLimits
from gateway.smtp.rates import Rates


def limits(*, rates: Rates | None = None, **settings: Any) -> ConnectionLimits:
    settings = {"name": "mx", "address": "127.0.0.1:0", "stress_percent": 0} | settings
    return ConnectionLimits(ListenerConfig.model_validate(settings), rates)


def admitted(connections: ConnectionLimits, address: str, *, trusted: bool = False) -> Admission:
    admission = connections.admit(address, trusted=trusted)
    assert isinstance(admission, Admission)
    return admission


def refused(connections: ConnectionLimits, address: str, *, trusted: bool = False) -> str:
    reply = connections.admit(address, trusted=trusted)
    assert isinstance(reply, Reply)
    return str(reply)


def test_connections_of_one_client() -> None:
    connections = limits(max_connections_per_client=2)
    first = admitted(connections, "192.0.2.1")
    admitted(connections, "192.0.2.1")
    assert refused(connections, "192.0.2.1") == "421 4.7.0 too many connections from your address"
    admitted(connections, "192.0.2.2")
    for _ in range(3):
        admitted(connections, "192.0.2.1", trusted=True)
    assert connections.open == 6
    first.release()
    admitted(connections, "192.0.2.1")
    refused(connections, "192.0.2.1")


def test_an_ipv6_customer_is_one_client() -> None:
    connections = limits(max_connections_per_client=1)
    admitted(connections, "2001:db8::1")
    refused(connections, "2001:db8::2")
    admitted(connections, "2001:db8:0:1::1")


@pytest.mark.parametrize(
    ("settings", "inside", "outside"),
    [
        ({}, ["192.0.2.1", "192.0.2.2", "192.0.2.200"], "192.0.3.1"),
        ({"network_prefix_ipv4": 16}, ["192.0.2.1", "192.0.3.1", "192.0.255.1"], "192.1.2.1"),
        ({}, ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:ff::1"], "2001:db8:0:100::1"),
        ({"network_prefix_ipv6": 48}, ["2001:db8::1", "2001:db8:0:100::1", "2001:db8:0:ffff::1"], "2001:db8:1::1"),
        ({"network_prefix_ipv6": 64}, ["2001:db8::1", "2001:db8::2", "2001:db8::3"], "2001:db8:0:1::1"),
    ],
)
def test_p25_connections_of_one_network(settings: dict[str, Any], inside: list[str], outside: str) -> None:
    connections = limits(max_connections_per_network=2, **settings)
    first = admitted(connections, inside[0])
    admitted(connections, inside[1])
    assert refused(connections, inside[2]) == "421 4.7.0 too many connections from your network"
    admitted(connections, outside)
    admitted(connections, inside[2], trusted=True)
    first.release()
    admitted(connections, inside[2])
    refused(connections, inside[0])


def test_a_twentieth_is_kept_for_trusted_peers() -> None:
    connections = limits(max_connections=40, max_connections_per_client=100, trusted_peers=["10.0.0.1/32"])
    for _ in range(38):
        admitted(connections, "192.0.2.1")
    assert refused(connections, "192.0.2.1") == "421 4.7.0 too many connections"
    for _ in range(2):
        admitted(connections, "10.0.0.1", trusted=True)
    refused(connections, "10.0.0.1", trusted=True)


def test_counting_leaves_nothing_behind() -> None:
    connections = limits()
    for number in range(300):
        admitted(connections, f"192.0.{number % 7}.{number % 256}").release()
    assert connections.open == 0
    assert not connections._clients
    assert not connections._networks


def test_stress_begins_and_ends_apart_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connections = limits(max_connections=10, stress_percent=80, max_connections_per_client=10)
    open_now = [admitted(connections, "192.0.2.1") for _ in range(7)]
    assert not connections.stressed
    open_now.append(admitted(connections, "192.0.2.1"))
    assert connections.stressed
    for _ in range(3):  # to and fro about the mark
        open_now.pop().release()
        open_now.append(admitted(connections, "192.0.2.1"))
    while len(open_now) > 6:
        open_now.pop().release()
    assert connections.stressed
    open_now.pop().release()
    assert not connections.stressed
    assert [record.getMessage() for record in caplog.records] == [
        "mx: 8 of 10 connections are taken: clients that are not trusted get 10 s and fewer errors now",
        "mx: 5 connections are taken: the usual times hold again",
    ]


def test_stress_can_be_switched_off() -> None:
    connections = limits(max_connections=2, max_connections_per_client=2, stress_percent=0)
    admitted(connections, "192.0.2.1")
    admitted(connections, "192.0.2.1")
    assert not connections.stressed


def test_a_connection_rate_is_for_untrusted_clients() -> None:
    rates = Rates("mx", window_seconds=60, connections=2, messages=0, recipients=0, clock=lambda: 0)
    connections = limits(rates=rates)
    for _ in range(2):
        admitted(connections, "192.0.2.1").release()
    assert refused(connections, "192.0.2.1").startswith("421 4.7.0 too many connections from your address in")
    for _ in range(3):
        admitted(connections, "192.0.2.1", trusted=True).release()
    admitted(connections, "192.0.2.2").release()
    assert connections.open == 0
