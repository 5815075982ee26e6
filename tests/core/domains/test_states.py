"""The state machine: a row for every way from state to state, and what no sequence of looks may ever do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domains.facts import DAY, HOUR, Observation, Seen
from gateway.domains.states import (
    HOLDING,
    LOOKED_AT,
    TEMPFAIL_SECONDS,
    Event,
    Standing,
    State,
    claim,
    observe,
    step,
)

NOON = 1_700_000_000.0
OLD, FRESH = NOON - DAY, NOON + HOUR
NS, OTHER_NS = frozenset({"ns1.old.test"}), frozenset({"ns1.new.test"})
Look = tuple[float, Seen | None, Seen | None]


def run(
    standing: Standing, *looks: Look, issued_at: float = OLD, ns: frozenset[str] = frozenset()
) -> tuple[Standing, list[Event]]:
    """Each look is (days after noon, ownership, routing)."""
    told: list[Event] = []
    for days, ownership, routing in looks:
        standing, events = observe(
            standing, Observation(NOON + days * DAY, ownership, routing, issued_at, name_servers=ns)
        )
        told += events
    return standing, told


def at(state: State, **more: object) -> Standing:
    standing = Standing(state, NOON, token_issued_at=OLD, **more)  # type: ignore[arg-type]
    if state is State.GRACE and standing.ends_at is None:
        return replace(standing, previous=State.ACTIVE, cause="ownership", ends_at=NOON + 14 * DAY)
    return standing


def days(first: int, last: int, ownership: Seen, routing: Seen) -> list[Look]:
    return [(float(day), ownership, routing) for day in range(first, last + 1)]


ROWS: list[tuple[str, Standing, list[Look], State, list[str]]] = [
    ("a first sight is none yet", claim(NOON), [(0.0, "pass", "fail")], State.PENDING, []),
    (
        "two a minute apart are",
        claim(NOON),
        [(0.0, "pass", "fail"), (0.001, "pass", "fail")],
        State.VERIFIED,
        ["verified"],
    ),
    ("but not sooner", claim(NOON), [(0.0, "pass", "fail"), (0.0005, "pass", "fail")], State.PENDING, []),
    (
        "a no in between begins anew",
        claim(NOON),
        [(0.0, "pass", "fail"), (0.1, "fail", "fail"), (0.2, "pass", "fail")],
        State.PENDING,
        [],
    ),
    (
        "temp in between does not",
        claim(NOON),
        [(0.0, "pass", "fail"), (0.1, "temp", "fail"), (0.2, "pass", "fail")],
        State.VERIFIED,
        ["verified"],
    ),
    (
        "token and MX together",
        claim(NOON),
        [(0.0, "pass", "pass"), (0.1, "pass", "pass")],
        State.ACTIVE,
        ["verified", "active"],
    ),
    ("MX alone proves nothing", claim(NOON), days(0, 5, "fail", "pass"), State.PENDING, []),
    ("14 days without", claim(NOON), days(0, 14, "fail", "fail"), State.EXPIRED, ["expired"]),
    ("14 days of not knowing", claim(NOON), days(0, 30, "temp", "temp"), State.PENDING, []),
    ("MX comes", at(State.VERIFIED), [(1.0, "pass", "pass")], State.ACTIVE, ["active"]),
    ("MX goes", at(State.ACTIVE), days(0, 2, "pass", "fail"), State.PARKED, ["parked"]),
    (
        "MX goes for less than 48 h",
        at(State.ACTIVE),
        [(0.0, "pass", "fail"), (1.0, "pass", "fail"), (1.9, "pass", "fail")],
        State.ACTIVE,
        [],
    ),
    ("MX gone in two looks", at(State.ACTIVE), [(0.0, "pass", "fail"), (3.0, "pass", "fail")], State.ACTIVE, []),
    ("MX comes back", at(State.PARKED), [(5.0, "pass", "pass")], State.ACTIVE, ["active"]),
    ("parked for 30 days", at(State.PARKED), [(30.0, "pass", "fail")], State.VERIFIED, ["unparked"]),
    ("parked and not known", at(State.PARKED), [(30.0, "pass", "temp")], State.PARKED, []),
    ("null MX for 72 h", at(State.ACTIVE), days(0, 3, "pass", "null_mx"), State.SUSPENDED, ["parked", "suspended"]),
    (
        "null MX only at the end",
        at(State.ACTIVE),
        [*days(0, 3, "pass", "fail"), (4.0, "pass", "null_mx")],
        State.PARKED,
        ["parked", "parked_day"],
    ),
    ("token goes", at(State.ACTIVE), days(0, 3, "fail", "pass"), State.GRACE, ["grace"]),
    ("both go", at(State.ACTIVE), days(0, 9, "fail", "fail"), State.SUSPENDED, ["grace", "grace_day", "suspended"]),
    (
        "name goes",
        at(State.ACTIVE),
        days(0, 9, "nxdomain", "nxdomain"),
        State.SUSPENDED,
        ["grace", "grace_day", "suspended"],
    ),
    ("grace ends", at(State.GRACE), days(3, 14, "fail", "pass"), State.SUSPENDED, ["grace_day"] * 3 + ["suspended"]),
    ("grace and not known", at(State.GRACE), days(3, 90, "temp", "temp"), State.GRACE, []),
    ("grace ends well", at(State.GRACE), [(5.0, "pass", "pass")], State.ACTIVE, ["recovered"]),
    ("suspended, old token", at(State.SUSPENDED), days(0, 3, "pass", "pass"), State.SUSPENDED, []),
    ("suspended for 30 days", at(State.SUSPENDED), [(30.0, "fail", "fail")], State.RELEASED, ["released"]),
    ("suspended and not known", at(State.SUSPENDED), days(30, 60, "temp", "temp"), State.SUSPENDED, []),
    ("trusted by an operator", at(State.TRUSTED), days(0, 90, "fail", "fail"), State.TRUSTED, []),
]


@pytest.mark.parametrize(("name", "standing", "looks", "state", "told"), ROWS, ids=[row[0] for row in ROWS])
def test_every_row(name: str, standing: Standing, looks: list[Look], state: State, told: list[str]) -> None:
    issued_at = NOON if standing.state is State.PENDING else OLD
    new, events = run(standing, *looks, issued_at=issued_at)
    assert (new.state, [event.kind for event in events]) == (state, told)


def test_a_signed_answer_needs_no_second_sight() -> None:
    look = Observation(NOON, "pass", "fail", NOON, sure=True)
    assert observe(claim(NOON), look)[0].state is State.VERIFIED


@pytest.mark.parametrize(("issued_at", "state"), [(OLD, State.SUSPENDED), (FRESH, State.ACTIVE)])
def test_only_a_fresh_token_leads_out_of_a_suspension(issued_at: float, state: State) -> None:
    new, _ = run(at(State.SUSPENDED), (1.0, "pass", "pass"), (1.1, "pass", "pass"), issued_at=issued_at)
    assert new.state is state


def test_other_name_servers_without_the_token_freeze_until_a_fresh_one_is_seen() -> None:
    standing, _ = run(at(State.ACTIVE), (0.0, "pass", "pass"), ns=NS)
    standing, told = run(standing, (1.0, "fail", "pass"), ns=OTHER_NS)
    assert [event.kind for event in told] == ["frozen"]
    assert standing.takes_mail_until() == float("inf")
    back, told = run(standing, (1.1, "pass", "pass"), ns=OTHER_NS)
    assert (back.state, back.frozen_at, told) == (State.ACTIVE, NOON + DAY, [])
    thawed, told = run(back, (1.2, "pass", "pass"), (1.3, "pass", "pass"), issued_at=NOON + 1.1 * DAY, ns=OTHER_NS)
    assert (thawed.frozen_at, [event.kind for event in told]) == (None, ["thawed"])
    gone, told = run(standing, *[(1.0 + day, "fail", "pass") for day in (1, 2)], ns=OTHER_NS)
    assert (gone.state, told[-1]) == (State.SUSPENDED, Event("suspended", cause="frozen"))


def test_name_servers_alone_freeze_nothing() -> None:
    standing, _ = run(at(State.ACTIVE), (0.0, "pass", "pass"), ns=NS)
    standing, told = run(standing, (1.0, "pass", "pass"), (2.0, "temp", "pass"), ns=OTHER_NS)
    assert (standing.frozen_at, told) == (None, [])


def test_a_grace_period_shortens_when_the_mx_goes_too_and_never_grows() -> None:
    standing, _ = run(at(State.ACTIVE), *days(0, 2, "fail", "pass"))
    assert standing.ends_at == NOON + 16 * DAY
    standing, _ = run(standing, *days(3, 5, "fail", "fail"))
    assert (standing.cause, standing.ends_at) == ("both", NOON + 12 * DAY)
    standing, _ = run(standing, (6.0, "fail", "pass"))
    assert standing.ends_at == NOON + 12 * DAY


def test_the_owner_is_told_on_days_0_3_7_and_13_of_grace() -> None:
    _, told = run(at(State.ACTIVE), *days(0, 16, "fail", "pass"))
    assert [(event.kind, event.day) for event in told] == [
        ("grace", 0), ("grace_day", 3), ("grace_day", 7), ("grace_day", 13), ("suspended", 0),
    ]  # fmt: skip
    _, told = run(at(State.ACTIVE), *days(0, 32, "pass", "fail"))
    assert [event.day for event in told if event.kind == "parked_day"] == [1, 7, 21]


def test_mail_is_taken_without_an_mx_for_14_days_and_not_after_30_days_parked() -> None:
    verified, _ = run(claim(NOON), (0.0, "pass", "fail"), (0.1, "pass", "fail"), issued_at=NOON)
    assert verified.takes_mail_until() == NOON + 14.1 * DAY
    unparked, _ = run(at(State.PARKED), (30.0, "pass", "fail"))
    assert unparked.takes_mail_until() == 0.0
    grace, _ = run(unparked, *days(31, 34, "fail", "fail"))
    assert (grace.state, grace.takes_mail_until()) == (State.GRACE, 0.0)
    assert TEMPFAIL_SECONDS == 5 * DAY


SEEN = st.sampled_from(["pass", "fail", "temp", "nxdomain", "null_mx", None])
LOOKS = st.lists(
    st.tuples(st.floats(0, 20 * DAY), SEEN, SEEN, st.booleans(), st.sampled_from([NS, OTHER_NS, frozenset()])),
    max_size=40,
)
STARTS = st.sampled_from(sorted(LOOKED_AT))


def walk(state: State, looks: list[tuple[float, Seen | None, Seen | None, bool, frozenset[str]]]) -> list[Standing]:
    """Every standing on the way. A look with a fresh token has one issued just before it."""
    standing = claim(NOON) if state is State.PENDING else at(state)
    now, passed = NOON, [standing]
    for pause, ownership, routing, fresh, ns in looks:
        now += pause
        look = Observation(now, ownership, routing, now - 1 if fresh else OLD, sure=fresh, name_servers=ns)
        standing, _ = observe(standing, look)
        passed.append(standing)
    return passed


@given(STARTS, LOOKS, st.lists(st.floats(0, 40 * DAY), min_size=1, max_size=30))
def test_no_run_of_temp_takes_anything_away(state: State, looks: list[object], pauses: list[float]) -> None:
    """Whatever happened before, and however long it lasts."""
    before = walk(state, looks)[-1]  # type: ignore[arg-type]
    now = max(before.since, *(each for each in (before.facts.ownership.looked_at, NOON) if each))
    standing = before
    for pause in pauses:
        now += pause
        standing, events = observe(standing, Observation(now, "temp", "temp"))
        assert events == ()
    assert (standing.state, standing.since, standing.frozen_at) == (before.state, before.since, before.frozen_at)
    assert standing.takes_mail_until() == before.takes_mail_until()


@given(STARTS, LOOKS)
def test_a_domain_in_service_is_lost_by_confirmed_negatives_only(state: State, looks: list[object]) -> None:
    passed = walk(state, looks)  # type: ignore[arg-type]
    for before, after in pairwise(passed):
        if before.state in HOLDING - {State.SUSPENDED, State.GRACE} and after.state in (State.GRACE, State.SUSPENDED):
            facts = after.facts
            assert facts.ownership.is_confirmed_failure or facts.routing.special == "null_mx"
        if before.state is State.GRACE and after.state is State.SUSPENDED:
            assert "fail" in (after.facts.ownership.status, after.facts.routing.status)


@given(STARTS, LOOKS)
def test_a_step_comes_to_rest(state: State, looks: list[object]) -> None:
    """Looking at the clock a second time changes nothing and tells nothing twice."""
    last = walk(state, looks)[-1]  # type: ignore[arg-type]
    now = max(last.since, last.facts.ownership.looked_at or NOON, last.facts.routing.looked_at or NOON)
    once, _ = step(last, now)
    assert step(once, now) == (once, ())


@given(STARTS, LOOKS)
def test_every_state_can_be_left(state: State, looks: list[object]) -> None:
    """From wherever a domain has come to, a fresh token and our MX lead into service, and silence leads out."""
    last = walk(state, looks)[-1]  # type: ignore[arg-type]
    if last.state not in LOOKED_AT:
        return  # expired and released are left by a new claim
    now = max(last.since, last.facts.ownership.looked_at or NOON, last.facts.routing.looked_at or NOON) + DAY
    won, _ = observe(last, Observation(now, "pass", "pass", now - HOUR, sure=True))
    assert won.state is State.ACTIVE
    lost = last
    for day in range(120):
        lost, _ = observe(lost, Observation(now + day * DAY, "fail", "fail", OLD))
    assert lost.state in (State.EXPIRED, State.RELEASED)
