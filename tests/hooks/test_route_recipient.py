"""route_recipient: where does this recipient's copy go?"""

from __future__ import annotations

from gateway.mail.address import Address
from gateway.mail.message import Message
from gateway.mail.reply import MAILBOX_DISABLED, PLUGIN_FAILED
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse
from tests.hooks.walk import ANNA, BO, OUTBOUND, call, copies, steps, walk

CLEO = Address("cleo", "small.test")


async def test_where_nobody_answers_the_core_delivers() -> None:
    asked: list[tuple[str, str]] = []

    def hook(message: Message, recipient: Address) -> None:
        asked.append((message.headers.get("Subject"), str(recipient)))

    gateway = walk(call("route_recipient", hook), tables=OUTBOUND)
    planned = await gateway.send(b"Subject: x\r\n\r\n", "anna@example.test", "bo@example.test")
    assert asked == [("x", "anna@example.test"), ("x", "bo@example.test")]
    assert copies(planned.plan) == [("anna@example.test", "mail"), ("bo@example.test", "mail")]


async def test_each_answer() -> None:
    answers = {
        "a": Deliver("postfix"),
        "b": Hold("a person decides"),
        "c": Discard("nobody wants it"),
        "d": Refuse(MAILBOX_DISABLED, reason="holiday"),
        "e": Redirect((ANNA, BO)),
        "f": Redirect((BO,), keep=True),
    }
    gateway = walk(call("route_recipient", lambda recipient: answers.get(recipient.local)))
    planned = await gateway.send(b"\r\n", *(f"{local}@small.test" for local in answers))
    assert planned.plan is not None
    kinds = [[type(each.step).__name__ for each in recipient.steps] for recipient in planned.plan.recipients]
    assert kinds == [["DeliverStep"], ["Hold"], ["Discard"], ["Refuse"], ["DeliverStep"] * 2, ["DeliverStep"] * 2]
    assert copies(planned.plan) == [
        ("a@small.test", "postfix"),
        ("anna@example.test", "mail"),
        ("bo@example.test", "mail"),
        ("f@small.test", "mail"),
        ("bo@example.test", "mail"),
    ]


async def test_a_forwarding_a_responsible_and_a_team_all_act_on_one_recipient() -> None:
    def forwarding(recipient: Address) -> Redirect | None:
        return Redirect((BO,), keep=True, rule="forward") if recipient == ANNA else None

    def responsible(recipient: Address) -> Redirect | None:
        return Redirect((CLEO,), keep=True, rule="known customer") if recipient == ANNA else None

    def team(recipient: Address) -> Redirect | None:
        return Redirect((ANNA,), rule="team") if recipient.local == "sales" else None

    gateway = walk(
        call("route_recipient", forwarding, "forwarding"),
        call("route_recipient", responsible, "crm"),
        call("route_recipient", team, "shared"),
    )
    planned = await gateway.send(b"\r\n", "sales@small.test")
    assert sorted(copies(planned.plan)) == [
        ("anna@example.test", "mail"),
        ("bo@example.test", "mail"),
        ("cleo@small.test", "mail"),
    ]
    assert planned.plan is not None
    ways = {
        str(each.descent[-1].address): [f"{station.plugin} {station.rule}".strip() for station in each.descent]
        for each in planned.plan.recipients[0].steps
    }
    assert ways == {
        "anna@example.test": ["shared team", "forwarding forward", "crm known customer", "core hosted"],
        "bo@example.test": ["shared team", "forwarding forward", "core hosted"],
        "cleo@small.test": ["shared team", "forwarding forward", "crm known customer", "core hosted"],
    }


async def test_g10_more_recipients_than_allowed() -> None:
    targets = tuple(Address(f"x{number}", "small.test") for number in range(4))
    hook = call("route_recipient", lambda recipient: Redirect(targets) if recipient == ANNA else None)
    gateway = walk(hook, tables="[routing]\nmax_recipients = 3\n")
    planned = await gateway.send()
    assert planned.plan is None
    assert planned.refusal is not None
    assert planned.refusal.code == 452
    assert gateway.events[-1] == {"event": "too many recipients", "limit": 3}
    assert len(steps((await walk(hook).send()).plan)) == 4


async def test_g1_a_failure_defers_the_message_or_passes_the_question_on() -> None:
    def broken(recipient: Address) -> None:
        if recipient == BO:
            raise RuntimeError("broken")

    planned = await walk(call("route_recipient", broken)).send(b"\r\n", ANNA, BO)
    assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED), "no half of a message goes out"
    planned = await walk(call("route_recipient", broken, on_error="skip")).send(b"\r\n", ANNA, BO)
    assert len(copies(planned.plan)) == 2
