"""How long answers are believed, and how many are kept."""

from __future__ import annotations

import pytest

from gateway.dns.answers import Answer, Found, NotFound, Trouble, Unknown
from gateway.dns.cache import AnswerCache
from tests.core.dns.timing import FakeClock

KEY = ("a.test", "MX")


def found(ttl: int) -> Found:
    return Found(*KEY, (), ttl, "a.test")


def nothing(ttl: int) -> NotFound:
    return NotFound(*KEY, "nxdomain", ttl, "a.test")


UNKNOWN = Unknown(*KEY, Trouble.SERVFAIL)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (found(0), 5),
        (found(4), 5),
        (found(300), 300),
        (found(86400), 3600),
        (nothing(1), 1),
        (nothing(60), 60),
        (nothing(86400), 300),
        (UNKNOWN, 5),
    ],
)
def test_lifetimes(answer: Answer, seconds: int) -> None:
    clock = FakeClock()
    cache = AnswerCache(clock)
    cache.put(KEY, answer)
    clock.advance(seconds - 0.1)
    assert cache.get(KEY) is answer
    clock.advance(0.2)
    assert cache.get(KEY) is None


def test_a_negative_answer_without_a_ttl_is_not_kept() -> None:
    cache = AnswerCache(FakeClock())
    cache.put(KEY, nothing(0))
    assert cache.get(KEY) is None


def test_failures_double_to_half_a_minute_and_start_anew_after_a_success() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock)
    for seconds in (5, 10, 20, 30, 30, 30):
        cache.put(KEY, UNKNOWN)
        clock.advance(seconds - 0.1)
        assert cache.get(KEY) is UNKNOWN
        clock.advance(0.2)
        assert cache.get(KEY) is None
    cache.put(KEY, found(5))
    clock.advance(6)
    cache.put(KEY, UNKNOWN)
    clock.advance(5.1)
    assert cache.get(KEY) is None


def test_expired_records_are_there_for_an_hour_even_beside_a_failure() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock)
    cache.put(KEY, found(300))
    clock.advance(301)
    cache.put(KEY, UNKNOWN)
    assert cache.get(KEY) is UNKNOWN
    stale = cache.stale(KEY)
    assert stale is not None
    assert stale.stale
    clock.advance(3598)
    assert cache.stale(KEY) is not None
    clock.advance(2)
    assert cache.stale(KEY) is None


def test_a_definite_no_ends_the_use_of_expired_records() -> None:
    clock = FakeClock()
    cache = AnswerCache(clock)
    cache.put(KEY, found(300))
    clock.advance(301)
    cache.put(KEY, nothing(0))
    cache.put(KEY, UNKNOWN)
    assert cache.stale(KEY) is None


def test_the_least_recently_used_answer_goes_first() -> None:
    cache = AnswerCache(FakeClock(), max_entries=3)
    for name in ("a", "b", "c"):
        cache.put((name, "MX"), found(300))
    assert cache.get(("a", "MX")) is not None
    cache.put(("d", "MX"), found(300))
    assert [name for name in "abcd" if cache.get((name, "MX"))] == ["a", "c", "d"]
    assert len(cache) == 3


def test_large_answers_are_bounded_together() -> None:
    cache = AnswerCache(FakeClock(), max_octets=100_000)
    for number in range(50):
        cache.put((f"n{number}", "TXT"), found(300), 30_000)
        cache.put((f"n{number}", "TXT"), found(300), 30_000)
    assert len(cache) == 3
    for number in range(3):
        cache.put((f"small{number}", "TXT"), found(300), 4_000)
    assert len(cache) == 5
