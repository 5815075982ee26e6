"""What hooks add to the copies: to whom, in which order, and what a DKIM signature makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.mail.address import Address
from gateway.mail.edits import (
    AddHeader,
    Edits,
    ForMembers,
    ForRecipient,
    RemoveHeader,
    ReplaceHeader,
    Splice,
)
from gateway.mail.envelope import Recipient
from gateway.mail.message import Message, Tag
from gateway.routing.annotation import annotated
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan
from gateway.routing.route import Descent, Hold
from tests.hooks.walk import message as received

ANNA, BO, SALES = (Address(name, "example.test") for name in ("anna", "bo", "sales"))
CORE = Edits(("X-Stellwerk-Loop: mx 0",))
RAW = b"From: a@x.test\r\nSubject: one\r\nX-A: 1\r\n\tfolded\r\nsubject: two\r\nX-B: 2\r\n\r\nbody\r\n"


def delivery(to: Address, *way: Address) -> PlannedStep:
    return PlannedStep(DeliverStep(to, None, "mail"), tuple(Descent(station, "p") for station in (*way, to)))


PLAN = DeliveryPlan(
    (
        RecipientPlan(Recipient(ANNA), (delivery(ANNA),)),
        RecipientPlan(Recipient(SALES), (delivery(BO, SALES), PlannedStep(Hold("x"), (Descent(SALES, "p"),)))),
    )
)


def planned(core: Edits, plan: DeliveryPlan = PLAN) -> DeliveryPlan:
    """The plan as it is before plugins annotate it: every copy has the gateway's own edits."""

    def edited(step: PlannedStep) -> PlannedStep:
        return replace(step, step=replace(step.step, edits=core)) if isinstance(step.step, DeliverStep) else step

    recipients = tuple(replace(each, steps=tuple(map(edited, each.steps))) for each in plan.recipients)
    return replace(plan, recipients=recipients, edits=core)


def plan_of(*effects: Any, raw: bytes = RAW, core: Edits = CORE, plan: DeliveryPlan = PLAN) -> DeliveryPlan:
    return annotated(planned(core, plan), received(raw), [("p", effect) for effect in effects])


def edits_of(plan: DeliveryPlan) -> dict[str, Edits]:
    return {step.to.local: step.edits for recipient in plan.recipients for step in recipient.deliveries}


def copy(effect: Any, raw: bytes = RAW, core: Edits = CORE) -> bytes:
    """Anna's copy, without the gateway's own stamp."""
    message: Message = received(raw)
    edits = edits_of(annotated(planned(core), message, [("p", effect)]))["anna"]
    return edits.render(message.body).replace(b"X-Stellwerk-Loop: mx 0\r\n", b"")


def test_without_effects_every_copy_has_the_cores_edits() -> None:
    plan = plan_of()
    assert plan.edits is CORE
    assert edits_of(plan) == {"anna": CORE, "bo": CORE}
    assert [type(planned.step) for planned in plan.recipients[1].steps] == [DeliverStep, Hold]
    assert len(plan.batches()) == 1


@pytest.mark.parametrize(
    ("scope", "anna", "bo"),
    [
        pytest.param(None, True, True, id="every copy"),
        pytest.param(ForMembers(SALES), False, True, id="members of sales"),
        pytest.param(ForMembers(Address("SALES", "example.test")), False, True, id="r16 any case"),
        pytest.param(ForMembers(ANNA), True, False, id="the mailbox itself"),
        pytest.param(ForRecipient(BO), False, True, id="one final recipient"),
        pytest.param(ForRecipient(SALES), False, False, id="sales is no final recipient"),
    ],
)
def test_r14_a_header_reaches_its_scope_and_nobody_else(scope: Any, anna: bool, bo: bool) -> None:
    edit = AddHeader("X-Note", "1") if scope is None else AddHeader("X-Note", "1", scope)
    edits = edits_of(plan_of(edit))
    assert {name: "X-Note: 1" in each.prepend for name, each in edits.items()} == {"anna": anna, "bo": bo}


def test_copies_with_the_same_edits_stay_one_batch() -> None:
    assert len(plan_of(AddHeader("X-A", "1")).batches()) == 1
    assert len(plan_of(AddHeader("X-A", "1", ForRecipient(BO))).batches()) == 2
    both = plan_of(AddHeader("X-A", "1", ForRecipient(BO)), AddHeader("X-A", "1", ForRecipient(ANNA)))
    assert len(both.batches()) == 1


def test_headers_stand_in_chain_order_above_the_gateways_own() -> None:
    plan = plan_of(AddHeader("X-1", "a"), AddHeader("X-2", "b", ForRecipient(ANNA)), AddHeader("X-3", "c"))
    assert plan.edits.prepend == ("X-1: a", "X-3: c", "X-Stellwerk-Loop: mx 0")
    assert edits_of(plan)["anna"].prepend == ("X-1: a", "X-2: b", "X-3: c", "X-Stellwerk-Loop: mx 0")
    assert edits_of(plan)["bo"] == plan.edits


