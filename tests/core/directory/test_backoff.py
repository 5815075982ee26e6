"""P43: pauses after failed logins, and whom they never touch."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.directory.backoff import (
    FREE_FAILURES,
    FREE_FAILURES_OF_A_NETWORK,
    KNOWN_SECONDS,
    LONGEST_PAUSE_OF_THE_KNOWN_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST,
    Backoff,
)

ANNA = "anna@acme.test"
HOME, CAFE, NET = "192.0.2.7", "198.51.100.9", "192.0.2.0/24"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(backoff: Backoff, times: int, user: str = ANNA, client: str = HOME, network: str = NET) -> None:
    for _ in range(times):
        backoff.failed(user, client, network)


def test_some_failures_are_free_then_pauses_grow_up_to_a_limit() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    fail(backoff, FREE_FAILURES - 1)
    assert not backoff.must_wait(ANNA, HOME, NET)
    pauses = []
    for _ in range(12):
        fail(backoff, 1)
        began = clock.now
        while backoff.must_wait(ANNA, HOME, NET):
            clock.now += 1
        pauses.append(clock.now - began)
    assert pauses[:4] == [4, 8, 16, 32]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_failures_of_one_client_make_no_other_wait() -> None:
    backoff = Backoff(Clock())
    fail(backoff, 40, client=CAFE, network="198.51.100.0/24")
    assert backoff.must_wait(ANNA, CAFE, "198.51.100.0/24")
    assert not backoff.must_wait(ANNA, HOME, NET)
    assert not backoff.must_wait("bo@acme.test", CAFE, "198.51.100.0/24")


def test_a_hundred_addresses_lock_nobody_out() -> None:
    backoff = Backoff(Clock())
    for number in range(100):
        fail(backoff, 20, client=f"203.0.113.{number}", network=f"203.0.{number}.0/24")
    assert not backoff.must_wait(ANNA, HOME, NET)


def test_a_network_that_tries_many_names_has_to_pause_as_a_whole() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for number in range(FREE_FAILURES_OF_A_NETWORK):
        fail(backoff, 1, user=f"user{number}@acme.test", client=f"192.0.2.{number}")
    assert backoff.must_wait(ANNA, "192.0.2.250", NET)
    assert not backoff.must_wait(ANNA, "198.51.100.1", "198.51.100.0/24")


def test_where_somebody_has_logged_in_before_neither_neighbours_nor_an_old_password_keep_them_out() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    backoff.succeeded(ANNA, HOME)
    for number in range(3 * FREE_FAILURES_OF_A_NETWORK):
        fail(backoff, 1, user=f"user{number}@acme.test", client="192.0.2.66")
    assert not backoff.must_wait(ANNA, HOME, NET)
    fail(backoff, 30)
    assert backoff.must_wait(ANNA, HOME, NET)
    clock.now += LONGEST_PAUSE_OF_THE_KNOWN_SECONDS
    assert not backoff.must_wait(ANNA, HOME, NET)
    clock.now += KNOWN_SECONDS
    assert not backoff.is_known(ANNA, HOME)


def test_a_success_forgives_its_own_failures_and_not_those_of_the_network() -> None:
    backoff = Backoff(Clock())
    fail(backoff, FREE_FAILURES_OF_A_NETWORK, user="bo@acme.test")
    fail(backoff, FREE_FAILURES)
    backoff.succeeded(ANNA, HOME)
    assert not backoff.must_wait(ANNA, HOME, NET)
    assert backoff.must_wait("cleo@other.test", "192.0.2.8", NET)


def test_failures_are_forgotten_after_an_hour_without_any() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    fail(backoff, 50)
    clock.now += 3600
    fail(backoff, 1)
    assert not backoff.must_wait(ANNA, HOME, NET)


def test_spellings_of_one_address_are_one_name() -> None:
    backoff = Backoff(Clock())
    for user in ("ANNA@acme.test", "anna@ACME.test", "Anna@acme.test.", "anna@acme.test", "aNNa@acme.TEST"):
        fail(backoff, 1, user=user)
    assert backoff.must_wait(ANNA, HOME, NET)


def test_what_is_remembered_is_bounded() -> None:
    backoff = Backoff(Clock())
    for number in range(MOST + 10):
        backoff.failed(f"{number} is no address {'x' * 1000}", HOME, NET)
    assert len(backoff._pairs) == MOST
    assert all(len(user) <= 64 for user, _ in backoff._pairs)
