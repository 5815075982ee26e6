"""The contract that the three delivery hooks share: told after the answer, and nothing can be changed any more."""

from __future__ import annotations

import pytest

from gateway.hooks.policy import OnError
from gateway.mail.message import Message
from gateway.mail.reply import Reply
from gateway.routing.plan import DeliverStep
from tests.hooks.walk import ANNA, SENDER, call, chain, message

STEP = DeliverStep(ANNA, SENDER, "mail")


async def check_what_it_sees(hook: str, reply: Reply) -> None:
    """The message, the step and the next hop's reply."""
    seen: list[object] = []

    def plugin(message: Message, step: DeliverStep, reply: Reply) -> None:
        seen.extend([message.id, step, reply])

    await chain(call(hook, plugin)).tell(hook, [], message=message(), step=STEP, reply=reply)
    assert seen == ["m1", STEP, reply]


async def check_that_failures_stop_nobody(
    hook: str, reply: Reply, on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that raises or answers is logged, whatever its policy; the next ones are told."""
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    runner = chain(
        call(hook, broken, "broken", on_error=on_error),
        call(hook, lambda: reply, "chatty", on_error=on_error),
        call(hook, lambda: told.append("next"), "next"),
    )
    await runner.tell(hook, [], message=message(), step=STEP, reply=reply)
    assert told == ["next"]
    assert "RuntimeError: broken" in caplog.text
    assert "returned Reply, allowed: nothing" in caplog.text
