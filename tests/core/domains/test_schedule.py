"""When a domain is looked at next, as the table of times has it, and when a sweep is doubted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domains.facts import DAY, HOUR, Facts, Observation, Seen
from gateway.domains.schedule import Turn, is_resolver_trouble, may_look_now, next_looks, spread_of
from gateway.domains.states import Standing, State, claim

NOON = 1_700_000_000.0
MINUTE = 60.0


def looked(state: State, *looks: tuple[float, Seen, Seen]) -> Standing:
    """Looks at seconds after noon."""
    facts = Facts()
    for at, ownership, routing in looks:
        facts = facts.seen(Observation(NOON + at, ownership, routing, NOON))
    return replace(claim(NOON), state=state, facts=facts)


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (0, 30), (31, 29), (60, 60), (121, 179), (301, 299), (601, 299), (901, 899), (31 * MINUTE, HOUR),
        (47 * HOUR, HOUR), (49 * HOUR, 6 * HOUR), (14 * DAY - HOUR, HOUR), (15 * DAY, 6 * HOUR),
    ],
)  # fmt: skip
def test_a_claim_is_looked_at_often_first_and_rarely_later(age: float, pause: float) -> None:
    standing = looked(State.PENDING, (age, "fail", "fail"))
    looks = next_looks(standing, NOON + age)
    assert looks is not None
    assert looks.at == NOON + age + pause


def test_a_new_claim_is_looked_at_now_and_a_first_sight_a_minute_later() -> None:
    fresh = next_looks(claim(NOON), NOON)
    assert fresh is not None
    assert fresh.at == NOON
    sighted = next_looks(looked(State.PENDING, (0, "pass", "fail")), NOON)
    assert sighted is not None
    assert sighted.at == NOON + MINUTE


@pytest.mark.parametrize(
    ("looks", "pause"),
    [
        ([(0, "pass", "pass")], 6 * HOUR),
        ([(0, "pass", "fail")], 15 * MINUTE),
        ([(-1, "pass", "fail"), (0, "pass", "fail")], HOUR),
        ([(-2, "pass", "fail"), (-1, "pass", "fail"), (0, "pass", "fail")], 6 * HOUR),
        ([(-9 + n, "fail", "pass") for n in range(10)], 6 * HOUR),
        ([(-9 + n, "fail", "fail") for n in range(10)], 6 * HOUR),
        ([(0, "temp", "pass")], MINUTE),
        ([(-1, "temp", "pass"), (0, "temp", "pass")], 5 * MINUTE),
        ([(-9 + n, "temp", "temp") for n in range(10)], HOUR),
    ],
)
def test_a_domain_in_service(looks: list[tuple[float, Seen, Seen]], pause: float) -> None:
    found = next_looks(looked(State.ACTIVE, *looks), NOON)
    assert found is not None
    assert found.at == NOON + pause


def test_the_spread_moves_what_is_regular_by_a_fifth_and_is_a_domains_own() -> None:
    standing = looked(State.ACTIVE, (0, "pass", "pass"))
    times = [next_looks(standing, NOON, spread) for spread in (-1.0, 0.0, 1.0)]
    assert [each.ownership - NOON for each in times if each] == pytest.approx([0.8 * DAY, DAY, 1.2 * DAY])
    spreads = [spread_of(f"d{number}") for number in range(100)]
    assert spreads == [spread_of(f"d{number}") for number in range(100)]
    assert min(spreads) < -0.8 < 0.8 < max(spreads)


def test_there_is_a_look_where_a_time_runs_out() -> None:
    standing = replace(
        looked(State.GRACE, (0, "fail", "fail")), previous=State.ACTIVE, cause="both", ends_at=NOON + MINUTE
    )
    found = next_looks(standing, NOON)
    assert found is not None
    assert found.ownership == found.routing == NOON + MINUTE


@pytest.mark.parametrize("state", [State.TRUSTED, State.UNVERIFIED, State.EXPIRED, State.RELEASED])
def test_some_states_are_not_looked_at(state: State) -> None:
    assert next_looks(looked(state), NOON) is None


@pytest.mark.parametrize(
    ("turned", "steady", "trouble"),
    [(5, 0, True), (4, 0, False), (5, 19, True), (5, 20, False), (200, 700, True), (0, 100, False)],
)
def test_a_sweep_is_doubted_when_a_fifth_and_at_least_five_turn_bad(turned: int, steady: int, trouble: bool) -> None:
    sweep = [Turn(True, True)] * turned + [Turn(True, False)] * steady
    assert is_resolver_trouble(sweep) is trouble
    assert is_resolver_trouble([Turn(False, True)] * 50) is False


def test_somebody_who_asks_for_a_look_waits_ten_seconds_and_gets_sixty_an_hour() -> None:
    asked = ((None, 0), (NOON - 4, 1), (NOON - 11, 59), (None, 60))
    assert [may_look_now(NOON, last, count) for last, count in asked] == [0.0, 6.0, 0.0, HOUR]
