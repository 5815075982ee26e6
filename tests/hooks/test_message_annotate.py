"""message_annotate: the final recipients are known; what is added to the message and left behind."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.mail.address import Address
from gateway.mail.edits import AddHeader, ForMembers, ForRecipient
from gateway.mail.message import Message, Tag
from gateway.mail.reply import PLUGIN_FAILED
from gateway.routing.effects import Job, Record
from gateway.routing.plan import DeliveryPlan
from gateway.routing.route import Redirect
from tests.hooks.walk import ANNA, BO, call, walk

SALES = Address("sales", "small.test")


def to_members(recipient: Address) -> Redirect | None:
    return Redirect((ANNA, BO)) if recipient == SALES else None


async def test_it_sees_the_final_recipients() -> None:
    seen: list[list[str]] = []

    def hook(message: Message, plan: DeliveryPlan) -> None:
        seen.append([str(address) for address in plan.final_addresses])
        seen.append([str(recipient.address) for recipient in message.envelope.recipients])

    await walk(call("route_recipient", to_members), call("message_annotate", hook)).send(b"\r\n", SALES)
    assert seen == [["anna@example.test", "bo@example.test"], ["sales@small.test"]]


async def test_effects_of_all_plugins_add_up_in_order() -> None:
    def first() -> Iterator[object]:
        yield AddHeader("X-First", "1")
        yield Record("first_notes", {"n": 1})
        yield Tag("seen", "first")

    async def second() -> list[object]:
        return [AddHeader("X-Second", "2"), Job("tell", {"n": 2}, "key"), Tag("seen", "second")]

    gateway = walk(call("message_annotate", first, "first"), call("message_annotate", second, "second"))
    planned = await gateway.send()
    assert planned.plan is not None
    assert planned.plan.edits.prepend[:2] == ("X-First: 1", "X-Second: 2")
    assert planned.plan.records == (Record("first_notes", {"n": 1}),)
    assert planned.plan.jobs == (Job("tell", {"n": 2}, "key", "second"),)
    assert planned.message.tags == {"first.seen": "first", "second.seen": "second"}


async def test_headers_have_a_scope() -> None:
    effects = [AddHeader("X-Team", "sales", ForMembers(SALES)), AddHeader("X-Bo", "1", ForRecipient(BO))]
    gateway = walk(call("route_recipient", to_members), call("message_annotate", lambda: effects))
    planned = await gateway.send(b"\r\n", "anna@example.test", "sales@small.test")
    assert planned.plan is not None
    lines = [
        (recipient.original.address.local, step.to.local, step.edits.prepend[:-1])
        for recipient in planned.plan.recipients
        for step in recipient.deliveries
    ]
    assert lines == [
        ("anna", "anna", ()),
        ("sales", "anna", ("X-Team: sales",)),
        ("sales", "bo", ("X-Team: sales", "X-Bo: 1")),
    ]


async def test_a_forged_header_of_ours_is_removed_whatever_plugins_do() -> None:
    raw = b"X-Stellwerk-VIP: forged\r\nSubject: x\r\n\r\nhello\r\n"
    gateway = walk(call("message_annotate", lambda: [AddHeader("X-Stellwerk-VIP", "real")]))
    planned = await gateway.send(raw)
    assert planned.plan is not None
    rendered = planned.plan.edits.render(planned.message.body)
    assert rendered.startswith(b"X-Stellwerk-VIP: real\r\nX-Stellwerk-Loop: mx ")
    assert rendered.endswith(b"\r\nSubject: x\r\n\r\nhello\r\n")
    assert b"forged" not in rendered
    assert gateway.events[0]["event"] == "removed"


async def test_g9_a_header_that_is_none_falls_under_the_plugins_policy() -> None:
    def too_long() -> list[AddHeader]:
        return [AddHeader("X-Subject", "x" * 100_000)]

    planned = await walk(call("message_annotate", too_long)).send()
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    planned = await walk(call("message_annotate", too_long, on_error="skip")).send()
    assert planned.refusal is None


async def test_g1_a_failure_is_a_deferral_or_nothing() -> None:
    def broken() -> Iterator[object]:
        yield AddHeader("X-First", "1")
        raise RuntimeError("broken")

    planned = await walk(call("message_annotate", broken)).send()
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    planned = await walk(call("message_annotate", broken, on_error="skip")).send()
    assert planned.plan is not None
    assert "X-First: 1" not in planned.plan.edits.prepend, "all of what it returned or nothing"
