"""The runner: order, how answers are combined, and what the story tells."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.hooks.policy import OnError
from gateway.hooks.registry import Accept
from gateway.hooks.runner import PluginFailure, Runner, Story
from gateway.mail.edits import AddHeader
from gateway.mail.message import Tag
from gateway.mail.reply import ACCEPTED, RELAY_DENIED, TOO_BIG, Reply
from gateway.routing.route import Deliver
from tests.core.hooks.one_call import collected
from tests.hooks.walk import call, chain

# Order


async def test_one_after_the_other_sync_and_async_alike() -> None:
    seen: list[str] = []

    def first() -> None:
        seen.append("first")

    async def second() -> None:
        await asyncio.sleep(0)
        seen.append("second")

    def third() -> None:
        seen.append("third")

    async def fourth() -> list[Tag]:
        seen.append("fourth")
        await asyncio.sleep(0)
        seen.append("fourth's end")
        return []

    hooks = [call("message_received", function) for function in (first, second, third, fourth)]
    await chain(*hooks).until_rejection("message_received", [])
    assert seen == ["first", "second", "third", "fourth", "fourth's end"]


async def test_a_hook_gets_the_arguments_it_names() -> None:
    def all_of_them(message: str, plan: str) -> list[Tag]:
        return [Tag("seen", f"{message}{plan}")]

    def one(plan: str) -> list[Tag]:
        return [Tag("seen", plan)]

    def none() -> list[Tag]:
        return [Tag("seen", "")]

    assert await collected(all_of_them) == [Tag("seen", "mp")]
    assert await collected(one) == [Tag("seen", "p")]
    assert await collected(none) == [Tag("seen", "")]


async def test_a_hook_without_implementation_costs_nothing() -> None:
    runner = Runner({"smtp_mail": []})
    assert runner.chain("smtp_mail") == ()
    assert (await runner.until_rejection("smtp_mail", [])).answer is None
    assert (await runner.first_answer("smtp_rcpt_claim", [])).answer is None
    assert await runner.collect("message_annotate", []) == []


# How answers are combined


async def test_until_rejection_collects_tags_and_stops_at_the_first_refusal() -> None:
    runner = chain(
        call("smtp_mail", lambda: Tag("seen", 1), "a"),
        call("smtp_mail", lambda: None, "b"),
        call("smtp_mail", lambda: ACCEPTED, "c"),
        call("smtp_mail", lambda: [RELAY_DENIED, TOO_BIG, Tag("seen", "d")], "d"),
        call("smtp_mail", lambda: Tag("seen", "never"), "e"),
    )
    story: Story = []
    outcome = await runner.until_rejection("smtp_mail", story)
    assert (outcome.answer, outcome.plugin) == (RELAY_DENIED, "d")
    assert outcome.tags == {"a.seen": 1, "d.seen": "d"}
    assert [event["plugin"] for event in story] == ["a", "b", "c", "d"]


async def test_first_answer_stops_at_the_first_that_is_not_none() -> None:
    runner = chain(
        call("smtp_rcpt_claim", lambda: None, "a"),
        call("smtp_rcpt_claim", lambda: Accept("mine"), "b"),
        call("smtp_rcpt_claim", lambda: RELAY_DENIED, "c"),
    )
    outcome = await runner.first_answer("smtp_rcpt_claim", [])
    assert (outcome.answer, outcome.plugin) == (Accept("mine"), "b")


async def test_collect_takes_everything_in_order() -> None:
    runner = chain(
        call("message_annotate", lambda: [AddHeader("X", "1"), Tag("seen")], "a"),
        call("message_annotate", lambda: None, "b"),
        call("message_annotate", lambda: (AddHeader("X", str(n)) for n in (2, 3)), "c"),
    )
    effects = await runner.collect("message_annotate", [])
    assert effects == [
        ("a", AddHeader("X", "1")),
        ("a", Tag("seen")),
        ("c", AddHeader("X", "2")),
        ("c", AddHeader("X", "3")),
    ]


async def test_tell_reaches_everybody_also_behind_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    runner = chain(
        call("gateway_shutdown", lambda: seen.append("a"), "a"),
        call("gateway_shutdown", broken, "b"),
        call("gateway_shutdown", lambda: seen.append("c"), "c"),
    )
    await runner.tell("gateway_shutdown", [])
    await runner.tell("gateway_shutdown", [], backwards=True)
    assert seen == ["a", "c", "c", "a"]
    assert "b.gateway_shutdown: RuntimeError: broken" in caplog.text


@pytest.mark.parametrize("on_error", ["skip", "tempfail"])
async def test_must_overlooks_nothing(on_error: OnError) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    one = call("gateway_startup", broken, on_error=on_error)
    with pytest.raises(PluginFailure, match=r"probe\.gateway_startup: RuntimeError: broken"):
        await chain(one).must(one)


# Shadow mode


async def test_a_shadow_is_asked_and_not_heard() -> None:
    asked: list[str] = []

    def refuse() -> Reply:
        asked.append("refuse")
        return TOO_BIG

    runner = chain(
        call("message_received", refuse, "shadow", mode="shadow"),
        call("message_received", lambda: Tag("seen"), "tagger", mode="shadow"),
        call("message_received", lambda: Tag("seen"), "live"),
    )
    story: Story = []
    outcome = await runner.until_rejection("message_received", story)
    assert outcome.answer is None
    assert outcome.tags == {"live.seen": True}
    assert asked == ["refuse"]
    assert [event.get("shadow", False) for event in story] == [True, True, False]
    assert story[0]["answer"] == [str(TOO_BIG)]
    assert story[0]["ms"] >= 0


@pytest.mark.parametrize("on_error", ["skip", "tempfail"])
async def test_a_shadows_failure_changes_nothing(on_error: OnError) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    runner = chain(
        call("route_recipient", broken, "shadow", mode="shadow", on_error=on_error),
        call("route_recipient", lambda: Deliver("mail"), "live"),
    )
    story: Story = []
    assert (await runner.first_answer("route_recipient", story)).plugin == "live"
    assert story[0]["error"].startswith("RuntimeError")
    assert story[0]["shadow"] is True


# The story


async def test_the_story_tells_every_call_in_order() -> None:
    story: Story = []
    runner = chain(
        call("smtp_mail", lambda: None, "a"),
        call("smtp_mail", lambda: [Tag("seen", "x" * 1000), Tag("seen", "y")], "b"),
        call("smtp_mail", lambda: RELAY_DENIED, "c"),
    )
    await runner.until_rejection("smtp_mail", story)
    assert [set(event) - {"ms"} for event in story] == [{"hook", "plugin"}, *[{"hook", "plugin", "answer"}] * 2]
    assert story[1]["answer"] == ["seen=" + "x" * 300, "seen=y"]
    assert story[2]["answer"] == [str(RELAY_DENIED)]
    assert all(event["ms"] >= 0 for event in story)


async def test_nothing_is_logged_when_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await collected(lambda: [Tag("seen")])
    assert [record for record in caplog.records if record.name.startswith("stellwerk")] == []
