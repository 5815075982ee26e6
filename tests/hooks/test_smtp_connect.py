"""smtp_connect: a client has connected and nothing was said yet."""

from __future__ import annotations

import pytest

from gateway.hooks.runner import Story
from gateway.mail.envelope import Client, MailParameters, Session
from gateway.mail.message import Tag
from gateway.mail.reply import ACCEPTED, PLUGIN_FAILED, TOO_MANY_CONNECTIONS, Reply
from tests.hooks.walk import call, session, walk

REFUSED = Reply(554, "5.7.1", "go away")


def test_it_sees_who_has_connected() -> None:
    came = session("filter", client=Client("192.0.2.9", forwarded=True))
    assert (came.peer.address, came.client.address, came.role) == ("192.0.2.7", "192.0.2.9", "filter")


async def test_the_first_rejection_takes_the_place_of_the_greeting() -> None:
    seen: list[str] = []

    def first(session: Session) -> None:
        seen.append(session.client.address)

    gateway = walk(
        call("smtp_connect", first),
        call("smtp_connect", lambda: Tag("seen")),
        call("smtp_connect", lambda: ACCEPTED),
        call("smtp_connect", lambda: REFUSED, "strict"),
        call("smtp_connect", lambda: TOO_MANY_CONNECTIONS),
    )
    story: Story = []
    assert await gateway.planner.connect(session(), story) == REFUSED
    assert seen == ["192.0.2.7"]
    assert [event["plugin"] for event in story] == ["probe", "probe", "probe", "strict"]


@pytest.mark.parametrize("answer", [None, ACCEPTED, Tag("seen"), [Tag("seen", 1), Tag("seen", 2)]])
async def test_anything_else_lets_the_client_in(answer: object) -> None:
    assert await walk(call("smtp_connect", lambda: answer)).planner.connect(session(), []) is None


async def test_without_plugins_everybody_comes_in() -> None:
    assert await walk().planner.connect(session(), []) is None


async def test_g1_a_failure_is_a_deferral_or_nothing() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    assert await walk(call("smtp_connect", broken)).planner.connect(session(), []) == PLUGIN_FAILED
    assert await walk(call("smtp_connect", broken, on_error="skip")).planner.connect(session(), []) is None


async def test_its_tags_stand_at_every_transaction_of_the_connection() -> None:
    gateway = walk(call("smtp_connect", lambda: Tag("seen", 7)))
    came = session()
    assert await gateway.planner.connect(came, []) is None
    for _ in range(2):
        transaction, refusal = await gateway.planner.mail(came, None, MailParameters())
        assert refusal is None
        assert dict(transaction.tags) == {"probe.seen": 7}
    other, _ = await gateway.planner.mail(session(), None, MailParameters())
    assert not other.tags
