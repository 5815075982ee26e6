"""delivery_succeeded: a next hop took a copy. Told after the answer; nothing can be changed any more."""

from __future__ import annotations

import pytest

from gateway.hooks.policy import OnError
from gateway.mail.message import Message
from gateway.mail.reply import ACCEPTED, Reply
from gateway.routing.plan import DeliverStep
from tests.hooks.walk import ANNA, SENDER, call, chain, message

STEP = DeliverStep(ANNA, SENDER, "mail")


async def test_it_sees_the_message_the_step_and_the_next_hops_reply() -> None:
    seen: list[object] = []

    def hook(message: Message, step: DeliverStep, reply: Reply) -> None:
        seen.extend([message.id, step, reply])

    runner = chain(call("delivery_succeeded", hook))
    await runner.tell("delivery_succeeded", [], message=message(), step=STEP, reply=ACCEPTED)
    assert seen == ["m1", STEP, ACCEPTED]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
async def test_g1_a_failure_is_logged_and_the_others_are_told(
    on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    runner = chain(
        call("delivery_succeeded", broken, "broken", on_error=on_error),
        call("delivery_succeeded", lambda: ACCEPTED, "chatty", on_error=on_error),
        call("delivery_succeeded", lambda: told.append("next"), "next"),
    )
    await runner.tell("delivery_succeeded", [], message=message(), step=STEP, reply=ACCEPTED)
    assert told == ["next"]
    assert "RuntimeError: broken" in caplog.text
    assert "returned Reply, allowed: nothing" in caplog.text
