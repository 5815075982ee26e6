"""Answers of plugins that have the right type and cannot be carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.edits import Edits, Splice
from gateway.mail.envelope import Client, Envelope, Recipient, Session
from gateway.mail.message import Message
from gateway.mail.reply import UNKNOWN_USER
from gateway.routing.plan import DeliverStep, DeliveryPlan, PlannedStep, RecipientPlan
from gateway.routing.route import Deliver, Descent, Discard, Hold, Redirect, Refuse, Route
from gateway.routing.soundness import flaw_of_plan, flaw_of_route

ANNA, BO = Address("anna", "example.test"), Address("bo", "example.test")
SENDER = Address("out", "sender.test")
HOPS = {"mail", "relay"}
ENVELOPE = Envelope(SENDER, (Recipient(ANNA, ("SUCCESS",), "rfc822;a"), Recipient(BO)))
HEADER = b"A: 1\r\nB: 2\r\n"
MESSAGE = Message(
    "m1",
    ENVELOPE,
    Session("s1", "mx", "smtp", "inbound", "inbound", Client("192.0.2.7"), Client("192.0.2.7")),
    MemoryBody(HEADER + b"\r\ntext\r\n"),
    0.0,
)
BOUNCE = replace(MESSAGE, envelope=replace(ENVELOPE, sender=None))
EDITS = Edits(("X-Note: 1",), (Splice(0, 6, ""), Splice(6, 12, "X: y\r\n")), ("subject",))
WAY = (Descent(ANNA, "forwarding", "7", "asked for"), Descent(BO, "core"))


def to(recipient: Recipient, *steps: Any) -> RecipientPlan:
    return RecipientPlan(recipient, tuple(PlannedStep(step, WAY) for step in steps))


def copy(**more: Any) -> DeliverStep:
    return replace(DeliverStep(ANNA, SENDER, "mail", EDITS, ("SUCCESS",), "rfc822;a"), **more)


ONE, TWO = ENVELOPE.recipients
GOOD = DeliveryPlan((to(ONE, copy()), to(TWO, copy(to=BO))))
REFUSE, HOLD, DISCARD = Refuse(UNKNOWN_USER, "r", "why"), Hold("why", "r"), Discard("why", "r")


@pytest.mark.parametrize(
    "plan",
    [
        GOOD,
        replace(GOOD, recipients=GOOD.recipients[::-1]),
        replace(GOOD, recipients=(to(ONE, REFUSE, HOLD, DISCARD), to(TWO, copy(), copy(to=BO, via="relay")))),
        replace(GOOD, recipients=(to(ONE, copy(sender=BO)), to(TWO, copy(sender=None, notify=("NEVER",))))),
    ],
)
def test_sound_plans(plan: DeliveryPlan) -> None:
    assert flaw_of_plan(plan, MESSAGE, HOPS) is None


FLAWS: dict[str, tuple[Any, str]] = {
    "a recipient less": (GOOD.recipients[:1], "not those that were accepted"),
    "a recipient twice": ((*GOOD.recipients, GOOD.recipients[0]), "not those that were accepted"),
    "somebody else": ((GOOD.recipients[0], to(Recipient(SENDER), copy())), "not those that were accepted"),
    "other wishes": ((GOOD.recipients[0], to(Recipient(BO, ("NEVER",)), copy())), "not those that were accepted"),
    "nobody": ((), "not those that were accepted"),
    "no step": ((to(ONE), to(TWO, copy())), "no step for anna@example.test"),
    "an unknown next hop": (
        (to(ONE, copy(via="nowhere")), to(TWO, copy())),
        "there is no next hop 'nowhere'; there are: mail, relay",
    ),
    "no next hop": ((to(ONE, copy(via=None)), to(TWO, copy())), "there is no next hop 'None'"),
    "next hops": ((to(ONE, copy(via=["mail"])), to(TWO, copy())), "there is no next hop \"['mail']\""),
    "text": ((to(ONE, copy(to="anna@example.test")), to(TWO, copy())), "changes when it is stored"),
    "a line end": (
        (to(ONE, copy(to=Address("a\r\nRCPT TO:<b", "x.test"))), to(TWO, copy())),
        "malformed: AddressError",
    ),
    "a domain in capitals": ((to(ONE, copy(to=Address("a", "X.test"))), to(TWO, copy())), "changes when it is stored"),
    "no edits": ((to(ONE, copy(edits=None)), to(TWO, copy())), "malformed: AttributeError"),
    "half a field": ((to(ONE, copy(edits=Edits((), (Splice(2, 6),)))), to(TWO, copy())), "does not cover whole lines"),
    "the body": ((to(ONE, copy(edits=Edits((), (Splice(12, 20),)))), to(TWO, copy())), "does not cover whole lines"),
    "no field": ((to(ONE, copy(edits=Edits(("X-Note",)))), to(TWO, copy())), "'X-Note' is no header field"),
    "an end of the header": ((to(ONE, copy(edits=Edits(("X: 1\r\n\r\n",)))), to(TWO, copy())), "is no header field"),
    "a list": ((to(ONE, copy(notify=["NEVER"])), to(TWO, copy())), "changes when it is stored"),
    "an object": ((to(ONE, Discard(object())), to(TWO, copy())), "malformed: TypeError"),  # type: ignore[arg-type]
    "a route": ((to(ONE, Deliver("mail")), to(TWO, copy())), "malformed"),
    "numbers": ((1, 2), "malformed: AttributeError"),
    "none": (None, "malformed: TypeError"),
}


@pytest.mark.parametrize(("recipients", "flaw"), FLAWS.values(), ids=FLAWS)
def test_flawed_plans(recipients: Any, flaw: str) -> None:
    found = flaw_of_plan(DeliveryPlan(recipients), MESSAGE, HOPS)
    assert found is not None
    assert flaw in found


def test_the_null_sender_stays_null() -> None:
    bounce = DeliveryPlan((to(ONE, copy(sender=None)), to(TWO, copy(sender=None))))
    assert flaw_of_plan(bounce, BOUNCE, HOPS) is None
    assert flaw_of_plan(GOOD, BOUNCE, HOPS) == "the null sender must stay the null sender"


@pytest.mark.parametrize(
    "route", [Deliver("mail"), Redirect((ANNA, BO)), Redirect((), keep=True), REFUSE, HOLD, DISCARD], ids=str
)
def test_sound_routes(route: Route) -> None:
    assert flaw_of_route(route, HOPS) is None


@pytest.mark.parametrize(
    ("route", "flaw"),
    [
        (Deliver("nowhere"), "there is no next hop 'nowhere'"),
        (Deliver(["mail"]), "there is no next hop"),  # type: ignore[arg-type]
        (Redirect(()), "a redirection to nobody"),
        (Redirect([ANNA]), "are a tuple, not list"),  # type: ignore[arg-type]
        (Redirect(("anna@example.test",)), "a target is an Address, not str"),  # type: ignore[arg-type]
        (Redirect((ANNA, Address("a", "x..test"))), "target 'a@x..test': the domain is malformed"),
        (Redirect((Address("a\r\nb", "x.test"),)), "the quoted local part is malformed"),
        (Redirect((Address("a", "X.test"),)), "is not in its normal form"),
        (Discard(object()), "rule and reason of a route are text"),  # type: ignore[arg-type]
        (Hold("why", rule=7), "rule and reason of a route are text"),  # type: ignore[arg-type]
    ],
)
def test_flawed_routes(route: Route, flaw: str) -> None:
    found = flaw_of_route(route, HOPS)
    assert found is not None
    assert flaw in found
