"""How long others may see an answer: told by TTLs, the negative one too, and kept when the answer changes."""

from __future__ import annotations

from gateway.domains.checks.result import Observation, Result
from gateway.domains.lifetimes import Remembered, lifetimes

NAME = "_k.customer.test"


def seen(at: float, ttl: int, *texts: str, server: str = "r", trouble: str = "", name: str = NAME) -> Observation:
    return Observation(at, server, name, "TXT", "NOERROR", ttl=ttl, texts=texts, trouble=trouble)


def result(*observations: Observation) -> Result:
    return Result("ownership", "fail", "token_missing", True, observations)


def test_the_longest_ttl_of_one_answer_counts_and_trouble_has_none() -> None:
    all_of = lifetimes(
        [result(seen(10, 60), seen(11, 900, server="a"), seen(12, 5, trouble="timeout"), seen(13, 9, name="x.test"))]
    )
    assert [(each.name, each.texts, each.ttl, each.until) for each in all_of] == [(NAME, (), 900, 911)]


def test_two_servers_that_disagree_give_two_answers() -> None:
    all_of = lifetimes([result(seen(10, 60, "old"), seen(10, 300, "new"))])
    assert [(each.texts, each.until) for each in all_of] == [(("old",), 70), (("new",), 310)]


def test_an_answer_that_changed_is_told_until_its_time_is_over() -> None:
    remembered = Remembered()
    remembered.note(lifetimes([result(seen(10, 900))]), 10)
    assert remembered.old(10) == ()
    remembered.note(lifetimes([result(seen(20, 60, "key"))]), 20)
    assert [(each.texts, each.until) for each in remembered.old(20)] == [((), 910)]
    remembered.note((), 30)  # nobody answered
    remembered.note(lifetimes([result(seen(40, 60, "key"))]), 40)
    assert [each.until for each in remembered.old(909)] == [910]
    assert remembered.old(910) == ()


def test_an_answer_that_came_back_is_not_old() -> None:
    remembered = Remembered()
    for at, texts in ((10, ()), (20, ("key",)), (30, ())):
        remembered.note(lifetimes([result(seen(at, 900, *texts))]), at)
    assert [each.texts for each in remembered.old(30)] == [("key",)]
