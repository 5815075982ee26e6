"""The recipe edge with a real Postfix behind the gateway."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.postfix_recipes.edge import Edge
from tests.integration.ports import reserved_ports
from tests.integration.postfix.every_recipe import SENDER, EveryRecipe
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import LATE, RecipePair, recipe_pair, transaction_id

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

# Not the address that Postfix listens at: "the public one" of this host.
GATEWAY_HOST = "127.0.0.2"
WORLD = RemoteClient(name="", address="127.0.0.9", helo="helo.client.example")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecipePair]:
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix:
            wanted = Edge(gateway=f"{GATEWAY_HOST}:{ports.take()}", reinjection=f"127.0.0.1:{ports.take()}")
            async with recipe_pair(tmp_path_factory.mktemp("gateway"), ports, postfix, wanted) as running:
                yield running


class TestEdge(EveryRecipe):
    """The world speaks to the gateway, which passes on what Postfix says."""

    postfix_is_in_front = False

    @pytest.fixture
    def client(self) -> RemoteClient:
        return WORLD

    async def send(self, pair: RecipePair, data: bytes, recipients: list[str], client: RemoteClient) -> None:
        await _send_from_elsewhere(pair, data, recipients, client)

    async def refused(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> str:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await self.send(pair, data, [recipient], client)
        told = f"{refusal.value.smtp_code} {_text(refusal.value.smtp_error)}"
        assert transaction_id(told) in pair.gateway.output
        assert await pair.postfix.queue() == []
        return told

    async def survives_an_outage(self, pair: RecipePair, data: bytes, recipient: str, client: RemoteClient) -> None:
        with pytest.raises(ConnectionRefusedError):
            await self.send(pair, data, [recipient], client)
        await pair.gateway.start()
        await self.send(pair, data, [recipient], client)

    async def test_postfix_is_away_for_a_while(self, pair: RecipePair, client: RemoteClient) -> None:
        before = len(pair.postfix.delivered("bo"))
        await pair.postfix.stop()
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await self.send(pair, message(10), ["bo@example.test"], client)
        assert (refusal.value.smtp_code, _text(refusal.value.smtp_error)[:5]) == (451, "4.4.1")
        await pair.postfix.start()
        await self.send(pair, message(10), ["bo@example.test"], client)
        await pair.postfix.wait_until_queue_is_empty()
        assert len(pair.postfix.delivered("bo")) == before + 1

    async def test_postfix_says_who_exists(self, pair: RecipePair, client: RemoteClient) -> None:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            await self.send(pair, message(11), ["ghost@example.test"], client)
        assert (refusal.value.smtp_code, _text(refusal.value.smtp_error)[:5]) == (550, "5.1.1")

    async def test_who_is_refused_among_others_stands_in_a_notification(
        self, pair: RecipePair, client: RemoteClient
    ) -> None:
        expected = pair.postfix.count_delivered() + 2
        await self.send(pair, message(12), ["cleo@example.test", "ghost@example.test"], client)
        await pair.postfix.wait_until_delivered(expected)
        [notice] = pair.postfix.delivered("sender")
        assert b"Final-Recipient: rfc822;ghost@example.test\n" in notice.replace(b"; ", b";")
        assert b"\nFinal-Recipient: rfc822;cleo@" not in notice.replace(b"; ", b";")

    async def test_nothing_is_relayed_for_the_world(self, pair: RecipePair, client: RemoteClient) -> None:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            await self.send(pair, message(13), ["somebody@elsewhere.test"], client)
        assert refusal.value.recipients["somebody@elsewhere.test"][0] == 550

    async def test_programs_of_this_host_still_reach_postfix(self, pair: RecipePair) -> None:
        before = len(pair.postfix.delivered("cleo"))
        await pair.postfix.inject(message(14), SENDER, ["cleo@example.test"], RemoteClient())
        await pair.postfix.wait_until_queue_is_empty()
        assert len(pair.postfix.delivered("cleo")) == before + 1


async def test_off(pair: RecipePair) -> None:
    """Pasted with mail in the queue that had passed: it is delivered, and mail flows without the gateway."""
    before = pair.postfix.count_delivered()
    await _send_from_elsewhere(pair, message(5), [LATE], WORLD)
    await pair.postfix.wait_until_deferred(1)
    pair.postfix.write_transports({})
    await pair.gateway.stop()
    await pair.turn_off()
    await pair.postfix.wait_until_delivered(before + 1)
    # the restart that the recipe asks for
    await pair.postfix.stop()
    await pair.postfix.start()
    await pair.postfix.inject(message(6), SENDER, ["anna@example.test"], RemoteClient())
    await pair.postfix.wait_until_delivered(before + 2)
    await pair.postfix.wait_until_queue_is_empty()


async def _send_from_elsewhere(pair: RecipePair, data: bytes, recipients: list[str], client: RemoteClient) -> None:
    port = int(pair.printed["stellwerk.toml"].partition(f'address = "{GATEWAY_HOST}:')[2].partition('"')[0])

    def send() -> None:
        source = (client.address, 0)
        with smtplib.SMTP(GATEWAY_HOST, port, client.helo, timeout=120, source_address=source) as connection:
            if refused := connection.sendmail(SENDER, recipients, data):
                raise smtplib.SMTPRecipientsRefused(refused)

    await asyncio.to_thread(send)


def _text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply
