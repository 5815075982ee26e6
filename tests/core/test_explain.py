"""explain: the very chain of the live gateway, and nothing happens: no file, no row, no secret, no mail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.errors import ConfigError
from gateway.explain import Explanation, Question, changed_bytes, explain
from gateway.mail.address import Address
from gateway.mail.edits import NO_EDITS, Edits, Splice
from gateway.store.schema import trace
from tests.core.gateways import HELLO, OUTBOUND, Clock, config, plugin, running
from tests.databases import on_both_databases, query, url_of

ANNA, BO, OUT = "anna@example.test", "bo@example.test", "x@elsewhere.test"

CHAIN = """
@hookimpl
def register(self, registry):
    registry.tag("seen", "for tests")
    registry.table(notes)
    registry.job("note", "for tests")

@hookimpl
def message_received(self, message):
    if b"spam" in message.body.header_block:
        return reply.RELAY_DENIED.says("no spam")
    return Tag("seen", True)

@hookimpl
def route_recipient(self, recipient):
    if recipient.local == "team":
        return Redirect((Address("anna", "example.test"), Address("bo", "example.test")), rule="team")
    if recipient.local == "gone":
        return Discard("left the company")
    if recipient.local == "full":
        return Refuse(reply.MAILBOX_DISABLED)

@hookimpl
def message_annotate(self, message):
    note = Record("chain_notes", {"id": "1"})
    vip = AddHeader("X-VIP", "yes", ForMembers(Address("team", "example.test")))
    return [AddHeader("X-Note", "1"), vip, note, Job("note", {"n": 1}, "key")]

@hookimpl
def delivery_succeeded(self):
    raise AssertionError("nothing is delivered under explain")
