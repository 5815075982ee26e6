"""What every recipe must do, as tests that each recipe's own test class inherits. See `EveryRecipe`."""

from __future__ import annotations

import base64
from abc import abstractmethod
from typing import ClassVar

import pytest

from gateway.config import read
from gateway.doctor.postfix import postfix_findings
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import assert_untouched, message
from tests.integration.postfix.recipe_pair import RecipePair, transaction_id

SENDER = "sender@example.test"
MEBIBYTE = 1024 * 1024
MOST_ATTACHMENT_BYTES = 26_214_400

BARE = b"From: cleo\r\nTo: anna, bo (the boss)\r\nSubject:no space\r\n\r\nno Date, no Message-ID, bare addresses\r\n"
EIGHT_BIT = message(2, body="Grüße, 日本\r\n.\r\n..x\r\n".encode() + b"y" * 5000 + b"\r\n")


def with_attachment(decoded_bytes: int) -> bytes:
    """A message with one attachment of that size in base64, lines of 76 characters."""
    whole, rest = divmod(decoded_bytes, 57)
    line = base64.b64encode(bytes(57)) + b"\r\n"
    content = line * whole + base64.b64encode(bytes(rest)) + b"\r\n"
    return (
        b"From: sender@example.test\r\nTo: dora@example.test\r\nSubject: large\r\n"
        b"Message-ID: <large@client.example>\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=file.bin\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + content + b"--b--\r\n"
    )


class EveryRecipe:
    """Inherit it in a class whose fixture `pair` is a running `RecipePair`, shared by the tests of the class.

    A module's last test, outside the class, turns the recipe off.
    """

    postfix_is_in_front: ClassVar[bool] = True

    @pytest.fixture
    def client(self) -> RemoteClient:
        """Somebody elsewhere; every message of these tests is sent from there."""
        return RemoteClient()

    async def send(self, pair: RecipePair, data: bytes, recipients: list[str], client: RemoteClient) -> None:
        """Bring a message in from outside. smtplib's exceptions tell what was refused."""
        await pair.postfix.inject(data, SENDER, recipients, client)

    @abstractmethod
    async def refused(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> str:
        """Bring in a message that the gateway will refuse, and give back what the mail log or the client is told."""

    @abstractmethod
    async def survives_an_outage(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> None:
        """Send while the gateway is down, start it again, and see that the message is delivered."""

    async def test_doctor_finds_the_sizes_right(self, pair: RecipePair, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIL_CONFIG", str(pair.postfix.etc))
        found = [finding async for finding in postfix_findings(read(pair.gateway.config.read_text()))]
        assert {status for status, _ in found} == ({"ok"} if self.postfix_is_in_front else set())

    async def test_messages_arrive_once_untouched_and_the_trace_knows_the_client(
        self, pair: RecipePair, client: RemoteClient
    ) -> None:
        sent = {"anna": message(1), "bo": EIGHT_BIT, "cleo": BARE}
        for name, data in sent.items():
            await self.send(pair, data, [f"{name}@example.test"], client)
        await pair.postfix.wait_until_delivered(len(sent))
        for name, data in sent.items():
            [delivered] = pair.postfix.delivered(name)
            assert_untouched(delivered, data)
            [story] = await pair.stories(f"{name}@example.test")
            assert (story["session"]["client"], story["session"]["helo"]) == (client.address, client.helo)
        assert pair.postfix.log_lines(rf"postfix/smtpd.*, orig_client=.*\[{client.address}\]")

    async def test_alias_expands_once(self, pair: RecipePair, client: RemoteClient) -> None:
        names = ("team", "anna", "bo")
        before = {name: len(pair.postfix.delivered(name)) for name in names}
        expected = pair.postfix.count_delivered() + len(names)
        await self.send(pair, message(3), ["team@example.test"], client)
        await pair.postfix.wait_until_delivered(expected)
        await pair.postfix.wait_until_queue_is_empty()
        assert {name: len(pair.postfix.delivered(name)) for name in names} == {n: before[n] + 1 for n in names}

    async def test_thirty_megabytes_with_an_attachment_of_22_mebibytes(
        self, pair: RecipePair, client: RemoteClient
    ) -> None:
        sent = with_attachment(22 * MEBIBYTE)
        assert len(sent) > 30_000_000
        await self.send(pair, sent, ["dora@example.test"], client)
        await pair.postfix.wait_until_delivered(1, "dora")
        [delivered] = pair.postfix.delivered("dora")
        assert_untouched(delivered, sent)

    async def test_one_byte_too_many_in_attachments(self, pair: RecipePair, client: RemoteClient) -> None:
        told = await self.refused(pair, with_attachment(MOST_ATTACHMENT_BYTES + 1), "emil@example.test", client)
        says = "552 5.3.4 the attachments are too big: 26214401 octets decoded, at most 26214400 are taken here"
        assert says in told
        story = await pair.gateway.trace(transaction_id(told))
        assert f"{story['reply']['code']} {story['reply']['enhanced']}" == "552 5.3.4"
        assert [e["plugin"] for e in story["events"] if "552 5.3.4" in str(e.get("answer"))] == ["size_limit"]
        assert pair.postfix.delivered("emil") == []

    async def test_gateway_is_away_for_a_while(self, pair: RecipePair, client: RemoteClient) -> None:
        await pair.gateway.stop()
        await self.survives_an_outage(pair, message(4), "emil@example.test", client)
        await pair.postfix.wait_until_delivered(1, "emil")
        assert_untouched(pair.postfix.delivered("emil")[0], message(4))
        pair.postfix.assert_quiet_log()
