"""smtp_mail: MAIL FROM with its parameters."""

from __future__ import annotations

import pytest

from gateway.mail.address import Address
from gateway.mail.envelope import MailParameters, Session
from gateway.mail.message import Tag
from gateway.mail.reply import ACCEPTED, BAD_SENDER_DOMAIN, PLUGIN_FAILED
from tests.hooks.walk import SENDER, call, session, walk


@pytest.mark.parametrize(("sender", "size"), [(SENDER, 1234), (SENDER, None), (None, 0)])
async def test_it_sees_the_sender_its_announced_size_and_all_parameters(
    sender: Address | None, size: int | None
) -> None:
    seen: list[object] = []

    def hook(session: Session, sender: Address | None, size: int | None, params: MailParameters) -> None:
        seen.extend([session.listener, sender, size, params.smtputf8])

    await walk(call("smtp_mail", hook)).mail(sender, session("filter"), size=size, smtputf8=True)
    assert seen == ["lmtp", sender, size, True]


async def test_tags_go_with_the_transaction() -> None:
    gateway = walk(
        call("smtp_mail", lambda: Tag("seen", "first"), "a"),
        call("smtp_mail", lambda: [Tag("seen", 1), Tag("other", True)], "b", tags=("seen", "other")),
    )
    transaction, refusal = await gateway.mail()
    assert refusal is None
    assert transaction.tags == {"a.seen": "first", "b.seen": 1, "b.other": True}
    await gateway.rcpt(transaction, "anna@example.test")
    assert (await gateway.data(transaction)).message.tags == transaction.tags


async def test_the_first_rejection_refuses_the_sender() -> None:
    gateway = walk(
        call("smtp_mail", lambda: ACCEPTED),
        call("smtp_mail", lambda: [Tag("seen", "why"), BAD_SENDER_DOMAIN]),
        call("smtp_mail", lambda: Tag("seen", "never")),
    )
    transaction, refusal = await gateway.mail()
    assert refusal == BAD_SENDER_DOMAIN
    assert transaction.tags == {"probe.seen": "why"}
    assert transaction.events[-1]["answer"] == ["seen=why", str(BAD_SENDER_DOMAIN)]


async def test_g1_a_failure_is_a_deferral_or_nothing() -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    _, refusal = await walk(call("smtp_mail", broken)).mail()
    assert refusal == PLUGIN_FAILED
    _, refusal = await walk(call("smtp_mail", broken, on_error="skip")).mail()
    assert refusal is None
