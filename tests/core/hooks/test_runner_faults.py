"""Whatever a plugin does wrong, neither the process nor the sender pays for it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.hooks.policy import Breaker
from gateway.hooks.runner import PluginFailure, Story, running_in
from gateway.mail.message import Tag
from gateway.mail.reply import TOO_BIG
from gateway.routing.route import Deliver
from tests.core.dns.timing import FakeClock
from tests.core.hooks.one_call import collected, told
from tests.hooks.walk import call, chain


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
    assert "test_runner_faults.py:" in event["error"] or isinstance(fault, asyncio.CancelledError)
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
    assert error.endswith(f"(test_runner_faults.py:{line})")
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
    assert caplog.text.count("plugin probe failed 3 times in a row in route_recipient, breaker open") == 1
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

    def look() -> None:
        seen.append(running_in(sys._getframe()))

    async def waits_first() -> None:
        await asyncio.sleep(0)
        look()

    def sync() -> Iterator[Tag]:
        look()
        yield Tag("seen")
        raise RuntimeError("broken")

    look()
    await told(waits_first, plugin="first")
    await told(sync, plugin="second", hook="message_received")
    assert seen == [None, "plugin first, hook route_recipient", "plugin second, hook message_received"]


async def test_the_watchdog_is_not_misled_by_hooks_that_only_wait() -> None:
    release = asyncio.Event()

    async def waits() -> None:
        await release.wait()

    waiting = call("route_recipient", waits, "waiting")
    task = asyncio.create_task(chain(waiting).invoke(waiting, {}, []))
    await asyncio.sleep(0)
    assert running_in(sys._getframe()) is None
    release.set()
    await task
