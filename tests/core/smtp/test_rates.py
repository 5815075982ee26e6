from __future__ import annotations

import logging

import pytest

from gateway.config.listener import ListenerConfig
from gateway.smtp.rates import MAX_CLIENTS, Rates


class Clock:
    """Monotonic seconds that go on when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def rates(clock: Clock, *, connections: int = 0, messages: int = 0, recipients: int = 0) -> Rates:
    return Rates(
        "mx", window_seconds=60, connections=connections, messages=messages, recipients=recipients, clock=clock
    )


def test_a_window_begins_with_the_first_event_and_ends() -> None:
    clock = Clock()
    counted = rates(clock, messages=2)
    assert [counted.message("192.0.2.1") is None for _ in range(4)] == [True, True, False, False]
    assert counted.message("192.0.2.2") is None
    clock.now += 59.9
    assert str(counted.message("192.0.2.1")).startswith("450 4.7.1 too many messages from your address")
    clock.now += 0.1
    assert counted.message("192.0.2.1") is None


def test_each_kind_has_its_own_limit() -> None:
    counted = rates(Clock(), connections=1, messages=2, recipients=3)
    assert [counted.connection("192.0.2.1") is None for _ in range(2)] == [True, False]
    assert [counted.message("192.0.2.1") is None for _ in range(3)] == [True, True, False]
    assert [counted.recipient("192.0.2.1") is None for _ in range(4)] == [True, True, True, False]
    assert str(counted.connection("192.0.2.1")).startswith("421 4.7.0 ")
    assert str(counted.recipient("192.0.2.1")).startswith("450 4.7.1 too many recipients")


def test_zero_is_no_limit() -> None:
    counted = rates(Clock(), messages=1)
    assert all(counted.recipient("192.0.2.1") is None for _ in range(1000))
    assert all(counted.connection("192.0.2.1") is None for _ in range(1000))


def test_an_ipv6_customer_is_one_client() -> None:
    counted = rates(Clock(), messages=1)
    assert counted.message("2001:db8::1") is None
    assert counted.message("2001:db8::2") is not None
    assert counted.message("2001:db8:0:1::1") is None


def test_only_so_many_clients_are_remembered_the_last_ones() -> None:
    counted = rates(Clock(), messages=1)
    assert counted.message("192.0.2.1") is None
    assert counted.message("192.0.2.2") is None
    for number in range(MAX_CLIENTS - 2):
        counted.message(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert counted.message("192.0.2.1") is not None  # heard of again: now the second is the oldest
    counted.message("203.0.113.1")
    assert len(counted._windows) == MAX_CLIENTS
    assert counted.message("192.0.2.1") is not None
    assert counted.message("192.0.2.2") is None


def test_who_goes_on_is_told_once_a_window(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counted = rates(Clock(), recipients=2)
    for _ in range(10):
        counted.recipient("192.0.2.1")
    assert [record.getMessage() for record in caplog.records] == ["mx: 192.0.2.1: more than 2 recipients in 60 s"]


@pytest.mark.parametrize("setting", ["max_connection_rate", "max_message_rate", "max_recipient_rate"])
def test_a_listener_without_rates_counts_nothing(setting: str) -> None:
    listener = {"name": "mx", "address": "127.0.0.1:0"}
    assert Rates.of(ListenerConfig.model_validate(listener)) is None
    assert Rates.of(ListenerConfig.model_validate(listener | {setting: 1})) is not None
