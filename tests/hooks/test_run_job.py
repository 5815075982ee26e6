"""run_job: one of the plugin's own jobs from the outbox, in the desk process."""

from __future__ import annotations

import pytest

from gateway.hooks.runner import PluginFailure, Story
from gateway.routing.effects import Done, Job, Retry
from tests.hooks.walk import call, chain

JOB = Job("sync", {"contact": 42}, "contact-42", "crm")


@pytest.mark.parametrize("answer", [None, Done("told them"), Retry(60.0, "busy")])
async def test_it_gets_the_job_and_says_how_it_went(answer: object) -> None:
    seen: list[Job] = []

    async def hook(job: Job) -> object:
        seen.append(job)
        return answer

    one = call("run_job", hook, "crm")
    assert await chain(one).invoke(one, {"job": JOB}, []) == answer
    assert seen == [JOB]


async def test_g1_a_failure_is_told_so_that_it_is_tried_again() -> None:
    def broken() -> None:
        raise RuntimeError("their server is down")

    story: Story = []
    one = call("run_job", broken, "crm")
    with pytest.raises(PluginFailure, match=r"crm\.run_job: RuntimeError: their server is down"):
        await chain(one).invoke(one, {"job": JOB}, story)
    skipping = call("run_job", broken, "crm", on_error="skip")
    assert await chain(skipping).invoke(skipping, {"job": JOB}, story) is None
    assert [event["error"].partition(" (")[0] for event in story] == ["RuntimeError: their server is down"] * 2


@pytest.mark.parametrize("answer", [True, "done", 5.0, Done, [Done()]])
async def test_g7_anything_else_is_a_failure(answer: object) -> None:
    one = call("run_job", lambda: answer, "crm")
    with pytest.raises(PluginFailure, match="allowed: Done, Retry"):
        await chain(one).invoke(one, {"job": JOB}, [])
