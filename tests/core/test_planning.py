"""The deciding half of the walk, without plugins or with ones that answer what cannot be done."""

from __future__ import annotations

import json
from dataclasses import replace
from email.message import Message as ParsedMessage
from typing import Any

import pytest

from gateway.hooks.policy import OnError
from gateway.mail.address import Address
from gateway.mail.body import MAX_HEADER_BLOCK, Body, MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.envelope import MailParameters, Recipient, Role
from gateway.mail.reply import PLUGIN_FAILED, RELAY_DENIED
from gateway.mail.transaction import Transaction
from gateway.planning import Planned
from gateway.routing.effects import Job
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse
from tests.core.mail.strategies import bodies
from tests.hooks.walk import ANNA, BO, HELLO, OUTBOUND, SENDER, Walk, call, copies, returns, session, steps, walk

HOSTED = "250 2.1.5"
UNKNOWN = "550 5.1.1"
DENIED = "550 5.7.1"


@pytest.mark.parametrize(
    ("recipient", "inbound", "filtered", "relaying"),
    [
        pytest.param("anna@example.test", HOSTED, HOSTED, HOSTED, id="a mailbox"),
        pytest.param("ANNA@Example.Test.", HOSTED, HOSTED, HOSTED, id="r16 in any spelling"),
        pytest.param("anna+lists@example.test", HOSTED, HOSTED, HOSTED, id="with a subaddress"),
        pytest.param("anybody@small.test", HOSTED, HOSTED, HOSTED, id="a domain that takes everybody"),
        pytest.param("nobody@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="r11 no such mailbox"),
        pytest.param("nobody+anna@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="not the subaddress"),
        pytest.param("v@elsewhere.test", DENIED, DENIED, HOSTED, id="p52 somebody else's"),
        pytest.param("anna@sub.example.test", DENIED, DENIED, HOSTED, id="p52 below a hosted domain"),
        pytest.param("postmaster@example.test", HOSTED, HOSTED, HOSTED, id="every hosted domain has a postmaster"),
        pytest.param("PostMaster@gw.example.org", HOSTED, HOSTED, HOSTED, id="the gateway itself has one"),
        pytest.param("abuse@gw.example.org", DENIED, DENIED, HOSTED, id="and nobody else"),
        pytest.param("v%elsewhere.test@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 percent hack"),
        pytest.param("v%elsewhere.test@small.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 percent hack, everybody"),
        pytest.param("anna%elsewhere.test@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 behind a mailbox"),
        pytest.param("anna+x%elsewhere.test@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 in a subaddress"),
        pytest.param('"anna+x@elsewhere.test"@example.test', UNKNOWN, UNKNOWN, UNKNOWN, id="p53 quoted subaddress"),
        pytest.param("elsewhere.test!v@small.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 bang path"),
        pytest.param("anna+elsewhere.test!v@example.test", UNKNOWN, UNKNOWN, UNKNOWN, id="p53 bang path in one"),
        pytest.param('"v@elsewhere.test"@small.test', UNKNOWN, UNKNOWN, UNKNOWN, id="p53 quoted"),
        pytest.param('"v%elsewhere.test"@small.test', UNKNOWN, UNKNOWN, UNKNOWN, id="p53 quoted percent hack"),
    ],
)
async def test_who_is_taken(recipient: str, inbound: str, filtered: str, relaying: str) -> None:
    settings: list[tuple[Role, str, str]] = [
        ("inbound", "", inbound),
        ("inbound", OUTBOUND, inbound),  # a next hop for the outside is none for strangers
        ("filter", "", filtered),
        ("filter", OUTBOUND, relaying),
        ("proxy", "", filtered),
        ("proxy", OUTBOUND, relaying),
    ]
    for role, tables, expected in settings:
        gateway = walk(tables=tables)
        transaction, _ = await gateway.mail(SENDER, session(role))
        reply = await gateway.rcpt(transaction, recipient)
        assert str(reply).startswith(f"{expected} "), (role, tables)
        assert transaction.recipient_count == reply.is_accept
        if not reply.is_accept:
            assert transaction.events == [
                {"event": "rcpt", "recipient": str(Address.parse(recipient)), "reply": str(reply), "hooks": []}
            ]


@pytest.mark.parametrize(
    ("tables", "recipient", "via"),
    [
        ("", "anna@example.test", "mail"),
        (OUTBOUND, "anna@example.test", "mail"),
        (OUTBOUND, "v@elsewhere.test", "postfix"),
        (OUTBOUND, "postmaster@gw.example.org", "mail"),
        ('[routing]\nhosted = "postfix"\n', "anna@example.test", "postfix"),
    ],
)
async def test_where_mail_goes_when_nobody_says(tables: str, recipient: str, via: str) -> None:
    planned = await walk(tables=tables).send(HELLO, recipient, came_by=session("filter"))
    assert copies(planned.plan) == [(recipient, via)]


async def test_mail_redirected_outside_without_a_next_hop_is_refused_for_that_recipient() -> None:
    outside = Address("v", "elsewhere.test")
    gateway = walk(call("route_recipient", lambda recipient: Redirect((outside,)) if recipient == BO else None))
    planned = await gateway.send(HELLO, ANNA, BO)
    to_anna, to_outside = steps(planned.plan)
    assert isinstance(to_anna, DeliverStep)
    assert to_outside == Refuse(RELAY_DENIED, reason="no next hop for mail to the outside")


@pytest.mark.parametrize("step", [Hold("looks odd", "rule 1"), Discard("nobody reads it"), Refuse(RELAY_DENIED)])
async def test_hold_discard_and_refuse_are_steps_for_their_recipient(step: Hold | Discard | Refuse) -> None:
    gateway = walk(call("route_recipient", lambda recipient: step if recipient == ANNA else None))
    planned = await gateway.send(HELLO, ANNA, BO)
    assert planned.plan is not None
    first, second = planned.plan.recipients
    assert [each.step for each in first.steps] == [step]
    assert copies(planned.plan) == [("bo@example.test", "mail")]
    assert [station.plugin for station in first.steps[0].descent] == ["probe"]
    assert [station.plugin for station in second.steps[0].descent] == ["core"]
    assert DeliveryPlan.from_json(json.loads(json.dumps(planned.plan.to_json()))) == planned.plan


async def test_the_null_sender_stays_the_null_sender() -> None:
    gateway = walk()
    transaction, _ = await gateway.mail(None)
    await gateway.rcpt(transaction, ANNA)
    (step,) = steps((await gateway.data(transaction)).plan)
    assert isinstance(step, DeliverStep)
    assert step.sender is None


# Loops


@pytest.mark.parametrize(("fields", "refused"), [(50, False), (51, True), (101, True), (20_000, True)])
async def test_m5_too_many_received_fields(fields: int, refused: bool) -> None:
    raw = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * min(fields, 101) + HELLO
    raw = b"Received: x\r\n" * (fields - min(fields, 101)) + raw
    planned = await walk().send(raw)
    if refused:
        assert str(planned.refusal) == f"554 5.4.6 mail loop: {fields} Received fields, at most 50"
        assert planned.plan is None
    else:
        assert planned.refusal is None


async def test_m5_the_limit_is_a_setting() -> None:
    planned = await walk(tables="[limits]\nmax_received = 10\n").send(b"Received: x\r\n" * 11 + HELLO)
    assert planned.refusal is not None


@pytest.mark.parametrize("header", [b"Received: x\r\n", b"X-Stellwerk-VIP: yes\r\n", b"X: y\r\n"])
async def test_m2_a_header_too_long_to_be_looked_at_does_not_pass(header: bytes) -> None:
    raw = header + b"X-Padding: " + b"x" * 900 + b"\r\n"
    raw *= MAX_HEADER_BLOCK // len(raw) + 1
    for body in bodies(raw + b"\r\nhello\r\n"):
        planned = await walk().send(body)
        assert str(planned.refusal) == f"552 5.3.4 the header is too big, at most {MAX_HEADER_BLOCK} octets"
        assert planned.plan is None


def outgoing(planned: Planned) -> bytes:
    assert planned.plan is not None
    return planned.plan.edits.render(planned.message.body)


async def test_r4_mail_that_comes_back_twice_is_a_loop() -> None:
    """An address outside may forward a message back to us once."""
    gateway = walk()
    once = outgoing(await gateway.send(HELLO))
    assert once.endswith(HELLO)
    twice = outgoing(await gateway.send(once))
    planned = await gateway.send(twice)
    assert str(planned.refusal) == "554 5.4.6 mail loop: this gateway sent the message to itself"


async def test_r4_a_forged_stamp_suppresses_nothing() -> None:
    forged = b"X-Stellwerk-Loop: mx 0123456789abcdef0123456789abcdef\r\n" * 5
    gateway = walk()
    planned = await gateway.send(forged + HELLO)
    assert planned.refusal is None
    assert outgoing(planned).count(b"X-Stellwerk-Loop: ") == 1
    assert gateway.events[0] == {
        "event": "removed",
        "fields": ["x-stellwerk-loop"] * 5,
        "why": "only this gateway writes them",
    }


# The structure


async def parsed(raw: bytes | Body) -> ParsedMessage | None:
    planned = await walk().send(raw)
    assert planned.refusal is None
    return await planned.message.parsed()


async def test_the_structure_is_there_for_hooks_that_need_it() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    for body in bodies(raw):
        structure = await parsed(body)
        assert structure is not None
        assert [part.get_payload() for part in structure.get_payload()] == ["one", "two"]  # type: ignore[union-attr]


@pytest.mark.parametrize("depth", [3000])
async def test_m6_what_breaks_the_parser_has_no_structure_and_goes_on_untouched(depth: int) -> None:
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    planned = await walk().send(raw)
    assert await planned.message.parsed() is None
    assert outgoing(planned).endswith(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="m11 empty"),
        pytest.param(b"\r\n", id="m11 no header, no body"),
        pytest.param(b"hello\r\n", id="m11 no header at all"),
        pytest.param(b" folded\r\n\r\nhello\r\n", id="folded at the start"),
        pytest.param(b"A: b", id="m11 no line end"),
        pytest.param(b"From: " + b"(" * 3000 + b"\r\nMessage-ID: <<<<\r\n\r\n", id="m14 hostile fields"),
        pytest.param(b"Subject: \xff\xfe\x80\r\n\r\n\xff\r\n", id="no text"),
        pytest.param(b"From: a@x\r\nFrom: b@x\r\nSubject: 1\r\nSubject: 2\r\n\r\n", id="m4 twice"),
    ],
)
async def test_any_octets_pass_with_lines_in_front(raw: bytes) -> None:
    rendered = outgoing(await walk().send(raw))
    head, _, rest = rendered.partition(b"\r\n")
    assert head.startswith(b"X-Stellwerk-Loop: mx ")
    assert rest == raw


