"""The breaker, on a clock that stands still."""

from __future__ import annotations

import pytest

from gateway.hooks.policy import Breaker
from tests.core.dns.timing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock, failures_to_open=3, cool_down_seconds=30.0)


def fail(breaker: Breaker, times: int) -> list[bool]:
    return [breaker.failed() for _ in range(times)]


def test_it_opens_after_failures_in_a_row_and_says_so_once(breaker: Breaker) -> None:
    assert fail(breaker, 2) == [False, False]
    assert breaker.allows()
    assert fail(breaker, 3) == [True, False, False]
    assert breaker.is_open
    assert not breaker.allows()


def test_a_success_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    assert fail(breaker, 2) == [False, False]
    assert breaker.allows()


def test_one_probe_after_the_cool_down(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(29.9)
    assert not breaker.allows()
    clock.advance(0.1)
    assert [breaker.allows(), breaker.allows(), breaker.allows()] == [True, False, False]


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(30)
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()
    assert breaker.allows()


def test_a_probe_that_fails_waits_the_whole_time_again(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(30)
    assert breaker.allows()
    assert not breaker.failed(), "it was open before"
    clock.advance(29)
    assert not breaker.allows()
    clock.advance(1)
    assert breaker.allows()


def test_a_probe_that_was_cancelled_leaves_the_next_call_to_probe(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(30)
    assert breaker.allows()
    breaker.broken_off()
    assert breaker.is_open
    assert breaker.allows()
