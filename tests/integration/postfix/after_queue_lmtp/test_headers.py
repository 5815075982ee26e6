"""What comes out is what went in: re-injection adds trace fields on top and touches nothing else."""

from __future__ import annotations

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import assert_untouched, message

pytestmark = pytest.mark.server("postfix")

MESSAGES = {
    "ordinary": message(),
    "no-date-and-message-id": b"From: cleo@client.example\r\nTo: anna@example.test\r\n\r\nhello\r\n",
    "no-from-and-to": b"Subject: nobody\r\nMessage-ID: <1@client.example>\r\n\r\nhello\r\n",
    "unqualified-addresses": b"From: cleo\r\nTo: anna, bo (the boss)\r\nCc:\r\nReply-To: <cleo>\r\n\r\nhello\r\n",
    "odd-spacing-and-case": b"SUBJECT:no space\r\nfrom:cleo@client.example\r\nX-Empty:\r\nX-Tab:\ta\r\n\r\nhello\r\n",
    "folded-header": b"Subject: one\r\n  two\r\n\tthree\r\nX-Long: " + b"x" * 3000 + b"\r\n\r\nhello\r\n",
    "header-line-of-2500": b"Subject: x\r\nDKIM-Signature: v=1; b=" + b"A" * 2500 + b"\r\n\r\nhello\r\n",
    "body-lines-of-5000": message(body=(b"y" * 5000 + b"\r\n") * 3),
    "eight-bit": message(body="Grüße, 日本\r\n".encode()),
    "latin-1": message(body=b"Gr\xfc\xdfe\r\n"),
    "leading-dots": message(body=b".\r\n..\r\n.x\r\n"),
    "trailing-spaces-and-blank-lines": message(body=b"a \t\r\n\r\n \r\n\r\n\r\n"),
    "mbox-from-line-in-body": message(body=b"From the start\r\n>From\r\n"),
    "repeated-and-resent": b"Subject: 1\r\nSubject: 2\r\nResent-From: x\r\n\r\nhello\r\n",
}


async def test_untouched_by_re_injection(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue([f"m{number}" for number in range(len(MESSAGES))])
    for number, sent in enumerate(MESSAGES.values()):
        await pair.postfix.inject(sent, "cleo@client.example", [f"m{number}@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(len(MESSAGES))
    for number, sent in enumerate(MESSAGES.values()):
        [delivered] = pair.postfix.delivered(f"m{number}")
        assert_untouched(delivered, sent)


async def test_one_received_line_a_station(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(["anna"])
    await pair.postfix.inject(message(), "cleo@client.example", ["anna@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(1, "anna")
    [delivered] = pair.postfix.delivered("anna")
    header = delivered.partition(b"\n\n")[0].replace(b"\n\t", b" ").replace(b"\n ", b" ")
    received = [line for line in header.split(b"\n") if line.startswith(b"Received:")]
    by = [line.partition(b" by ")[2].split()[0] for line in received]
    assert by == [b"mx.example.test", b"gw.example.test", b"mx.example.test"]
