"""`stellwerk trace`: one story, the newest ones, and one line when there is nothing to read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli.trace import lines
from gateway.delivery.transport import Outcome
from gateway.mail.address import Address
from gateway.mail.envelope import Client, MailParameters, Recipient
from gateway.mail.transaction import Transaction
from tests.core.cli.in_process import config_file, run
from tests.core.gateways import HELLO, plugin, running, session

TELLING = """
@hookimpl
def register(self, registry):
    registry.tag("seen", "for tests")

@hookimpl
def smtp_rcpt_check(self, recipient):
    if recipient.address.local == "broken":
        raise RuntimeError("broken")

@hookimpl
def message_received(self, message):
    return Tag("seen", "yes")
"""


async def make_stories(directory: Path) -> list[str]:
    """Three of them: delivered, deferred at its deadline, abandoned. Their ids."""
    plugin(directory, "telling", TELLING)
    async with running(directory, "telling") as gateway:
        one = await gateway.send("anna@example.test", "bo@example.test")
        gateway.clock.now += 60
        gateway.mail.overdue = Outcome.UNKNOWN
        two = await gateway.send("anna@example.test", raw=HELLO + b"two\r\n")
        gateway.clock.now += 60
        client = Client("198.51.100.4", name="mail.sender.test", helo="helo.test", ident="4ABC", forwarded=True)
        three = await gateway.gateway.pipeline.mail(session(client=client), None, MailParameters())
        assert isinstance(three, Transaction)
        await gateway.gateway.pipeline.rcpt(three, Recipient(Address("broken", "example.test")))
        gateway.gateway.pipeline.abandon(three)
    return [one.transaction.id, two.transaction.id, three.id]


@pytest.fixture
def stories(tmp_path: Path) -> list[str]:
    return asyncio.run(make_stories(tmp_path))


def test_one_story(
    tmp_path: Path, stories: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(tmp_path, "telling"))
    ran = run(capsys, monkeypatch, "trace", "--config", config, f"[{stories[0].upper()}]")
    assert (ran.status, ran.errors) == (0, "")
    told = ran.output.splitlines()
    assert told[0] == f"{stories[0]}  2027-01-15 08:00:00Z  mx (smtp, inbound)"
    assert "  client   192.0.2.7 helo=client.test" in told
    assert f"  from     <out@sender.test>  {len(HELLO)} octets" in told
    assert "  tag      telling.seen = yes" in told
    assert "  step     anna@example.test -> anna@example.test via mail: done  250 2.0.0 queued  fake mail" in told
    assert "  journal  bo@example.test -> bo@example.test: done, closed" in told
    assert told[-1].startswith(f"  reply    250 2.0.0 accepted [{stories[0]}]  after ")


def test_an_unknown_outcome_and_an_abandoned_transaction(
    tmp_path: Path, stories: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(tmp_path, "telling"))
    unknown = run(capsys, monkeypatch, "trace", "--config", config, stories[1]).output
    assert ": unknown, open for a retry (whether the client saw the reply is not known)" in unknown
    assert ", 1 attempt(s) of unknown outcome" in unknown
    abandoned = run(capsys, monkeypatch, "trace", "--config", config, stories[2]).output
    assert "  client   198.51.100.4 mail.sender.test helo=helo.test, 4ABC at 192.0.2.7" in abandoned
    assert "  rcpt     recipient broken@example.test, reply 451 4.3.0 local processing failed" in abandoned
    assert "failed (tempfail): RuntimeError: broken (telling.py:" in abandoned
    assert "  reply    no data came; refused 1: <broken@example.test> 451 4.3.0" in abandoned


def test_the_newest_first(
    tmp_path: Path, stories: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(tmp_path, "telling"))
    listed = run(capsys, monkeypatch, "trace", "--config", config, "--last", "2").output.splitlines()
    assert [line.split("\t")[1] for line in listed] == [stories[2], stories[1]]
    assert listed[1].split("\t")[2:5] == ["mx", "out@sender.test", "anna@example.test"]
    as_json = json.loads(run(capsys, monkeypatch, "trace", "--config", config, "--json", "--last", "9").output)
    assert [story["id"] for story in as_json] == stories[::-1]
    one = json.loads(run(capsys, monkeypatch, "trace", "--config", config, "--json", stories[0]).output)
    assert (one["id"], len(one["journal"])) == (stories[0], 2)


def test_no_such_story(
    tmp_path: Path, stories: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = str(config_file(tmp_path, "telling"))
    ran = run(capsys, monkeypatch, "trace", "--config", config, "nothing")
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors.startswith("no story under nothing. Stories are kept for 14 days")
    assert ran.errors.count("\n") == 1


@pytest.mark.parametrize("asked", ["a4f3a094-2", "[a4f3a094-2]"])
def test_the_id_of_a_connection_says_where_to_look(
    tmp_path: Path, stories: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    ran = run(capsys, monkeypatch, "trace", "--config", str(config_file(tmp_path, "telling")), asked)
    assert (ran.status, ran.output) == (1, "")
    assert "is the id of a connection: what is refused outside a transaction has no story. The log has it" in ran.errors
    assert ran.errors.endswith("journalctl -u stellwerk | grep a4f3a094-2\n")


@pytest.mark.parametrize("arguments", [["abc"], ["--last", "3"]])
def test_a_store_that_is_not_there_is_one_line_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    config = str(config_file(tmp_path))
    ran = run(capsys, monkeypatch, "trace", "--config", config, *arguments)
    assert (ran.status, ran.output, ran.errors.count("\n")) == (1, "", 1)
    assert "is not available: unable to open database file; run `stellwerk db upgrade`" in ran.errors
    assert [path.name for path in tmp_path.iterdir()] == ["stellwerk.toml"]
    (tmp_path / "test.db").touch()
    ran = run(capsys, monkeypatch, "trace", "--config", config, *arguments)
    assert (ran.status, ran.output) == (1, "")
    assert ran.errors == "the store has no traces to read: no such table: trace; run `stellwerk db upgrade`\n"


@pytest.mark.parametrize("arguments", [[], ["abc", "--last", "3"], ["--last", "0"]])
def test_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    ran = run(capsys, monkeypatch, "trace", "--config", str(config_file(tmp_path)), *arguments)
    assert ran.status == 2


def test_the_way_of_a_copy_that_was_sent_on_is_told() -> None:
    def station(address: str, plugin: str, rule: str, reason: str = "") -> dict[str, str]:
        return {"address": address, "plugin": plugin, "rule": rule, "reason": reason}

    here = station("a@x.test", "core", "hosted")
    left = station("b@x.test", "core", "successor", "its owner has left")
    ruled = station("c@x.test", "forwarding", "team")
    descents: list[list[dict[str, str]]] = [[here], [left, here], [ruled, left, here], []]
    story = {
        "id": "t1", "at": 0.0, "session": {"listener": "mx", "protocol": "smtp", "direction": "inbound"},
        "sender": "", "size": 3, "recipients": [], "tags": {}, "milliseconds": 1.0, "reply": None,
        "events": [], "steps": [], "plan": {"recipients": [{"steps": [{"descent": each} for each in descents]}]},
    }  # fmt: skip
    assert [line for line in lines(story) if line.startswith("  way ")] == [
        "  way      b@x.test: core 'successor' (its owner has left) -> a@x.test",
        "  way      c@x.test: forwarding 'team' -> b@x.test: core 'successor' (its owner has left) -> a@x.test",
    ]
    assert lines({**story, "plan": None})


def test_a_story_of_many_events_and_odd_ones_is_told() -> None:
    story = {
        "id": "t1", "at": 0.0, "session": {"listener": "mx", "protocol": "smtp", "direction": "inbound"},
        "sender": "", "size": 3, "recipients": [], "tags": {}, "milliseconds": 1.0, "reply": None,
        "events": [
            {"event": "cut", "events_left_out": 7},
            {"hook": "route_recipient", "plugin": "p", "ms": 0.1},
            {"hook": "message_received", "plugin": "p", "ms": 0.1, "answer": ["550 no"], "shadow": True},
        ],
        "steps": [
            {"recipient": "a@x.test", "to": "", "via": "", "state": "done", "reply": "250 2.0.0", "where": "",
             "ran": False},
        ],
    }  # fmt: skip
    told = lines(story)
    assert "  cut      events_left_out 7" in told
    assert "  plugin   p.route_recipient  0.1 ms  -" in told
    assert "  plugin   p.message_received  0.1 ms  550 no (shadow: not applied)" in told
    assert "  step     a@x.test -> -: done  250 2.0.0  (from the journal)" in told
