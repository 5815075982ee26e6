"""Senders of different honesty, on simulated time: rows P23 and P24 of the fault catalogue at their real length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

import pytest

from gateway.smtp.pace import Pace

PATIENCE = 180.0
Arrivals = Iterable[tuple[float, int]]
"""(seconds after the last one, octets)"""


def seconds_until_given_up(arrivals: Arrivals, *, patience: float = PATIENCE, rate: int = 500) -> float | None:
    """None when everything came in time."""
    pace = Pace(5000.0, 0, bytes_per_second=rate, total_seconds=7200)
    now, received = 5000.0, 0
    for pause, octets in arrivals:
        deadline = pace.wait_until(now, received, patience)
        if now + pause > deadline:
            return deadline - 5000.0
        now += pause
        assert pace.waited(now)
        received += octets
    return None


def steady(octets: int, per_second: int) -> Iterator[tuple[float, int]]:
    """In segments, as they come off a slow line."""
    for _ in range(0, octets, 1400):
        yield 1400 / per_second, 1400


@pytest.mark.parametrize(
    "arrivals",
    [
        pytest.param(steady(10_000_000, 20_000), id="10 MB at 20 kB/s"),
        pytest.param(steady(36_000_000, 6_000), id="the largest message at 6 kB/s"),
        pytest.param(steady(2_000_000, 600), id="2 MB at little more than the least rate"),
        pytest.param(
            chain(steady(300_000, 20_000), [(12.0, 1400)], steady(300_000, 20_000), [(90.0, 1400)], [(1.0, 9)]),
            id="a mobile client with stalls",
        ),
        pytest.param([(170.0, 100)], id="a late beginning"),
    ],
)
def test_p24_honest_slow_senders_are_waited_for(arrivals: Arrivals) -> None:
    assert seconds_until_given_up(arrivals) is None


@pytest.mark.parametrize(
    ("arrivals", "seconds"),
    [
        pytest.param(repeat((30.0, 80)), 181, id="a line every 30 s"),
        pytest.param(repeat((1.0, 1)), 181, id="an octet every second"),
        pytest.param(repeat((30.0, 1000)), 192, id="the longest line every 30 s"),
        pytest.param([(181.0, 1_000_000)], 180, id="silence"),
        # An average over all of the message would wait here for twenty hours.
        pytest.param(chain([(1.0, 36_000_000)], repeat((30.0, 80))), 182, id="a burst and then drops"),
        pytest.param(repeat((2.0, 1001)), 7200, id="just above the least rate for ever"),
        pytest.param(repeat((0.1, 140_000)), 7200, id="fast for ever"),
    ],
)
def test_p23_who_only_occupies_a_connection_is_given_up(arrivals: Arrivals, seconds: float) -> None:
    given_up = seconds_until_given_up(arrivals)
    assert given_up == pytest.approx(seconds, abs=2)


def test_under_stress_a_pause_is_short_and_the_rate_the_same() -> None:
    assert seconds_until_given_up(chain(steady(5_000_000, 20_000), [(8.0, 1400)]), patience=10) is None
    assert seconds_until_given_up([(11.0, 1400)], patience=10) == 10


def test_without_a_rate_only_pauses_count() -> None:
    assert seconds_until_given_up(repeat((170.0, 1), 40), rate=0) is None
    assert seconds_until_given_up([(181.0, 1)], rate=0) == 180


def test_time_that_the_gateway_takes_is_not_the_senders() -> None:
    pace = Pace(0.0, 0, bytes_per_second=500, total_seconds=0)
    now = 0.0
    for _ in range(100):
        pace.wait_until(now, 0, PATIENCE)
        assert pace.waited(now + 1)
        now += 1000
    assert pace.wait_until(now, 0, PATIENCE) == now + 80
    assert not pace.waited(now + 81)
