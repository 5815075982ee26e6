"""What plugins, the trace and `explain` see of Authentication-Results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.cli.trace import lines
from gateway.explain import Question, explain
from gateway.mail.address import Address
from gateway.mail.body import MemoryBody
from gateway.mail.envelope import MailParameters, Recipient
from gateway.mail.transaction import Transaction
from tests.core.gateways import HELLO, Clock, config, plugin, running, session

BEHIND = """
[[listener]]
name = "behind"
role = "filter"
address = "127.0.0.1:0"
trusted_peers = ["127.0.0.1/32"]
trusted_authserv_ids = ["MX.example.org"]
"""
MX = b"Authentication-Results: mx.example.org;\r\n\tdkim=pass header.d=sender.test;\r\n\tdmarc=fail\r\n"
RECEIVED = b"Received: from client.test by mx.example.org; Sun, 22 Nov 2026 08:00:00 +0000\r\n"
FORGED = b"Authentication-Results: mx.example.org; dmarc=pass\r\n"
OURS = b"Authentication-Results: gw.example.test; dmarc=pass\r\n"
MAIL = RECEIVED + MX + RECEIVED + FORGED + OURS + HELLO

CHECK = """
@hookimpl
def register(self, registry):
    registry.tag("dmarc", "for tests")
    registry.tag("signer", "for tests")

@hookimpl
def message_received(self, message):
    told = message.authentication
    signers = [each.properties.get("header.d", "") for each in told.of("dkim") if each.verdict == "pass"]
    return [Tag("dmarc", told.verdict("dmarc")), Tag("signer", ",".join(signers))]
"""


async def story_of(directory: Path, *, trusted: bool, raw: bytes = MAIL) -> dict[str, Any]:
    """A message comes in by the listener `behind`: what the trace tells."""
    plugin(directory, "check", CHECK)
    async with running(directory, "check", tables=BEHIND) as gateway:
        pipeline = gateway.gateway.pipeline
        by = replace(session("filter"), listener="behind", trusted=trusted)
        transaction = await pipeline.mail(by, Address.parse("out@sender.test"), MailParameters())
        assert isinstance(transaction, Transaction)
        await pipeline.rcpt(transaction, Recipient(Address.parse("anna@example.test")))
        await pipeline.process(transaction, MemoryBody(raw))
        return await gateway.story(transaction)


def events(story: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [event for event in story["events"] if event.get("event") == name]


async def test_plugins_and_trace_see_what_the_trusted_server_says(tmp_path: Path) -> None:
    story = await story_of(tmp_path, trusted=True)
    assert story["tags"] == {"check.dmarc": "fail", "check.signer": "sender.test"}
    told = {"event": "authentication", "results": ["dkim=pass header.d=sender.test", "dmarc=fail"], "ignored_fields": 1}
    assert events(story, "authentication") == [told]
    assert any(line.startswith("  authentication results ['dkim=pass header.d=sender.test'") for line in lines(story))


async def test_fields_in_our_own_name_are_removed_and_the_trace_says_so(tmp_path: Path) -> None:
    [removed] = events(await story_of(tmp_path, trusted=True), "removed")
    assert removed["fields"] == ["authentication-results"]


async def test_no_field_is_told_as_no_result(tmp_path: Path) -> None:
    story = await story_of(tmp_path, trusted=True, raw=HELLO)
    assert events(story, "authentication") == [{"event": "authentication", "results": "none"}]
    assert story["tags"]["check.dmarc"] == "none"


async def test_a_client_that_is_not_trusted_says_nothing(tmp_path: Path) -> None:
    story = await story_of(tmp_path, trusted=False)
    assert (story["tags"]["check.dmarc"], events(story, "authentication")) == ("none", [])


@pytest.mark.parametrize(("listener", "verdict"), [("behind", "fail"), ("filter", "none")])
async def test_explain_reads_them_as_the_listener_does(tmp_path: Path, listener: str, verdict: str) -> None:
    plugin(tmp_path, "check", CHECK)
    gateway = Gateway(config(tmp_path, "check", tables=BEHIND), role="cli", clock=Clock())
    try:
        told = await explain(gateway, Question(None, ["anna@example.test"], MAIL, listener, "192.0.2.7"))
    finally:
        await gateway.stop()
    assert [event["event"] for event in told.events if event.get("event") == "authentication"] == (
        ["authentication"] if verdict == "fail" else []
    )
    answers = [event["answer"] for event in told.events if event.get("plugin") == "check" and "answer" in event]
    assert any(verdict in text for answer in answers for text in answer)
