"""Rules of the plugin forwarding behind a real Postfix: fan-out, a kept copy, a refusal, one recipient at a time."""

from __future__ import annotations

import pytest

from tests.integration.postfix.after_queue_lmtp.behind_queue import StartBehindQueue
from tests.integration.waiting import until

pytestmark = pytest.mark.server("postfix", "swaks")

RULES = """
[[plugin.forwarding.rule]]
id = "team"
when = { kind = "recipient", equals = "team@example.test" }
then = { kind = "redirect", targets = ["anna@example.test", "bo@example.test"] }

[[plugin.forwarding.rule]]
id = "round"
when = { kind = "recipient", equals = "bo@example.test" }
then = { kind = "redirect", targets = ["team@example.test", "anna@example.test"], keep = true }

[[plugin.forwarding.rule]]
id = "left"
when = { kind = "all", conditions = [
    { kind = "recipient", equals = "cleo@example.test" },
    { kind = "client", network = "127.0.0.0/8" },
    { kind = "subject", equals = "FÜR CLEO" },
] }
then = { kind = "refuse", enhanced = "5.2.1", text = "Cleo has left" }
"""


async def test_r1_rules_behind_the_queue(behind_queue: StartBehindQueue) -> None:
    pair = await behind_queue(
        ["anna", "bo", "cleo", "team"],
        change_config=lambda text: text.replace("plugins = []", 'plugins = ["forwarding"]') + RULES,
    )
    await pair.postfix.swaks(
        *("--from", "pat@client.example"),
        *("--to", "team@example.test,anna@example.test,cleo@example.test"),
        *("--header", "Subject: =?utf-8?B?RsO8ciBDbGVv?="),
        *("--body", "to whom it concerns"),
    )
    await pair.postfix.wait_until_delivered(3)
    await until(lambda: len(pair.replies()) == 3, "the gateway answered for every recipient")
    assert {box: len(pair.postfix.delivered(box)) for box in ("anna", "bo", "cleo", "team")} == {
        "anna": 1,
        "bo": 1,
        "cleo": 0,
        "team": 1,
    }
    (refused,) = pair.replies_to("cleo@example.test")
    assert (refused.status, refused.dsn) == ("bounced", "5.2.1")
    assert "550 5.2.1 Cleo has left" in refused.reply
    story = await pair.gateway.trace(refused.transaction)
    assert {step["to"] for step in story["steps"] if step["recipient"] == "team@example.test"} == {
        "anna@example.test",
        "bo@example.test",
        "team@example.test",
    }
    assert any("rule team" in answer for event in story["events"] for answer in event.get("answer", ()))
