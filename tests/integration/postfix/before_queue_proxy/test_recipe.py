"""The recipe before-queue-proxy in a real Postfix."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.postfix_recipes.before_queue_proxy import BeforeQueueProxy
from tests.integration.ports import reserved_ports
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.postfix.mixed_replies import OneReplyForAll
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import LATE, RecipePair, recipe_pair

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["smtp/inet", "smtpd/pass"])
async def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecipePair]:
    """Every printed variant: smtpd takes the connections itself, and postscreen does."""
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix:
            postfix.set(error_notice_recipient="postmaster@example.test")
            if request.param == "smtpd/pass":
                postfix.put_postscreen_in_front()
            options = ("--service", postfix.front)
            wanted = BeforeQueueProxy(gateway=f"127.0.0.1:{ports.take()}", reinjection=f"127.0.0.1:{ports.take()}")
            async with recipe_pair(tmp_path_factory.mktemp("gateway"), ports, postfix, wanted, options) as running:
                yield running


class TestBeforeQueueProxy(OneReplyForAll):
    """The client hears what the gateway says, and nothing is bounced."""

    async def attempt(self, pair: RecipePair, data: bytes, recipients: list[str]) -> str:
        try:
            await pair.postfix.inject(data, SENDER, recipients)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {_text(error.smtp_error)}"
        accepted = pair.postfix.log_lines(r"proxy-accept: END-OF-MESSAGE: ")
        return accepted[-1].partition("END-OF-MESSAGE: ")[2]

    async def again(self, pair: RecipePair, data: bytes, recipients: list[str]) -> None:
        await pair.postfix.inject(data, SENDER, recipients)

    async def refused(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> str:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await self.send(pair, data, [recipient], client)
        [line] = pair.postfix.log_lines(r"proxy-reject: END-OF-MESSAGE: 552")
        assert _text(refusal.value.smtp_error) in line
        assert await pair.postfix.queue() == []
        return line

    async def survives_an_outage(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> None:
        pair.postfix.expected_trouble = ["smtpd.*: warning: connect to proxy filter .*: Connection refused"]
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            await self.send(pair, data, [recipient], client)
        assert refusal.value.recipients[recipient][0] == 451
        # Postfix tells the postmaster, once for each connection
        await pair.postfix.wait_until_delivered(1, "postmaster")
        await pair.gateway.start()
        await self.send(pair, data, [recipient], client)

    async def test_parameters_pass_as_the_client_wrote_them(self, pair: RecipePair) -> None:
        def send() -> None:
            with smtplib.SMTP("127.0.0.1", pair.postfix.smtp_port, "client.example", timeout=120) as connection:
                connection.sendmail(
                    "sender@example.test",
                    ["parameters@elsewhere.test"],
                    message(20),
                    ["BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B1"],
                    ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;first+2Bwritten@example.test"],
                )

        await asyncio.to_thread(send)
        received = pair.elsewhere.messages[-1]
        assert received.to == ("parameters@elsewhere.test",)
        assert {"BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B1"} <= set(received.parameters)
        assert set(received.recipients[0].parameters) == {
            "NOTIFY=FAILURE,DELAY",
            "ORCPT=rfc822;first+2Bwritten@example.test",
        }


async def test_postscreen_has_tested_the_client_where_it_is_in_front(pair: RecipePair) -> None:
    await pair.postfix.inject(message(21), SENDER, ["cleo@example.test"])
    passed = pair.postfix.log_lines(r"postfix/postscreen\[\d+\]: PASS (?:NEW|OLD) \[127\.0\.0\.1\]")
    assert bool(passed) == (pair.postfix.front == "smtpd/pass")
    await pair.postfix.wait_until_queue_is_empty()


async def test_off(pair: RecipePair) -> None:
    """Pasted with mail in the queue that had passed: it is delivered, and mail flows without the gateway."""
    await pair.postfix.wait_until_queue_is_empty()
    before = pair.postfix.count_delivered()
    await pair.postfix.inject(message(5), SENDER, [LATE])
    await pair.postfix.wait_until_deferred(1)
    pair.postfix.write_transports({})
    await pair.gateway.stop()
    await pair.turn_off()
    await pair.postfix.wait_until_delivered(before + 1)
    await pair.postfix.inject(message(6), SENDER, ["anna@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(before + 2)
    await pair.postfix.wait_until_queue_is_empty()


def _text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply
