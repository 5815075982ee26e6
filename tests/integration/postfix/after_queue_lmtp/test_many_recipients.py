"""A message for 120 recipients: in one transaction as the recipe has it, in three when Postfix splits it at 50."""

from __future__ import annotations

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.messages import assert_untouched, message

pytestmark = pytest.mark.server("postfix")

LIMIT_LINE = "stellwerk_destination_recipient_limit = 1000\n"


def as_printed(main_cf: str) -> str:
    assert LIMIT_LINE in main_cf
    return main_cf


def without_limit_line(main_cf: str) -> str:
    return as_printed(main_cf).replace(LIMIT_LINE, "")


@pytest.mark.parametrize(
    ("change_main_cf", "transactions"),
    [pytest.param(as_printed, 1, id="as-printed"), pytest.param(without_limit_line, 3, id="split-at-50")],
)
async def test_every_recipient_gets_one_copy(
    behind_queue: StartBehindQueue, change_main_cf: type[str], transactions: int
) -> None:
    mailboxes = [f"r{number:03}" for number in range(120)]
    pair = await behind_queue(mailboxes, change_main_cf=change_main_cf)
    sent = message()
    await pair.postfix.inject(sent, "cleo@client.example", [f"{name}@example.test" for name in mailboxes])
    await pair.postfix.wait_until_delivered(120)
    await pair.postfix.wait_until_queue_is_empty()
    for name in mailboxes:
        [delivered] = pair.postfix.delivered(name)
        assert_untouched(delivered, sent)
    replies = pair.replies()
    assert len(replies) == 120
    assert len({reply.transaction for reply in replies}) == transactions
