"""Merging units into calls: few calls, and the order of each unit is kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from gateway.store.group import Write, apply, merge

NO_DATABASE: Any = None


class Letter:
    """A batch function that answers with its own name and the payload."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        return [f"{self.name}{payload}" for payload in payloads]


LETTERS = {name: Letter(name) for name in "ABCD"}


def units_of(text: str) -> list[list[Write]]:
    return [[Write(LETTERS[name], number) for number, name in enumerate(unit)] for unit in text.split()]


@pytest.mark.parametrize(
    ("units", "calls"),
    [
        ("", []),
        ("A", ["A1"]),
        ("A A A", ["A3"]),
        ("AB AB AB", ["A3", "B3"]),
        ("AB B AB", ["A2", "B3"]),
        ("B AB", ["A1", "B2"]),
        ("B AAB", ["A2", "B2"]),
        ("AAB AB", ["A3", "B2"]),
        ("ABC BC C", ["A1", "B2", "C3"]),
        ("ABA", ["A1", "B1", "A1"]),
        ("AB BA", ["A1", "B2", "A1"]),
    ],
)
def test_equal_functions_of_different_units_become_one_call(units: str, calls: list[str]) -> None:
    merged = merge(units_of(units))
    assert [f"{function.name}{len(places)}" for function, places in merged if isinstance(function, Letter)] == calls


@given(st.lists(st.text(alphabet="ABCD", max_size=6), max_size=8))
def test_every_write_is_called_once_and_in_the_order_of_its_unit(units: list[str]) -> None:
    writes = [[Write(LETTERS[name], number) for number, name in enumerate(unit)] for unit in units]
    called = [(unit, position) for _, places in merge(writes) for unit, position in places]
    assert sorted(called) == [(unit, position) for unit, text in enumerate(units) for position in range(len(text))]
    for unit, places in groupby(sorted(called, key=lambda place: place[0]), key=lambda place: place[0]):
        assert [position for _, position in places] == list(range(len(units[unit])))


def test_results_come_back_to_their_unit_in_order() -> None:
    assert apply(NO_DATABASE, units_of("AB B CAA")) == [["A0", "B1"], ["B0"], ["C0", "A1", "A2"]]


def test_an_empty_unit_has_no_results() -> None:
    assert apply(NO_DATABASE, [[], *units_of("A")]) == [[], ["A0"]]


def test_a_function_that_loses_results_is_an_error() -> None:
    def forgetful(connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
        return [None]

    with pytest.raises(ValueError, match="returned 1 results for 2 payloads"):
        apply(NO_DATABASE, [[Write(forgetful, 1)], [Write(forgetful, 2)]])


def test_bound_methods_of_one_object_are_one_function() -> None:
    class Plugin:
        def __init__(self) -> None:
            self.calls: list[list[int]] = []

        def count(self, connection: Connection, payloads: Sequence[Any], /) -> Sequence[Any]:
            self.calls.append(list(payloads))
            return payloads

    plugin = Plugin()
    apply(NO_DATABASE, [[Write(plugin.count, 1)], [Write(plugin.count, 2)]])
    assert plugin.calls == [[1, 2]]
