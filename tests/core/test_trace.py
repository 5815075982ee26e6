"""The story of a transaction: what it tells, what it must not tell, and that telling never gets in the way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.delivery.transport import Outcome
from gateway.errors import StoreUnavailable
from gateway.logs import JsonFormatter, OneLineFormatter
from gateway.mail.envelope import Client, MailParameters
from gateway.mail.reply import ACCEPTED, STORE_DOWN, Reply
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from gateway.trace import (
    MAX_EVENTS,
    PURGED_AT_ONCE,
    Search,
    Story,
    Tracer,
    find,
    latest,
    outcome_of,
    purge,
    session_json,
)
from gateway.trace_line import MAX_TOLD, together
from tests.core.gateways import HELLO, NOW, plugin, running, session
from tests.databases import on_both_databases, query

ANNA = "anna@example.test"
TELLING = """
@hookimpl
def register(self, registry):
    registry.tag("size", "for tests")
    registry.job("note", "for tests")

@hookimpl
def message_received(self, message):
    return Tag("size", len(message.body))

@hookimpl
def route_recipient(self, recipient):
    if recipient.local == "anna":
        return Redirect((Address("bo", "example.test"),), rule="rule 7", reason="on leave")

@hookimpl
def message_annotate(self, message):
    return [AddHeader("X-Note", "1"), Job("note", {"n": 1}, message.id)]
"""


@on_both_databases
async def test_a_story_tells_all_that_an_admin_asks(tmp_path: Path) -> None:
    plugin(tmp_path, "telling", TELLING)
    async with running(tmp_path, "telling") as gateway:
        gateway.mail.answer("bo@example.test", Outcome.DEFERRED)
        sent = await gateway.send(ANNA, parameters=MailParameters(100, "8BITMIME", False, "HDRS", "e1"))
        story = await gateway.story(sent.transaction)
    assert story["sender"] == "out@sender.test"
    assert story["recipients"] == [ANNA]
    assert story["parameters"] == {"size": 100, "body": "8BITMIME", "smtputf8": False, "ret": "HDRS", "envid": "e1"}
    assert story["session"]["listener"] == "mx"
    assert story["tags"] == {"telling.size": story["size"]}
    assert len(story["digest"]) == 64
    hooks = [(event["plugin"], event["hook"]) for event in story["events"]]
    assert hooks[:2] == [("telling", "message_received"), ("telling", "route_recipient")]
    (recipient,) = story["plan"]["recipients"]
    (station, _) = recipient["steps"][0]["descent"]
    assert station == {"address": ANNA, "plugin": "telling", "rule": "rule 7", "reason": "on leave"}
    (step,) = story["steps"]
    assert (step["to"], step["via"], step["state"], step["ran"], step["where"]) == (
        "bo@example.test", "mail", "deferred", True, "fake mail",
    )  # fmt: skip
    assert step["entry"] == sent.transaction.id
    assert story["reply"]["text"] == f"mailbox busy [{sent.transaction.id}]"
    assert story["at"] == NOW


async def test_neither_the_log_nor_the_trace_quotes_the_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin(tmp_path, "telling", TELLING)
    with caplog.at_level(logging.DEBUG):
        async with running(tmp_path, "telling") as gateway:
            sent = await gateway.send(ANNA, raw=b"Subject: canary-subject\r\n\r\ncanary-body\r\n")
            story = await gateway.story(sent.transaction)
    assert "canary" not in json.dumps(story)
    assert "canary" not in shown(caplog.records)


def shown(records: Iterable[logging.LogRecord]) -> str:
    """The lines with their fields, in both formats."""
    return "\n".join(form.format(record) for record in records for form in (OneLineFormatter(), JsonFormatter()))


QUOTING = """
@hookimpl
def register(self, registry):
    for name in ("subject", "empty", "words", "urgent"):
        registry.tag(name, "for tests")

@hookimpl
def message_received(self, message):
    subject = message.headers.get("subject")
    return [Tag("subject", subject), Tag("empty", ""), Tag("words", 7), Tag("urgent", False)]
