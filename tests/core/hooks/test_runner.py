"""The runner: order, answers, and whatever a plugin can do wrong without the process or the sender paying for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from gateway.hooks.policy import Breaker, OnError
from gateway.hooks.registry import Accept
from gateway.hooks.runner import MAX_EFFECTS, PluginFailure, Runner, Story, running_now
from gateway.mail.edits import AddHeader
from gateway.mail.message import Tag
from gateway.mail.reply import ACCEPTED, RELAY_DENIED, TOO_BIG, Reply
from gateway.routing.effects import Done, Retry
from gateway.routing.plan import DeliveryPlan
from gateway.routing.route import Deliver
from tests.core.dns.timing import FakeClock
from tests.hooks.walk import call, chain, returns


async def collected(function: Callable[..., Any], hook: str = "message_annotate", **settings: Any) -> list[Any]:
    """What one hook comes to."""
    runner = chain(call(hook, function, **settings))
    return [effect for _, effect in await runner.collect(hook, [], message="m", plan="p")]


async def told(function: Callable[..., Any], hook: str = "route_recipient", **settings: Any) -> dict[str, Any]:
    """What the story says about one call of one hook."""
    story: Story = []
    one = call(hook, function, **settings)
    with suppress(PluginFailure):
        await chain(one).invoke(one, {"message": "m", "recipient": "r", "plan": "p"}, story)
    (event,) = story
    assert ("error" in event) == ("on_error" in event)
    return event


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


# What goes wrong


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def too_deep() -> None:
    too_deep()


class Custom(BaseException):
    pass


FAULTS: list[BaseException] = [
    RuntimeError("broken"), KeyError("x"), AssertionError(), OSError(28, "disk"), SystemExit(3), KeyboardInterrupt(),
    asyncio.CancelledError(), MemoryError(), StopIteration(), StopAsyncIteration(), TimeoutError("its own"),
    Custom("x"), Unprintable(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    BaseExceptionGroup("g", [KeyboardInterrupt()]),
]  # fmt: skip
NAMES = [type(fault).__name__ for fault in FAULTS]


def raising(fault: BaseException) -> dict[str, Callable[[], Any]]:
    def sync() -> None:
        raise fault

    async def at_once() -> None:
        raise fault

    async def later() -> None:
        await asyncio.sleep(0)
        raise fault

    def generator() -> Iterator[Tag]:
        yield Tag("seen")
        raise fault

    return {"sync": sync, "at once": at_once, "later": later, "generator": generator}


@pytest.mark.parametrize("way", ["sync", "at once", "later", "generator"])
@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_g1_g2_whatever_is_raised_is_the_plugins_failure(fault: BaseException, way: str) -> None:
    hook = "message_annotate"
    event = await told(raising(fault)[way], hook)
    named = type(fault).__name__
    assert named in event["error"] or "RuntimeError" in event["error"], "Python turns StopIteration into RuntimeError"
    assert "test_runner.py:" in event["error"] or isinstance(fault, asyncio.CancelledError)
    after = chain(call(hook, raising(fault)[way], on_error="skip"), call(hook, lambda: [Tag("seen")], "next"))
    assert await after.collect(hook, []) == [("next", Tag("seen"))]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
async def test_g2_the_same_in_a_pool(fault: BaseException) -> None:
    with ThreadPoolExecutor(1) as pool:
        for way in ("sync", "generator"):
            event = await told(raising(fault)[way], "message_annotate", pool=pool)
            assert type(fault).__name__ in event["error"] or "RuntimeError" in event["error"]


async def test_g2_recursion_without_end() -> None:
    assert (await told(too_deep))["error"].startswith("RecursionError: ")


async def test_the_story_says_where_in_the_plugin() -> None:
    def broken() -> None:
        int("x" * 1000)

    error = (await told(broken))["error"]
    line = broken.__code__.co_firstlineno + 1
    assert error.startswith("ValueError: invalid literal for int()")
    assert error.endswith(f"(test_runner.py:{line})")
    assert len(error) < 400


async def test_only_the_policy_decides_what_a_failure_does(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    with pytest.raises(PluginFailure, match=r"probe\.message_received: RuntimeError: broken"):
        await chain(call("message_received", broken)).until_rejection("message_received", [])
    skipping = chain(call("message_received", broken, on_error="skip"), call("message_received", lambda: TOO_BIG))
    assert (await skipping.until_rejection("message_received", [])).answer == TOO_BIG
    assert "plugin probe failed in message_received (skip): RuntimeError" in caplog.text


# Cancellation and time


async def test_a_cancellation_from_outside_is_not_the_plugins_failure() -> None:
    entered = asyncio.Event()
    breaker = Breaker()

    async def waiting() -> None:
        entered.set()
        await asyncio.Event().wait()

    one = call("route_recipient", waiting, breaker=breaker)
    task = asyncio.create_task(chain(one).invoke(one, {}, []))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.failures == 0
    assert running_now() is None


async def test_a_probe_that_a_client_cuts_off_does_not_close_the_door_for_ever() -> None:
    clock = FakeClock()
    breaker = Breaker(clock, failures_to_open=1, cool_down_seconds=10)
    breaker.failed()
    clock.advance(10)
    entered = asyncio.Event()

    async def waiting() -> None:
        entered.set()
        await asyncio.Event().wait()

    one = call("route_recipient", waiting, breaker=breaker)
    task = asyncio.create_task(chain(one).invoke(one, {}, []))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.allows()


async def test_g4_no_answer_in_time() -> None:
    cancelled: list[bool] = []

    async def hanging() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    assert (await told(hanging, timeout_seconds=0.01))["error"] == "no answer within 0.01 s"
    assert cancelled == [True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_g4_an_answer_that_comes_too_late_is_none() -> None:
    async def stubborn() -> Deliver:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Deliver("mail")
        raise AssertionError

    assert (await told(stubborn, timeout_seconds=0.01))["error"] == "no answer within 0.01 s"


async def test_a_timeout_of_the_plugins_own_is_told_as_such() -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    assert (await told(impatient))["error"].startswith("TimeoutError: ")


async def test_g3_a_slow_sync_hook_is_reported_and_its_answer_counts(caplog: pytest.LogCaptureFixture) -> None:
    event = await told(lambda: Deliver("mail"), timeout_seconds=0.0)
    assert "error" not in event
    assert "plugin probe: route_recipient took 0.0 s, over its 0.0 s" in caplog.text


# What may be returned


class Impostor:
    is_accept = True


@pytest.mark.parametrize(
    "answer",
    [
        0, 1, True, False, 250, 1.5, b"250", b"", "250 ok\r\n354 x", "", "x" * 10_000_000, {}, {"a": 1}, object(),
        Impostor(), Tag, [1], [None], ["250"], [[Tag("seen")]], [Tag("seen"), 1], Deliver("mail"), DeliveryPlan(()),
        range(3), bytearray(b"x"),
    ],
    ids=lambda answer: f"{type(answer).__name__} {str(answer)[:10]}",
)  # fmt: skip
@pytest.mark.parametrize("hook", ["smtp_mail", "message_received"])
async def test_g7_checks_return_a_reply_tags_or_nothing(hook: str, answer: Any) -> None:
    event = await told(returns(answer), hook)
    assert "may not return" in event["error"] or "returned " in event["error"]
    assert event["error"].isprintable()
    assert len(event["error"]) < 300


@pytest.mark.parametrize(
    "answer", [0, True, "mail", b"mail", {}, [Deliver("mail")], (Deliver("mail"),), Tag("seen"), Reply]
)
async def test_g7_a_route_is_a_route(answer: Any) -> None:
    assert "allowed: Redirect, Deliver, Hold, Discard, Refuse" in (await told(lambda: answer))["error"]


@pytest.mark.parametrize(
    ("hook", "allowed"),
    [
        ("smtp_connect", [Tag("seen"), TOO_BIG]),
        ("smtp_mail", [Tag("seen"), TOO_BIG]),
        ("smtp_rcpt_check", [Tag("seen"), TOO_BIG]),
        ("message_received", [Tag("seen"), TOO_BIG]),
        ("smtp_rcpt_claim", [Accept(), TOO_BIG]),
        ("route_recipient", [Deliver("mail")]),
        ("plan_review", [DeliveryPlan(()), TOO_BIG]),
        ("run_job", [Done(), Retry(1.0)]),
        ("message_annotate", [Tag("seen"), AddHeader("X", "1")]),
        ("delivery_succeeded", []),
        ("delivery_deferred", []),
        ("delivery_failed", []),
        ("gateway_startup", []),
        ("gateway_shutdown", []),
    ],
)
async def test_g7_each_hook_has_its_answers(hook: str, allowed: list[Any]) -> None:
    checks, ends = [Tag("seen"), TOO_BIG, Accept()], [Done(), Retry(1.0)]
    for answer in [*checks, Deliver("mail"), DeliveryPlan(()), *ends, AddHeader("X", "1")]:
        event = await told(returns(answer), hook)
        assert ("error" not in event) == (answer in allowed), answer
    assert "error" not in await told(lambda: None, hook)


async def test_iterables_of_all_kinds() -> None:
    def generator() -> Iterator[Tag]:
        yield Tag("seen", 1)
        yield Tag("seen", 2)

    for function in (generator, lambda: tuple(generator()), lambda: {Tag("seen", 1): 0}.keys() | {Tag("seen", 2)}):
        assert sorted(tag.value for tag in await collected(function)) == [1, 2]
    assert await collected(lambda: Tag("seen")) == [Tag("seen")]
    assert await collected(returns([])) == []
    assert await collected(returns(iter(()))) == []


async def test_an_iterable_without_end_is_cut_off() -> None:
    def endless() -> Iterator[Tag]:
        while True:
            yield Tag("seen")

    assert len(await collected(lambda: [Tag("seen")] * MAX_EFFECTS)) == MAX_EFFECTS
    event = await told(endless, "message_annotate")
    assert event["error"] == f"message_annotate returned more than {MAX_EFFECTS} things"


async def test_an_async_generator_is_no_answer() -> None:
    async def generator() -> AsyncIterator[Tag]:
        yield Tag("seen")

    assert (await told(generator, "message_annotate"))["error"] == "message_annotate may not return async_generator"


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        (Tag("undeclared"), "tag 'undeclared' was not declared at register()"),
        (Tag("probe.seen"), "tag 'probe.seen' was not declared at register()"),
        (Tag(["seen"]), "tag ['seen'] was not declared at register()"),  # type: ignore[arg-type]
        (Tag("seen", 1.5), "tag 'seen': a value is str, int or bool, not float"),  # type: ignore[arg-type]
        (Tag("seen", None), "tag 'seen': a value is str, int or bool, not NoneType"),  # type: ignore[arg-type]
        (Tag("seen", b"x"), "tag 'seen': a value is str, int or bool, not bytes"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize(
    "hook", ["smtp_connect", "smtp_mail", "smtp_rcpt_check", "message_received", "message_annotate"]
)
async def test_tags_are_declared_and_plain(hook: str, tag: Tag, problem: str) -> None:
    for name in (hook, "message_annotate"):
        assert (await told(returns([Tag("seen"), tag]), name))["error"] == problem


# The breaker


async def test_a_plugin_that_always_fails_is_no_longer_asked(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    asked: list[int] = []
    healthy = [False]

    def function() -> Deliver:
        asked.append(1)
        if not healthy[0]:
            raise RuntimeError("broken")
        return Deliver("mail")

    one = call("route_recipient", function, on_error="skip", breaker=Breaker(clock, 3, 30.0))
    runner, story = chain(one), Story()
    for _ in range(10):
        assert await runner.invoke(one, {}, story) is None
    assert len(asked) == 3
    assert story[2]["error"].startswith("RuntimeError")
    assert [event["error"] for event in story[3:]] == ["breaker open: failed too often in a row"] * 7
    assert caplog.text.count("plugin probe failed 3 times in a row, breaker open") == 1
    healthy[0] = True
    clock.advance(30)
    assert await runner.invoke(one, {}, story) == Deliver("mail")
    assert await runner.invoke(one, {}, story) == Deliver("mail")
    assert len(asked) == 5


async def test_an_open_breaker_defers_under_tempfail() -> None:
    breaker = Breaker(FakeClock(), 1, 30.0)
    breaker.failed()
    one = call("route_recipient", lambda: Deliver("mail"), breaker=breaker)
    with pytest.raises(PluginFailure, match="breaker open"):
        await chain(one).invoke(one, {}, [])


async def test_wrong_answers_count_as_failures() -> None:
    breaker = Breaker(FakeClock(), 2, 30.0)
    one = call("route_recipient", lambda: "mail", on_error="skip", breaker=breaker)
    for _ in range(2):
        await chain(one).invoke(one, {}, [])
    assert breaker.is_open


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


# Threads and the watchdog


async def test_a_blocking_plugin_runs_beside_the_loop() -> None:
    threads: list[threading.Thread] = []

    def blocking() -> Iterator[Tag]:
        threads.append(threading.current_thread())
        yield Tag("seen")
        threads.append(threading.current_thread())

    with ThreadPoolExecutor(1) as pool:
        assert await collected(blocking, pool=pool) == [Tag("seen")]
    assert len(threads) == 2
    assert threading.main_thread() not in threads, "a generator's body runs in the pool too"


async def test_g6_a_blocking_plugin_that_hangs_leaves_the_loop_alone() -> None:
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            event = await told(lambda: done.wait(60), timeout_seconds=0.01, pool=pool)
        finally:
            done.set()
    assert event["error"] == "no answer within 0.01 s"


async def test_the_watchdog_is_told_who_runs() -> None:
    seen: list[str | None] = []

    def sync() -> None:
        seen.append(running_now())
        raise RuntimeError("broken")

    assert running_now() is None
    await told(sync, plugin="slow")
    assert seen == ["plugin slow, hook route_recipient"]
    assert running_now() is None


async def test_the_watchdog_is_not_misled_by_hooks_that_overlap() -> None:
    release = asyncio.Event()

    async def first() -> None:
        await asyncio.sleep(0)

    async def second() -> None:
        await release.wait()

    one, other = call("route_recipient", first, "first"), call("route_recipient", second, "second")
    early = asyncio.create_task(chain(one).invoke(one, {}, []))
    late = asyncio.create_task(chain(other).invoke(other, {}, []))
    await early
    assert running_now() == "plugin second, hook route_recipient"
    release.set()
    await late
    assert running_now() is None


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