def test_m16_a_message_that_begins_folded_cannot_complete_a_plugins_header() -> None:
    raw = b" , ceo@example.test\r\n" + RAW
    message = received(raw)
    plan = annotated(planned(CORE), message, [("p", AddHeader("X-Stellwerk-VIP", "sales@example.test"))])
    lines = edits_of(plan)["anna"].render(message.body).split(b"\r\n")
    assert lines[:3] == [b"X-Stellwerk-VIP: sales@example.test", b"X-Stellwerk-Loop: mx 0", b" , ceo@example.test"]


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (ReplaceHeader("Subject", "new"), b"Subject: one\r\n", b"Subject: new\r\n"),
        (ReplaceHeader("SUBJECT", "new"), b"Subject: one\r\n", b"SUBJECT: new\r\n"),
        (ReplaceHeader("X-A", "new"), b"X-A: 1\r\n\tfolded\r\n", b"X-A: new\r\n"),
        (RemoveHeader("x-a"), b"X-A: 1\r\n\tfolded\r\n", b""),
        (RemoveHeader("X-B"), b"X-B: 2\r\n", b""),
        (RemoveHeader("From"), b"From: a@x.test\r\n", b""),
        (RemoveHeader("X-None"), b"", b""),
        (ReplaceHeader("X-None", "new"), b"", b""),
    ],
)
def test_a_splice_changes_whole_fields_and_nothing_else(edit: Any, before: bytes, after: bytes) -> None:
    assert copy(edit) == RAW.replace(before, after, 1)


def test_removing_takes_every_field_of_that_name() -> None:
    assert copy(RemoveHeader("Subject")) == RAW.replace(b"Subject: one\r\n", b"").replace(b"subject: two\r\n", b"")


def test_m1_a_replacement_is_one_field() -> None:
    assert copy(ReplaceHeader("X-B", "1\r\nBcc: x@y")) == RAW.replace(b"X-B: 2", b"X-B: 1 Bcc: x@y")


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        pytest.param(
            (ReplaceHeader("X-B", "first"), ReplaceHeader("X-B", "second")), b"X-B: second\r\n", id="the last wins"
        ),
        pytest.param((ReplaceHeader("X-B", "first"), RemoveHeader("X-B")), b"", id="removed after it was replaced"),
        pytest.param((RemoveHeader("X-B"), ReplaceHeader("X-B", "new")), b"X-B: new\r\n", id="replaced after removal"),
        pytest.param((RemoveHeader("X-B"), RemoveHeader("x-b")), b"", id="removed twice"),
    ],
)
def test_two_plugins_at_one_field(effects: tuple[Any, ...], expected: bytes) -> None:
    edits = edits_of(plan_of(*effects, core=Edits()))["anna"]
    assert edits.render(received(RAW).body) == RAW.replace(b"X-B: 2\r\n", expected)


def test_the_gateways_own_removals_are_kept_among_others() -> None:
    start = RAW.index(b"X-A")
    core = Edits(CORE.prepend, (Splice(start, RAW.index(b"subject")),), ("x-a",))
    edits = edits_of(plan_of(RemoveHeader("From"), ReplaceHeader("X-B", "3"), core=core))["bo"]
    assert edits.splices == tuple(sorted(edits.splices))
    assert edits.render(received(RAW).body) == (
        b"X-Stellwerk-Loop: mx 0\r\nSubject: one\r\nsubject: two\r\nX-B: 3\r\n\r\nbody\r\n"
    )
    assert edits.may_break_dkim == ("x-a",)


SIGNED = b"DKIM-Signature: v=1; h=From:Subject:X-Absent; b=x\r\n" + RAW


@pytest.mark.parametrize(
    ("effects", "broken"),
    [
        ((AddHeader("X-New", "1"),), ()),
        ((ReplaceHeader("Subject", "x"),), ("subject",)),
        ((RemoveHeader("FROM"), RemoveHeader("Subject")), ("from", "subject")),
        ((RemoveHeader("X-A"),), ()),
        ((RemoveHeader("X-Absent"),), ()),
    ],
)
def test_splices_of_signed_fields_are_flagged(effects: tuple[Any, ...], broken: tuple[str, ...]) -> None:
    assert plan_of(*effects, raw=SIGNED).edits.may_break_dkim == broken
    assert plan_of(*effects).edits.may_break_dkim == ()


def test_only_the_copies_that_are_spliced_are_flagged() -> None:
    plan = plan_of(RemoveHeader("Subject", ForRecipient(BO)), raw=SIGNED)
    assert plan.edits.may_break_dkim == ()
    assert {name: each.may_break_dkim for name, each in edits_of(plan).items()} == {"anna": (), "bo": ("subject",)}


def test_records_and_jobs_add_up_and_jobs_belong_to_their_plugin() -> None:
    earlier = DeliveryPlan(PLAN.recipients, records=(Record("a_x", {"n": 0}),), jobs=(Job("k", {}, "0", "other"),))
    effects = [
        ("p", Record("p_x", {"n": 1})),
        ("q", Job("k", {"n": 2}, "2", "forged")),
        ("q", Tag("seen")),
        ("p", Job("k", {"n": 3}, "3")),
    ]
    plan = annotated(earlier, received(RAW), effects)
    assert [(record.table, record.row) for record in plan.records] == [("a_x", {"n": 0}), ("p_x", {"n": 1})]
    assert [(job.owner, job.key) for job in plan.jobs] == [("other", "0"), ("q", "2"), ("p", "3")]
