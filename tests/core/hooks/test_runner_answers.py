"""What hooks may return, and what becomes of everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.hooks.registry import Accept
from gateway.hooks.runner import MAX_EFFECTS
from gateway.mail.edits import AddHeader
from gateway.mail.message import Tag
from gateway.mail.reply import TOO_BIG, Reply
from gateway.routing.effects import Done, Retry
from gateway.routing.plan import DeliveryPlan
from gateway.routing.route import Deliver
from tests.core.hooks.one_call import collected, told
from tests.hooks.walk import returns


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