"""
NOTES = 'notes = Table("chain_notes", MetaData(), Column("id", Text, primary_key=True))'


async def ask(
    directory: Path, *to: str, content: bytes = HELLO, sender: str = "out@sender.test", plugins: Sequence[str] = (),
    tables: str = "", **more: Any,
) -> Explanation:  # fmt: skip
    gateway = Gateway(config(directory, *plugins, tables=tables), role="cli", clock=Clock())
    source = Address.parse(sender) if sender else None
    try:
        return await explain(gateway, Question(source, to, content, **more))
    finally:
        await gateway.stop()


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if "__pycache__" not in path.parts)


async def test_it_leaves_nothing_behind_and_needs_no_database(tmp_path: Path) -> None:
    plugin(tmp_path, "chain", CHAIN, NOTES)
    told = await ask(tmp_path, "team@example.test", plugins=["chain"])
    assert (told.reply.code, told.size) == (250, len(HELLO))
    assert told.plan is not None
    assert [str(address) for address in told.plan.final_addresses] == [ANNA, BO]
    assert files(tmp_path) == ["chain.py"]


async def test_it_writes_no_row_into_a_database_that_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        sent = await gateway.send(ANNA)
        await gateway.written()
        before = (tmp_path / "test.db").read_bytes()
        told = await ask(tmp_path, ANNA)
        assert told.reply.code == 250
        rows = await gateway.gateway.store.read(trace.select())
        assert [row.transaction_id for row in rows] == [sent.transaction.id]
        assert (tmp_path / "test.db").read_bytes() == before
        assert gateway.mail.delivered == {ANNA: 1}


@on_both_databases
@pytest.mark.parametrize("listener", ["filter", "lmtp"])
async def test_plan_and_replies_are_those_of_the_real_thing(tmp_path: Path, listener: str) -> None:
    plugin(tmp_path, "chain", CHAIN, NOTES)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "secret").write_text("shared")
    to = ("team@example.test", "gone@example.test", "full@example.test", OUT)
    async with running(tmp_path, "chain", tables=OUTBOUND) as gateway:
        query(url_of(tmp_path), "CREATE TABLE chain_notes (id TEXT PRIMARY KEY)")
        sent = await gateway.send(*to, listener=listener)
        story = await gateway.story(sent.transaction)
    told = await ask(tmp_path, *to, plugins=["chain"], tables=OUTBOUND, listener=listener)
    assert told.to_json()["plan"] == story["plan"]
    assert (
        [reply.code for reply in told.replies] == [reply["code"] for reply in story["replies"]] == [250, 250, 550, 250]
    )
    assert told.reply.code == sent.code
    shown = [[event.get("hook"), event.get("answer")] for event in told.events]
    assert shown == [[event.get("hook"), event.get("answer")] for event in story["events"]]


async def test_as_json_it_has_everything(tmp_path: Path) -> None:
    plugin(tmp_path, "chain", CHAIN, NOTES)
    told = (await ask(tmp_path, "team@example.test", plugins=["chain"], client="192.0.2.1", helo="h.test")).to_json()
    assert told["plan"]["records"] == [
        {"table": "chain_notes", "row": {"id": "1"}, "on_conflict": "error", "function": ""}
    ]
    assert told["plan"]["jobs"] == [{"kind": "note", "payload": {"n": 1}, "key": "key", "owner": "chain"}]
    (recipient,) = told["plan"]["recipients"]
    assert all("X-VIP: yes" in step["edits"]["prepend"] for step in recipient["steps"])
    assert (told["session"]["client"], told["session"]["helo"]) == ("192.0.2.1", "h.test")
    assert (told["sender"], told["recipients"]) == ("out@sender.test", ["team@example.test"])


REFUSALS: list[tuple[str, tuple[str, ...], bytes, int, str]] = [
    ("mx", (OUT,), HELLO, 550, "relaying denied"),
    ("mx", (ANNA,), b"X: spam\r\n\r\n", 550, "no spam"),
    ("mx", (ANNA,), b"X: 1\n\r\n", 550, "bare CR, LF or NUL in the message"),
    ("mx", (ANNA,), b"x" * 70_000, 552, "the message has 70002 octets, the limit is 65536"),
    ("mx", ("full@example.test",), HELLO, 550, "this mailbox does not take mail"),
    ("mx", (ANNA,), b"Received: x\r\n" * 51, 554, "mail loop: 51 Received fields, at most 50"),
]


@pytest.mark.parametrize(("listener", "to", "content", "code", "text"), REFUSALS, ids=[row[4][:20] for row in REFUSALS])
async def test_refusals(
    tmp_path: Path, listener: str, to: tuple[str, ...], content: bytes, code: int, text: str
) -> None:
    plugin(tmp_path, "chain", CHAIN, NOTES)
    limits = "[limits]\nmax_message_bytes = 65_536\n"
    told = await ask(tmp_path, *to, content=content, listener=listener, plugins=["chain"], tables=limits)
    assert (told.reply.code, told.reply.text) == (code, text)


async def test_some_recipients_are_refused_and_the_others_planned(tmp_path: Path) -> None:
    told = await ask(tmp_path, ANNA, OUT)
    assert {to: reply.code for to, reply in told.refused.items()} == {OUT: 550}
    assert told.plan is not None
    assert [str(each.original.address) for each in told.plan.recipients] == [ANNA]
    assert told.reply.code == 250


async def test_stray_newlines_of_a_filter_listener_are_normalised_as_the_edge_does(tmp_path: Path) -> None:
    told = await ask(tmp_path, ANNA, content=b"X: 1\r\n\r\none\ntwo\r\n.dot\r\n", listener="filter")
    assert told.reply.code == 250
    assert told.events[0] == {"event": "normalised", "cr": 0, "lf": 1, "nul": 0}
    assert told.size == len(b"X: 1\r\n\r\none\r\ntwo\r\n.dot\r\n")


BROKEN = """
@hookimpl
def {hook}(self): raise RuntimeError("broken")
"""


@pytest.mark.parametrize(
    "hook", ["smtp_connect", "smtp_mail", "smtp_rcpt_check", "message_received", "route_recipient", "plan_review"]
)
async def test_a_failing_plugin_is_shown(tmp_path: Path, hook: str) -> None:
    plugin(tmp_path, "broken", BROKEN.format(hook=hook))
    told = await ask(tmp_path, ANNA, plugins=["broken"])
    assert told.reply.code == 451
    events = [*told.events, *(inner for event in told.events for inner in event.get("hooks", []))]
    (failure,) = [event for event in events if "error" in event]
    assert (failure["hook"], failure["on_error"]) == (hook, "tempfail")
    assert failure["error"].startswith("RuntimeError: broken (broken.py:")


async def test_a_plugin_that_reads_the_store_is_told_that_there_is_none(tmp_path: Path) -> None:
    hooks = "@hookimpl\nasync def message_received(self): await self.services.store.read(text('SELECT 1'))"
    plugin(tmp_path, "reader", hooks, "from sqlalchemy import text")
    told = await ask(tmp_path, ANNA, plugins=["reader"])
    assert told.reply.code == 451
    assert "run `stellwerk db upgrade` if it was never created" in told.events[0]["error"]
    assert not (tmp_path / "test.db").exists()


async def test_an_unknown_listener(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no listener 'mxx'; there are: mx, lmtp, filter"):
        await ask(tmp_path, ANNA, listener="mxx")


async def test_the_null_sender_and_an_international_recipient(tmp_path: Path) -> None:
    told = await ask(tmp_path, "j\u00f6rg@example.test", sender="")
    assert (told.sender, told.reply.code) == ("", 250)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (NO_EDITS, "body and signed headers untouched"),
        (Edits((), (Splice(0, 5), Splice(9, 12))), "2 header field(s) changed, none of them signed"),
        (Edits((), (Splice(0, 5),), ("from", "subject")), "signed header changed: from, subject"),
    ],
)
def test_what_is_said_of_the_messages_own_bytes(edits: Edits, words: str) -> None:
    assert changed_bytes(edits) == words
