"""The recipe outbound-apart in a real Postfix."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.postfix_recipes.outbound_apart import OutboundApart
from tests.integration.ports import reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests
from tests.integration.postfix.beside import beside_after_queue, is_taken_out_beside, last_story, listener_of
from tests.integration.postfix.every_recipe import SENDER
from tests.integration.postfix.instance import RemoteClient, checked
from tests.integration.postfix.messages import assert_untouched, message
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair

pytestmark = [pytest.mark.server("postfix"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

# Postfix completes headers of clients of its own networks, as every client of these tests is.
_UNTOUCHED = "    -o local_header_rewrite_clients=\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecipePair]:
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix:
            own = f"127.0.0.1:{ports.take()}/inet"
            postfix.append(master_cf=f"{own.partition('/')[0]} inet n - n - - smtpd\n{_UNTOUCHED}")
            wanted = OutboundApart(f"127.0.0.1:{ports.take()}", f"{own},pickup/unix")
            directory = tmp_path_factory.mktemp("gateway")
            options = ("--senders", wanted.senders)
            async with beside_after_queue(directory, ports, postfix, wanted, options) as running:
                yield running


class TestOutboundApart(AfterQueueTests):
    """Sent by the service of one's own people."""

    @pytest.fixture
    def client(self) -> RemoteClient:
        return RemoteClient(name="localhost", address="127.0.0.1", helo="desk.example.test")

    async def send(self, pair: RecipePair, data: bytes, recipients: list[str], client: RemoteClient) -> None:
        port = int(pair.options[1].partition("/")[0].rpartition(":")[2])

        def submit() -> None:
            with smtplib.SMTP("127.0.0.1", port, client.helo, timeout=120) as connection:
                assert connection.sendmail(SENDER, recipients, data) == {}

        await asyncio.to_thread(submit)

    async def test_it_is_outbound(self, pair: RecipePair, client: RemoteClient) -> None:
        await self.send(pair, message(6), ["bo@example.test"], client)
        assert listener_of(await last_story(pair, "bo@example.test")) == ("outbound", "outbound")

    async def test_mail_of_this_hosts_own_programs_is_outbound(self, pair: RecipePair) -> None:
        base = pair.postfix.base
        (base / "letter").write_bytes(message(7).replace(b"\r\n", b"\n"))
        send = f"sendmail -C {base}/etc -f sender@example.test -i dora@example.test <{base}/letter"
        await checked("sh", "-euc", send)
        await pair.postfix.wait_until_queue_is_empty()
        [delivered] = [mail for mail in pair.postfix.delivered("dora") if b"<7@client" in mail]
        assert_untouched(delivered, message(7))
        assert listener_of(await last_story(pair, "dora@example.test")) == ("outbound", "outbound")

    async def test_what_comes_in_on_port_25_is_inbound_whatever_sender_it_names(self, pair: RecipePair) -> None:
        await pair.postfix.inject(message(8), SENDER, ["cleo@example.test"], RemoteClient())
        assert listener_of(await last_story(pair, "cleo@example.test")) == ("after-queue", "inbound")


async def test_off(pair: RecipePair) -> None:
    await is_taken_out_beside(pair)
