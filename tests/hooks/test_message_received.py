"""message_received: the message is complete."""

from __future__ import annotations

import pytest

from gateway.mail.message import Message, Tag
from gateway.mail.reply import ACCEPTED, PLUGIN_FAILED, STORE_DOWN, TOO_BIG, Reply
from tests.hooks.walk import HELLO, call, copies, walk


async def test_it_sees_the_whole_message_and_the_tags_before_it() -> None:
    seen: list[object] = []

    async def hook(message: Message) -> None:
        structure = await message.parsed()
        assert structure is not None
        seen.extend(
            [
                message.headers.get("Subject"),
                len(message.body),
                structure["Subject"],
                [recipient.address.local for recipient in message.envelope.recipients],
                message.session.listener,
                dict(message.tags),
            ]
        )

    gateway = walk(call("smtp_mail", lambda: Tag("seen", "at mail")), call("message_received", hook))
    await gateway.send(HELLO, "anna@example.test", "bo@example.test")
    assert seen == ["hello", len(HELLO), "hello", ["anna", "bo"], "mx", {"probe.seen": "at mail"}]


@pytest.mark.parametrize("refusal", [TOO_BIG, STORE_DOWN])
async def test_a_reply_refuses_the_message_for_everybody(refusal: Reply) -> None:
    routed: list[int] = []
    gateway = walk(
        call("message_received", lambda: [Tag("seen"), refusal]),
        call("message_received", lambda: Tag("seen", "never")),
        call("route_recipient", lambda: routed.append(1)),
    )
    planned = await gateway.send()
    assert (planned.plan, planned.refusal) == (None, refusal)
    assert planned.message.tags == {"probe.seen": True}
    assert routed == []


async def test_tags_are_seen_by_the_hooks_that_follow() -> None:
    seen: list[dict[str, object]] = []

    def route(message: Message) -> None:
        seen.append(dict(message.tags))

    gateway = walk(call("message_received", lambda: Tag("seen", 7)), call("route_recipient", route))
    await gateway.send()
    assert seen == [{"probe.seen": 7}]


async def test_tags_are_seen_by_the_next_plugin_of_the_same_hook() -> None:
    seen: list[dict[str, object]] = []
    gateway = walk(
        call("message_received", lambda message: seen.append(dict(message.tags)), "first"),
        call("message_received", lambda message: [Tag("seen", len(message.tags))], "second"),
        call("message_received", lambda message: [Tag("seen", len(message.tags))], "shadow", mode="shadow"),
        call("message_received", lambda message: seen.append(dict(message.tags)), "last"),
    )
    await gateway.send()
    assert seen == [{}, {"second.seen": 0}]


async def test_an_acceptance_is_no_answer() -> None:
    planned = await walk(call("message_received", lambda: ACCEPTED)).send()
    assert planned.refusal is None
    assert copies(planned.plan) == [("anna@example.test", "mail")]


async def test_g1_a_failure_is_a_deferral_or_nothing() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    planned = await walk(call("message_received", broken)).send()
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    planned = await walk(call("message_received", broken, on_error="skip")).send()
    assert planned.refusal is None
