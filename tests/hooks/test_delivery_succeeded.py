"""delivery_succeeded: a next hop took a copy. Told after the answer; nothing can be changed any more."""

from __future__ import annotations

import pytest

from gateway.hooks.policy import OnError
from gateway.mail.reply import ACCEPTED
from tests.hooks.told import check_that_failures_stop_nobody, check_what_it_sees


async def test_it_sees_the_message_the_step_and_the_next_hops_reply() -> None:
    await check_what_it_sees("delivery_succeeded", ACCEPTED)


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
async def test_g1_a_failure_is_logged_and_the_others_are_told(
    on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    await check_that_failures_stop_nobody("delivery_succeeded", ACCEPTED, on_error, caplog)
