"""What the client is told of a recipient with several copies, and in SMTP of several recipients."""

from __future__ import annotations

import pytest

from gateway.delivery.journal import DISCARDED, StoredStep
from gateway.delivery.journal_rules import State
from gateway.delivery.verdict import Delivery, combine, of_all, of_recipient
from gateway.mail.reply import ACCEPTED, INTERNAL_ERROR, NEXT_HOP_BROKE_OFF, UNKNOWN_USER, Reply
from gateway.routing.route import Discard

QUEUED = Reply(250, "2.0.0", "queued as 1")
BUSY = Reply(450, "4.2.0", "busy")
FULL = Reply(552, "5.2.2", "over quota")

RECIPIENTS: list[tuple[str, list[tuple[State, Reply]], Reply]] = [
    ("one done keeps the next hop's words", [(State.DONE, QUEUED)], QUEUED),
    ("several done", [(State.DONE, QUEUED), (State.DONE, QUEUED)], ACCEPTED),
    ("discarded", [(State.DONE, DISCARDED)], DISCARDED),
    ("one refused", [(State.REFUSED, FULL)], FULL),
    ("all refused: the first", [(State.REFUSED, FULL), (State.REFUSED, UNKNOWN_USER)], FULL),
    ("some refused", [(State.REFUSED, FULL), (State.DONE, QUEUED)], ACCEPTED),
    ("any deferred", [(State.DONE, QUEUED), (State.DEFERRED, BUSY), (State.REFUSED, FULL)], BUSY),
    ("any unknown", [(State.DONE, QUEUED), (State.UNKNOWN, NEXT_HOP_BROKE_OFF)], NEXT_HOP_BROKE_OFF),
    ("the first of two troubles", [(State.UNKNOWN, NEXT_HOP_BROKE_OFF), (State.DEFERRED, BUSY)], NEXT_HOP_BROKE_OFF),
    ("not done in spite of a 250", [(State.DEFERRED, QUEUED)], INTERNAL_ERROR),
    ("nothing at all", [], INTERNAL_ERROR),
]


@pytest.mark.parametrize(("steps", "reply"), [row[1:] for row in RECIPIENTS], ids=[row[0] for row in RECIPIENTS])
def test_one_recipient(steps: list[tuple[State, Reply]], reply: Reply) -> None:
    stored = StoredStep("e1", "a@x.test", 0, Discard("unused"), State.SENDING)
    assert of_recipient([Delivery(stored, state, said) for state, said in steps]) == reply


@pytest.mark.parametrize(
    ("replies", "reply"),
    [
        ([QUEUED], QUEUED),
        ([QUEUED, QUEUED], ACCEPTED),
        ([QUEUED, FULL], ACCEPTED),
        ([FULL, UNKNOWN_USER], FULL),
        ([QUEUED, BUSY], BUSY),
        ([FULL, BUSY], BUSY),
    ],
)
def test_all_recipients_of_an_smtp_transaction(replies: list[Reply], reply: Reply) -> None:
    assert of_all(replies) == reply


def test_combine_takes_any_iterable() -> None:
    assert combine(iter([(True, QUEUED), (False, BUSY)])) == BUSY