"""


async def test_a_tag_that_quotes_the_message_is_text_in_the_trace_and_a_length_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin(tmp_path, "quoting", QUOTING)
    with caplog.at_level(logging.DEBUG):
        async with running(tmp_path, "quoting") as gateway:
            sent = await gateway.send(ANNA, raw=b"Subject: canary subject\r\n\r\ncanary-body\r\n")
            story = await gateway.story(sent.transaction)
    assert story["tags"]["quoting.subject"] == "canary subject"
    (record,) = [record for record in caplog.records if record.name == "stellwerk.mail"]
    assert record.__dict__["fields"]["tags"] == {
        "quoting.subject": "text of 14 characters",
        "quoting.empty": "text of 0 characters",
        "quoting.words": 7,
        "quoting.urgent": False,
    }
    assert sent.transaction.id in shown(caplog.records)
    assert "canary" not in shown(caplog.records)


async def test_one_log_line_a_transaction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stellwerk.mail"):
        async with running(tmp_path) as gateway:
            sent = await gateway.send(ANNA, sender="")
    (record,) = [record for record in caplog.records if record.name == "stellwerk.mail"]
    assert record.getMessage() == "message"
    told = dict(record.__dict__["fields"])
    assert set(told.pop("seconds")) == {"receive", "plan", "commit", "deliver", "total"}
    assert told == {
        "id": sent.transaction.id,
        "session": "s1",
        "verdict": "accepted",
        "listener": "mx",
        "client": "192.0.2.7",
        "helo": "client.test",
        "sender": "",
        "recipients": [{"reply": "250 2.0.0 queued", "to": ["anna@example.test"]}],
        "size": len(HELLO),
        "reply": "250 2.0.0 queued",
        "deliveries": [{"via": "mail", "state": "done", "reply": "250 2.0.0 queued", "to": ["anna@example.test"]}],
    }


async def test_the_line_groups_recipients_by_what_they_heard_and_has_a_bound() -> None:
    pairs = [(f"reply {number % 2}", f"a{number}@example.test") for number in range(200)]
    even, odd = together(pairs)
    assert even[0] == "reply 0"
    assert even[1][:2] == ["a0@example.test", "a2@example.test"]
    assert len(odd[1]) == MAX_TOLD
    assert odd[2] == {"left_out": 50}
    assert len(together([(f"reply {number}", "x") for number in range(200)])) == MAX_TOLD


OUTCOMES = [
    ("one reply", [ACCEPTED], [], "250 2.0.0 accepted"),
    ("the same for all", [ACCEPTED, ACCEPTED], [], "250 2.0.0 accepted"),
    ("lmtp, mixed", [ACCEPTED, STORE_DOWN, ACCEPTED], [], "2x 250, 1x 451; 451 4.3.0 the store is not available"),
    ("nobody was accepted", None, ["550 5.1.1 no"], "no data came; refused 1: <x0@example.test> 550 5.1.1 no"),
    (
        "some were refused",
        [ACCEPTED],
        ["550 5.1.1 no", "451 4.3.0 later"],
        "250 2.0.0 accepted; refused 2: <x0@example.test> 550 5.1.1 no",
    ),
]


@on_both_databases
@pytest.mark.parametrize(
    ("replies", "refusals", "expected"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES]
)
async def test_the_outcome_is_one_line(
    tmp_path: Path, replies: list[Reply] | None, refusals: list[str], expected: str
) -> None:
    async with running(tmp_path) as gateway:
        transaction = await gateway.begin(ANNA)
        transaction.events += [
            {"event": "rcpt", "recipient": f"x{number}@example.test", "reply": reply}
            for number, reply in enumerate(refusals)
        ]
        story = Story(transaction, NOW, reply=replies[0] if replies else None, replies=replies or ())
        assert outcome_of(story).startswith(expected)


SEARCHES = [
    (Search(), 3),
    (Search(to="ANNA"), 2),
    (Search(to="nobody@example.test"), 1),
    (Search(to="%"), 0),
    (Search(sender="boss@"), 1),
    (Search(queue_id="4F2A1"), 1),
    (Search(queue_id="4F2A"), 0),
    (Search(since=NOW + 1), 1),
    (Search(to="anna", since=NOW + 1), 1),
]


@on_both_databases
@pytest.mark.parametrize(("search", "found"), SEARCHES, ids=[str(row[0])[7:-1] for row in SEARCHES])
async def test_search(tmp_path: Path, search: Search, found: int) -> None:
    async with running(tmp_path) as gateway:
        tracer = Tracer(gateway.gateway.store)
        first = await gateway.begin(ANNA, sender="boss@out.test")
        tracer.keep(Story(first, NOW, reply=ACCEPTED))
        refused = await gateway.begin()
        refused.events.append({"event": "rcpt", "recipient": "nobody@example.test", "reply": "550 5.1.1 no"})
        tracer.keep(Story(refused, NOW))
        later = await gateway.begin(ANNA)
        later.session = replace(later.session, client=Client("192.0.2.9", ident="4F2A1", forwarded=True))
        tracer.keep(Story(later, NOW + 2, reply=ACCEPTED))
        tracer.flush()
        await gateway.gateway.store.write([])
        assert len(await latest(gateway.gateway.store, 10, search)) == found


@on_both_databases
async def test_what_a_plugin_says_may_be_anything(tmp_path: Path) -> None:
    """A story that cannot be written as JSON would turn a delivered message into a 451."""
    async with running(tmp_path) as gateway:
        transaction = await gateway.begin(ANNA)
        transaction.events.append({"event": "odd", "what": object(), "nested": [{"set": {1}}, str]})
        tracer = Tracer(gateway.gateway.store)
        tracer.keep(Story(transaction, NOW, reply=ACCEPTED))
        tracer.flush()
        told = await gateway.story(transaction)
        assert told["events"] == [{"event": "odd", "what": "(object)", "nested": [{"set": [1]}, "(type)"]}]


async def test_many_events_are_cut_in_the_middle(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        transaction = await gateway.begin(ANNA)
        transaction.events += [{"event": "rcpt", "number": number} for number in range(MAX_EVENTS)]
        story = Story(transaction, NOW, events=[{"hook": "message_received", "plugin": "last"}])
        events = story.to_json()["events"]
        assert events[0] == {"event": "rcpt", "number": 0}
        assert events[MAX_EVENTS // 2] == {"event": "cut", "events_left_out": 1}
        assert events[-1] == {"hook": "message_received", "plugin": "last"}
        assert len(events) == MAX_EVENTS + 1


def test_a_session_is_told_without_what_is_empty() -> None:
    client = Client("198.51.100.4", name="mail.sender.test", helo="helo.test", ident="ABC", forwarded=True)
    told = session_json(session("lmtp", client=client, tls="TLSv1.3"))
    assert told == {
        "id": "s1",
        "listener": "lmtp",
        "protocol": "lmtp",
        "role": "filter",
        "direction": "inbound",
        "peer": "192.0.2.7",
        "client": "198.51.100.4",
        "client_name": "mail.sender.test",
        "helo": "helo.test",
        "ident": "ABC",
        "forwarded": True,
        "tls": "TLSv1.3",
    }


@on_both_databases
async def test_find_and_latest(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        sent = []
        for number in range(3):
            gateway.clock.now += 1
            sent.append(await gateway.send(ANNA, raw=b"%d\r\n" % number))
        await gateway.written()
        store = gateway.gateway.store
        newest = [story["id"] for story in await latest(store, 2)]
        assert newest == [each.transaction.id for each in reversed(sent)][:2]
        assert await find(store, "nothing") is None
        found = await find(store, sent[0].transaction.id)
        assert found is not None
        assert found["at"] == NOW + 1


async def test_a_closed_store_costs_the_story_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as gateway:
        transaction = await gateway.begin(ANNA)
    tracer = Tracer(gateway.gateway.store)
    tracer.keep(Story(transaction, NOW, reply=ACCEPTED))
    tracer.flush()
    assert "1 traces not kept, the log has their replies" in caplog.text


async def test_purge_deletes_the_old_in_pieces(store_url: str) -> None:
    await asyncio.to_thread(upgrade, store_url, [CORE])
    count = PURGED_AT_ONCE + 5
    query(
        store_url,
        "INSERT INTO trace VALUES (?, ?, 'mx', '', '[]', '', '{}')",
        [(str(number), NOW - 10 if number else NOW) for number in range(count + 1)],
    )
    store = Store.open(store_url)
    deleted = [(await store.write([Write(purge, NOW - 5)]))[0] for _ in range(3)]
    left = await latest(store, 10)
    await asyncio.to_thread(store.close)
    assert deleted == [PURGED_AT_ONCE, 5, 0]
    assert len(left) == 1


async def test_a_store_without_traces_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for name, cause in (("empty", "no such table: trace"), ("missing", "unable to open database file")):
        store = Store.open(f"sqlite:///{tmp_path / name}.db", read_only=True)
        with pytest.raises(StoreUnavailable, match=f"{cause}.*db upgrade") as caught:
            await latest(store, 1)
        assert "\n" not in str(caught.value)
        await asyncio.to_thread(store.close)


async def test_a_read_only_process_keeps_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, role="cli") as gateway:
        transaction = await gateway.begin(ANNA)
        Tracer(gateway.gateway.store).keep(Story(transaction, NOW, reply=ACCEPTED))
    assert not (tmp_path / "test.db").exists()
