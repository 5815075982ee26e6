"""plan_review: the last look at the whole plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.mail.edits import AddHeader
from gateway.mail.message import Message
from gateway.mail.reply import ACCEPTED, GO_AHEAD, PLUGIN_FAILED, RELAY_DENIED, STORE_DOWN, Reply
from gateway.routing.plan import DeliveryPlan, PlannedStep, RecipientPlan
from gateway.routing.route import Hold
from tests.hooks.walk import call, copies, steps, walk


async def test_it_sees_everything_that_will_happen() -> None:
    seen: list[object] = []

    def hook(message: Message, plan: DeliveryPlan) -> None:
        seen.extend([message.headers.get("Subject"), copies(plan), plan.edits.prepend[0]])

    gateway = walk(call("message_annotate", lambda: [AddHeader("X-Note", "1")]), call("plan_review", hook))
    planned = await gateway.send()
    assert seen == ["hello", [("anna@example.test", "mail")], "X-Note: 1"]
    assert copies(planned.plan) == [("anna@example.test", "mail")]


async def test_a_plan_takes_its_place_and_goes_on_to_the_next() -> None:
    def hold(plan: DeliveryPlan) -> DeliveryPlan:
        held = (PlannedStep(Hold("looks odd")),)
        return replace(plan, recipients=tuple(RecipientPlan(each.original, held) for each in plan.recipients))

    seen: list[list[object]] = []
    gateway = walk(call("plan_review", hold), call("plan_review", lambda plan: seen.append(list(steps(plan)))))
    planned = await gateway.send()
    assert seen == [[Hold("looks odd")]]
    assert steps(planned.plan) == [Hold("looks odd")]


@pytest.mark.parametrize("refusal", [RELAY_DENIED, STORE_DOWN])
async def test_a_reply_refuses_the_message(refusal: Reply) -> None:
    asked: list[int] = []
    gateway = walk(call("plan_review", lambda: refusal), call("plan_review", lambda: asked.append(1)))
    planned = await gateway.send()
    assert (planned.plan, planned.refusal) == (None, refusal)
    assert asked == []


async def test_an_acceptance_cannot_make_a_message_vanish() -> None:
    planned = await walk(call("plan_review", lambda: ACCEPTED)).send()
    assert planned.refusal is None
    assert copies(planned.plan) == [("anna@example.test", "mail")]


async def test_g7_a_354_is_no_answer() -> None:
    planned = await walk(call("plan_review", lambda: GO_AHEAD)).send()
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)


async def test_g10_a_plan_that_grew_too_large_is_refused() -> None:
    def grow(plan: DeliveryPlan) -> DeliveryPlan:
        (recipient,) = plan.recipients
        return replace(plan, recipients=(RecipientPlan(recipient.original, recipient.steps * 4),))

    planned = await walk(call("plan_review", grow), tables="[routing]\nmax_recipients = 3\n").send()
    assert planned.plan is None
    assert planned.refusal is not None
    assert planned.refusal.code == 452


async def test_g1_a_failure_is_a_deferral_or_nothing() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    planned = await walk(call("plan_review", broken)).send()
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    planned = await walk(call("plan_review", broken, on_error="skip")).send()
    assert copies(planned.plan) == [("anna@example.test", "mail")]
