"""Large messages through the queue, the gateway and back."""

from __future__ import annotations

import contextlib
import smtplib

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.messages import assert_untouched, message

pytestmark = pytest.mark.server("postfix")

_LINE = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n"


def body(size: int) -> bytes:
    return _LINE * (size // len(_LINE))


async def test_what_the_front_accepts_comes_back_although_it_grew(behind_queue: StartBehindQueue) -> None:
    """The largest message that the front takes gets header lines on its way, and must still be taken back."""
    limit = 200_000
    pair = await behind_queue(["anna"], max_message_bytes=limit)
    # what this test looks for is where the front begins to refuse
    pair.postfix.expected_trouble = ["cleanup.*: queue file size limit exceeded", "mail_stream_cleanup: close error"]
    for size in range(limit, 0, -len(_LINE)):
        sent = message(body=body(size))
        with contextlib.suppress(smtplib.SMTPResponseException):
            await pair.postfix.inject(sent, "cleo@client.example", ["anna@example.test"])
            break
    await pair.postfix.wait_until_delivered(1, "anna")
    [delivered] = pair.postfix.delivered("anna")
    assert_untouched(delivered, sent)
