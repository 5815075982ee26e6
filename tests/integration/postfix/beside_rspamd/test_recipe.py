"""The recipe beside-rspamd in a real Postfix, with a real Rspamd that asks a DNS of the test."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.postfix_recipes.beside_rspamd import BesideRspamd
from gateway.postfix_recipes.recipe import parts
from gateway.testing.dns_server import DnsServer
from tests.integration.ports import reserved_ports
from tests.integration.postfix.after_queue import AfterQueueTests
from tests.integration.postfix.beside import beside_after_queue, is_taken_out_beside, last_story
from tests.integration.postfix.beside_rspamd.rspamd import LOCAL_TO_RSPAMD, private_rspamd
from tests.integration.postfix.instance import RemoteClient
from tests.integration.postfix.messages import message
from tests.integration.postfix.private import private_postfix
from tests.integration.postfix.recipe_pair import RecipePair

pytestmark = [pytest.mark.server("postfix", "rspamd"), pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MX = "mx.example.test"
SENDER = "cleo@client.example"
FORGED = f"Authentication-Results: {MX}; dmarc=pass header.from=client.example\r\n".encode()
THIRD_PARTY = b"Authentication-Results: elsewhere.test; dkim=pass header.d=client.example\r\n"
OURS = b"Authentication-Results: gw.example.test; dmarc=pass\r\n"
RECEIVED = b"Received: from a.test by b.test; Sun, 22 Nov 2026 07:59:00 +0000\r\n"
RECORDS = [
    ("client.example", "TXT", '"v=spf1 ip4:192.0.2.7 -all"', 300),
    ("_dmarc.client.example", "TXT", '"v=DMARC1; p=none"', 300),
]


def _merge(queue: str, rspamd: str) -> str:
    """The listener after-queue as this recipe has it, in place of the one that is there."""
    assert "trusted_authserv_ids" in rspamd
    merged, count = re.subn(r"\[\[listener\]\]\nname = \"after-queue\".*?\n(?=\n)", lambda _: rspamd, queue, flags=re.S)
    assert count == 1
    return merged


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecipePair]:
    with reserved_ports() as ports:
        async with private_postfix(ports) as postfix, DnsServer(RECORDS) as dns:
            port = ports.take()
            gateway = f"127.0.0.1:{ports.take()}"
            options = ("--service", postfix.front, "--rspamd", f"inet:127.0.0.1:{port}")
            wanted = BesideRspamd(gateway, authserv_id=MX, service=postfix.front, rspamd=options[3])
            conf = parts(wanted.render())["milter_headers.conf"]
            async with (
                private_rspamd(port, dns.address, conf),
                beside_after_queue(
                    tmp_path_factory.mktemp("gateway"), ports, postfix, wanted, options, merge=_merge
                ) as running,
            ):
                assert running.printed["milter_headers.conf"] == conf
                yield running


class TestBesideRspamd(AfterQueueTests):
    """From elsewhere, past Rspamd."""

    async def results(self, pair: RecipePair, header: bytes, client: RemoteClient) -> dict[str, Any]:
        """What the trace tells of Authentication-Results after a message with `header` came from `client`."""
        await pair.postfix.inject(header + message(), SENDER, ["bo@example.test"], client)
        story = await last_story(pair, "bo@example.test")
        events = {event["event"]: event for event in story["events"] if "event" in event}
        return {"removed": events.get("removed", {}).get("fields", []), **events["authentication"]}

    @pytest.mark.parametrize(("address", "verdict"), [("192.0.2.7", "pass"), ("192.0.2.66", "fail")])
    async def test_forged_fields_are_removed_and_rspamds_own_is_in_the_trace(
        self, pair: RecipePair, address: str, verdict: str
    ) -> None:
        told = await self.results(pair, FORGED + THIRD_PARTY, RemoteClient(address=address))
        results = {result.split()[0] for result in told["results"]}
        assert results == {"dkim=none", f"spf={verdict}", f"dmarc={verdict}"}
        assert "ignored_fields" not in told
        await pair.postfix.wait_until_queue_is_empty()
        from_cleo = [mail for mail in pair.postfix.delivered("bo") if b"Return-Path: <cleo@client.example>" in mail]
        [mail] = [mail for mail in from_cleo if f"[{address}]".encode() in mail]
        assert mail.count(b"Authentication-Results:") == 1
        assert (FORGED.strip() in mail, THIRD_PARTY.strip() in mail) == (False, False)

    @pytest.mark.parametrize(
        ("header", "results", "ignored"),
        [
            (FORGED, ["dmarc=pass header.from=client.example"], 0),
            (RECEIVED + FORGED, "none", 1),
            (THIRD_PARTY, "none", 0),
        ],
        ids=["on top", "below a Received field", "in another name"],
    )
    async def test_what_rspamd_skips_it_does_not_clean(
        self, pair: RecipePair, header: bytes, results: list[str] | str, ignored: int
    ) -> None:
        """Mail from its local_addrs. So the position of a field counts as well, and it does not tell everything."""
        told = await self.results(pair, header, RemoteClient(address=LOCAL_TO_RSPAMD))
        assert (told["results"], told.get("ignored_fields", 0)) == (results, ignored)

    async def test_fields_in_the_gateways_own_name_are_removed_by_the_gateway(self, pair: RecipePair) -> None:
        told = await self.results(pair, OURS, RemoteClient(address=LOCAL_TO_RSPAMD))
        assert told["removed"] == ["authentication-results"]


async def test_off(pair: RecipePair) -> None:
    await is_taken_out_beside(pair)
