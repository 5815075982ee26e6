"""The table of docs/journal.md, row by row."""

from __future__ import annotations

import pytest

from gateway.delivery.journal_rules import Decision, EntryView, State, StepView, decide

NOW = 1_000_000.0
JOIN = 3600.0


def step(
    recipient: str,
    state: State = State.DONE,
    *,
    final: str = "",
    leased: bool = False,
    closed: bool = False,
    attempts: int = 1,
) -> StepView:
    return StepView(
        recipient=recipient,
        position=0,
        copy=(final or recipient, "mail"),
        state=state,
        leased_until=NOW + 60 if leased else NOW - 60,
        attempts=attempts,
        closed=closed,
    )


def entry(*steps: StepView, age: float = 10.0, id: str = "E") -> EntryView:
    return EntryView(id, NOW - age, list(steps))


A, B, C = "a@x.test", "b@x.test", "c@x.test"
own = {A: [(A, "mail")], B: [(B, "mail")], C: [(C, "mail")]}

TABLE: list[tuple[str, list[EntryView], dict[str, list[tuple[str, str]]], dict[str, Decision]]] = [
    ("1 no entry", [], {A: own[A]}, {A: Decision.NEW}),
    ("1 newest entry too old to join", [entry(step(B), age=JOIN + 1)], {A: own[A]}, {A: Decision.NEW}),
    ("2 split by the MTA", [entry(step(B))], {A: own[A]}, {A: Decision.JOIN}),
    ("2 split, the first part is closed already", [entry(step(B, closed=True))], {A: own[A]}, {A: Decision.JOIN}),
    (
        "2 split, the first part still runs",
        [entry(step(B, State.SENDING, leased=True))],
        {A: own[A]},
        {A: Decision.JOIN},
    ),
    ("3 first attempt still running", [entry(step(A, State.SENDING, leased=True))], {A: own[A]}, {A: Decision.BUSY}),
    (
        "3 one of two steps leased",
        [entry(step(A), step(A, State.SENDING, final=C, leased=True))],
        {A: own[A]},
        {A: Decision.BUSY},
    ),
    ("4 deferred", [entry(step(A, State.DEFERRED))], {A: own[A]}, {A: Decision.RETRY}),
    ("4 unknown", [entry(step(A, State.UNKNOWN))], {A: own[A]}, {A: Decision.RETRY}),
    ("4 sending, lease run out", [entry(step(A, State.SENDING))], {A: own[A]}, {A: Decision.RETRY}),
    ("4 one done, one missing", [entry(step(A), step(A, State.DEFERRED, final=C))], {A: own[A]}, {A: Decision.RETRY}),
    (
        "4 a retry is no matter of age",
        [entry(step(A, State.DEFERRED), age=4 * 86400)],
        {A: own[A]},
        {A: Decision.RETRY},
    ),
    ("5 never attempted", [entry(step(A, State.DEFERRED, attempts=0))], {A: own[A]}, {A: Decision.REPLAN}),
    (
        "5 not when one step was attempted",
        [entry(step(A, State.DEFERRED, attempts=0), step(A, State.DONE, final=C))],
        {A: own[A]},
        {A: Decision.RETRY},
    ),
    ("6 the 250 was lost", [entry(step(A))], {A: own[A]}, {A: Decision.ANSWERED}),
    ("6 the 5xx was lost", [entry(step(A, State.REFUSED))], {A: own[A]}, {A: Decision.ANSWERED}),
    ("7 sent again on purpose", [entry(step(A, closed=True))], {A: own[A]}, {A: Decision.NEW}),
    (
        "7 closed in the new entry, open in the old one",
        [entry(step(A, closed=True), id="new"), entry(step(A, State.DEFERRED), age=60, id="old")],
        {A: own[A]},
        {A: Decision.RETRY},
    ),
    (
        "2 split of a message that was sent again",
        [entry(step(B), age=5, id="again"), entry(step(A, closed=True), step(B, closed=True), age=60, id="first")],
        {A: own[A]},
        {A: Decision.JOIN},
    ),
    (
        "8 sent again with one more",
        [entry(step(A, closed=True))],
        {A: own[A], B: own[B]},
        {A: Decision.NEW, B: Decision.NEW},
    ),
    (
        "9 the shared copy is on its way",
        [entry(step(B, State.SENDING, final=C, leased=True))],
        {A: [(C, "mail")]},
        {A: Decision.BUSY},
    ),
    (
        "10 the shared copy was deferred",
        [entry(step(B, State.DEFERRED, final=C))],
        {A: [(C, "mail")]},
        {A: Decision.JOIN},
    ),
    (
        "each recipient on its own",
        [entry(step(A), step(B, State.DEFERRED), step(C, State.SENDING, leased=True))],
        own,
        {A: Decision.ANSWERED, B: Decision.RETRY, C: Decision.BUSY},
    ),
]


@pytest.mark.parametrize(("entries", "wanted", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_decision(
    entries: list[EntryView], wanted: dict[str, list[tuple[str, str]]], expected: dict[str, Decision]
) -> None:
    decided = decide(entries, wanted, NOW, JOIN)
    assert {recipient: decision for recipient, (decision, _) in decided.items()} == expected


def test_a_join_names_the_newest_entry_and_a_retry_its_own() -> None:
    entries = [entry(step(B), id="young"), entry(step(A, State.DEFERRED), age=100, id="old")]
    decided = decide(entries, {A: own[A], C: own[C]}, NOW, JOIN)
    assert decided[A][1] is entries[1]
    assert decided[C][1] is entries[0]


def test_every_row_of_the_page_is_in_the_table() -> None:
    rows = {name.split()[0] for name, *_ in TABLE}
    assert {str(n) for n in range(1, 11)} <= rows
