"""When the resolver counts as in trouble."""

from __future__ import annotations

import pytest

from gateway.dns.trouble import MAX_SAMPLES, TroubleMeter
from tests.core.dns.timing import FakeClock


@pytest.mark.parametrize(
    ("good", "bad", "in_trouble"),
    [(0, 0, False), (0, 4, False), (0, 5, True), (94, 5, True), (95, 5, False), (1000, 40, False), (1000, 80, True)],
)
def test_the_share_of_errors(good: int, bad: int, in_trouble: bool) -> None:
    meter = TroubleMeter(FakeClock())
    for failed in [False] * good + [True] * bad:
        meter.add(failed=failed)
    assert meter.in_trouble is in_trouble


def test_it_forgets_after_five_minutes_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = FakeClock()
    meter = TroubleMeter(clock)
    for _ in range(8):
        meter.add(failed=True)
    clock.advance(301)
    assert not meter.in_trouble
    meter.add(failed=False)
    assert [record.getMessage() for record in caplog.records] == [
        "DNS: 5 of 5 look-ups failed in the last 300 s; nothing is rejected for DNS now",
        "DNS works again: 0 of 1 look-ups failed in the last 300 s",
    ]


def test_the_number_of_samples_is_bounded() -> None:
    meter = TroubleMeter(FakeClock())
    for _ in range(100):
        meter.add(failed=True)
    for _ in range(MAX_SAMPLES):
        meter.add(failed=False)
    assert not meter.in_trouble