# Answers of the right type that cannot be carried out


async def outcome(gateway: Walk, *to: Address, sender: Address | None = SENDER) -> Planned:
    transaction, _ = await gateway.mail(sender)
    for address in to or (ANNA,):
        await gateway.rcpt(transaction, address)
    return await gateway.data(transaction)


FLAWED_ROUTES: list[tuple[Any, str]] = [
    (Deliver("nowhere"), "there is no next hop 'nowhere'; there are: mail, postfix"),
    (Deliver(None), "there is no next hop 'None'"),  # type: ignore[arg-type]
    (Redirect(()), "a redirection to nobody; use Discard or Refuse"),
    (Redirect([BO]), "the targets of a redirection are a tuple, not list"),  # type: ignore[arg-type]
    (Redirect(("bo@example.test",)), "a target is an Address, not str"),  # type: ignore[arg-type]
    (Redirect((Address("bo", "Example.TEST"),)), "is not in its normal form; use Address.parse"),
    (Redirect((Address("bo\r\nRCPT TO:<x@y>", "example.test"),)), "target "),
    (Redirect((BO, Address("x" * 65, "example.test"))), "longer than 64 octets"),
    (Redirect((BO,), rule=7), "rule and reason of a route are text"),  # type: ignore[arg-type]
    (Hold(reason=None), "rule and reason of a route are text"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize(("route", "flaw"), FLAWED_ROUTES, ids=range(len(FLAWED_ROUTES)))
async def test_g10_a_route_that_leads_nowhere_is_the_plugins_failure(
    route: Any, flaw: str, on_error: OnError, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = walk(call("route_recipient", returns(route), on_error=on_error))
    planned = await outcome(gateway)
    assert flaw in gateway.events[-1]["error"]
    assert gateway.events[-1]["on_error"] == on_error
    assert "plugin probe failed in route_recipient" in caplog.text
    if on_error == "tempfail":
        assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    else:
        assert copies(planned.plan) == [("anna@example.test", "mail")]


def changed(plan: DeliveryPlan, **more: Any) -> DeliveryPlan:
    """The plan with its first recipient's first step changed."""
    first, *others = plan.recipients
    step = first.steps[0].step
    assert isinstance(step, DeliverStep)
    planned = PlannedStep(replace(step, **more), first.steps[0].descent)
    return replace(plan, recipients=(RecipientPlan(first.original, (planned,)), *others))


FLAWED_PLANS: list[tuple[Any, str]] = [
    (lambda plan: DeliveryPlan(()), "recipients are not those that were accepted"),
    (lambda plan: replace(plan, recipients=plan.recipients[:1]), "recipients are not those that were accepted"),
    (lambda plan: replace(plan, recipients=plan.recipients * 2), "recipients are not those that were accepted"),
    (
        lambda plan: replace(plan, recipients=(*plan.recipients, RecipientPlan(Recipient(SENDER), ()))),
        "recipients are not those that were accepted",
    ),
    (
        lambda plan: replace(plan, recipients=tuple(RecipientPlan(each.original, ()) for each in plan.recipients)),
        "no step for anna@example.test; use Discard or Refuse",
    ),
    (lambda plan: replace(plan, recipients=None), "the plan is malformed"),
    (lambda plan: changed(plan, via="nowhere"), "there is no next hop 'nowhere'"),
    (lambda plan: changed(plan, to="bo@example.test"), "changes when it is stored"),
    (lambda plan: changed(plan, to=None), "the plan is malformed"),
    (lambda plan: changed(plan, edits=Edits(("X: 1\r\n\r\nbody",))), "is no header field"),
    (lambda plan: changed(plan, edits=Edits(("X: 1\nBcc: x@y",))), "is no header field"),
    (lambda plan: changed(plan, edits=Edits(("no field",))), "is no header field"),
    (lambda plan: changed(plan, edits=Edits(splices=(Splice(0, 3),))), "the splice 0..3 does not cover whole lines"),
    (lambda plan: changed(plan, edits=Edits(splices=(Splice(5, 23),))), "the splice 5..23 does not cover whole lines"),
    (lambda plan: changed(plan, edits=Edits(splices=(Splice(0, 10**9),))), "does not cover whole lines of the header"),
    (lambda plan: changed(plan, edits=Edits(splices=(Splice(0, 23, "X: 1"),))), "is no header field with its line end"),
    (lambda plan: changed(plan, sender=SENDER), "the null sender must stay the null sender"),
]


@pytest.mark.parametrize("on_error", ["tempfail", "skip"])
@pytest.mark.parametrize(("review", "flaw"), FLAWED_PLANS, ids=range(len(FLAWED_PLANS)))
async def test_g10_a_plan_that_cannot_be_carried_out_is_the_plugins_failure(
    review: Any, flaw: str, on_error: OnError
) -> None:
    def hook(plan: DeliveryPlan) -> DeliveryPlan:
        found: DeliveryPlan = review(plan)
        return found

    gateway = walk(call("plan_review", hook, on_error=on_error))
    planned = await outcome(gateway, ANNA, BO, sender=None)
    assert flaw in gateway.events[-1]["error"]
    if on_error == "tempfail":
        assert (planned.plan, planned.refusal) == (None, PLUGIN_FAILED)
    else:
        assert copies(planned.plan) == [("anna@example.test", "mail"), ("bo@example.test", "mail")]


async def test_a_plan_in_another_order_with_other_steps_is_fine() -> None:
    def hook(plan: DeliveryPlan) -> DeliveryPlan:
        edits = Edits(("X: 1\r\n\tfolded", "Y:"), (Splice(0, 23, "From: b@x\r\nTo: c@x\r\n"),))
        moved = changed(plan, via="postfix", sender=BO, edits=edits)
        return replace(moved, recipients=moved.recipients[::-1], jobs=(Job("tell", {}, "1"), Job("x", {}, "2", "q")))

    planned = await outcome(walk(call("plan_review", hook, "reviewer")), ANNA, BO)
    assert copies(planned.plan) == [("bo@example.test", "mail"), ("anna@example.test", "postfix")]
    assert planned.plan is not None
    assert [job.owner for job in planned.plan.jobs] == ["reviewer", "q"]


async def test_r12_mail_to_many_may_double() -> None:
    """They were accepted: one forwarded copy more must not defer the message for ever."""
    extra = Address("extra", "small.test")
    hook = call("route_recipient", lambda recipient: Redirect((extra,), keep=True) if recipient != extra else None)
    gateway = walk(hook, tables="[routing]\nmax_recipients = 2\n")
    planned = await gateway.send(HELLO, *(f"x{number}@small.test" for number in range(5)))
    assert len(steps(planned.plan)) == 10


def test_a_message_is_made_once_with_its_transactions_tags() -> None:
    gateway = walk()
    transaction = Transaction("t", session(), SENDER, MailParameters(size=5))
    transaction.accept(Recipient(ANNA))
    transaction.tag({"p.x": 1})
    body = MemoryBody(HELLO)
    made = gateway.planner.message(transaction, body, 12.5)
    assert (made.id, made.body, made.received_at, dict(made.tags)) == ("t", body, 12.5, {"p.x": 1})
    assert made.envelope == transaction.envelope()
