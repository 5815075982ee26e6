"""A plan is data: the same as JSON, grouped for delivery without losing or doubling a copy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.edits import Edits
from gateway.mail.envelope import Recipient
from gateway.mail.reply import ACCEPTED, GO_AHEAD, MAIL_LOOP
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan, Step, group, step_from_json
from gateway.routing.route import Discard, Hold, Refuse
from tests.core.routing.strategies import FEW, few_steps, plans

A, B, C, *_ = FEW


@settings(max_examples=100)
@given(plans)
def test_a_plan_equals_its_json(plan: DeliveryPlan) -> None:
    again = DeliveryPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.to_json() == plan.to_json()
    assert again.batches() == plan.batches()


def planned(*steps: Step) -> DeliveryPlan:
    """One recipient for each step."""
    return DeliveryPlan(tuple(RecipientPlan(Recipient(A), (PlannedStep(step),)) for step in steps))


@given(st.lists(few_steps, max_size=12))
def test_batches_hold_every_copy_once(steps: list[DeliverStep]) -> None:
    plan = planned(*steps)
    batches = plan.batches()
    copies = [step.copy_key for batch in batches for step in batch]
    assert len(set(copies)) == len(copies)
    assert set(copies) == {step.copy_key for step in steps}
    for batch in batches:
        assert len({(step.via, step.sender, step.edits) for step in batch}) == 1
    kinds = [(batch[0].via, batch[0].sender, batch[0].edits) for batch in batches]
    assert len(set(kinds)) == len(kinds), "two batches could have been one"


@given(st.lists(few_steps, max_size=12, unique=True))
def test_groups_keep_the_order(steps: list[DeliverStep]) -> None:
    for batch in group(steps):
        positions = [steps.index(step) for step in batch]
        assert positions == sorted(positions)


def test_the_first_recipient_decides_about_a_shared_copy() -> None:
    with_header, without = Edits(("X: 1",)), Edits()
    first = DeliverStep(B, None, "mail", with_header)
    assert planned(first, DeliverStep(B, None, "mail", without)).batches() == ((first,),)


def test_only_deliveries_are_handed_on() -> None:
    plan = planned(
        Hold("x"), Discard("y"), Refuse(MAIL_LOOP), DeliverStep(C, None, "mail"), DeliverStep(B, None, "mail")
    )
    assert [step.to for batch in plan.batches() for step in batch] == [C, B]
    assert plan.final_addresses == (C, B)


def test_an_address_at_two_next_hops_is_two_copies_and_one_final_address() -> None:
    plan = planned(DeliverStep(B, None, "mail"), DeliverStep(B, None, "postfix"))
    assert len(plan.batches()) == 2
    assert plan.final_addresses == (B,)


def test_r16_a_copy_is_known_by_its_normal_form() -> None:
    assert len(planned(DeliverStep(Address("B", "example.test"), None, "m"), DeliverStep(B, None, "m")).batches()) == 1


def test_an_unknown_kind_of_step_is_refused() -> None:
    with pytest.raises(ValueError, match="'teleport'"):
        step_from_json({"kind": "teleport"})


@pytest.mark.parametrize("reply", [ACCEPTED, GO_AHEAD])
def test_nobody_is_refused_with_an_acceptance(reply: object) -> None:
    with pytest.raises(ValueError, match="4xx or 5xx"):
        Refuse(reply)  # type: ignore[arg-type]


def write_contact(connection: object, payload: object) -> None:
    """A record function at module level."""


def test_a_record_names_its_function_so_that_it_is_found_again() -> None:
    record = Record.call(write_contact, {"id": 1})
    assert record.function == f"{__name__}:write_contact"
    assert Record.from_json(record.to_json()) == record


def test_a_record_function_must_be_found_by_its_name() -> None:
    with pytest.raises(ValueError, match="module-level"):
        Record.call(lambda connection, payload: None, {})


@pytest.mark.parametrize("value", [b"octets", object(), {1, 2}])
def test_rows_and_payloads_are_json(value: object) -> None:
    with pytest.raises(TypeError):
        Record("crm_contacts", {"x": value})
    with pytest.raises(TypeError):
        Job("send", {"x": value}, "key")
