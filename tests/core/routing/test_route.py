"""How routes read in explain and trace."""

from __future__ import annotations

import pytest

from gateway.mail.address import Address
from gateway.mail.reply import MAILBOX_DISABLED
from gateway.routing.route import Deliver, Discard, Hold, Redirect, Refuse, Route

ANNA, BO = Address("anna", "example.test"), Address("a b", "example.test")


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (Redirect((ANNA, BO)), 'redirect to anna@example.test, "a b"@example.test'),
        (Redirect((ANNA,), keep=True, rule="leave"), "keep and redirect to anna@example.test, rule leave"),
        (Redirect((), keep=True, reason="an exception"), "keep (an exception)"),
        (Deliver("postfix", "outbound"), "deliver via postfix, rule outbound"),
        (Hold("a person decides"), "hold (a person decides)"),
        (Discard("robots", "r1"), "discard, rule r1 (robots)"),
        (Refuse(MAILBOX_DISABLED, reason="away"), "refuse with 550 5.2.1 this mailbox does not take mail (away)"),
        (
            Refuse(MAILBOX_DISABLED, reason=MAILBOX_DISABLED.text),
            "refuse with 550 5.2.1 this mailbox does not take mail",
        ),
    ],
)
def test_told(route: Route, told: str) -> None:
    assert str(route) == told
