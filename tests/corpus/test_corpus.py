"""Every real message through a running gateway with its chain on: the same bytes, as explained, still signed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dkim
import pytest

from gateway.app import Gateway
from gateway.config import load
from gateway.explain import Question, explain
from gateway.mail.address import Address
from gateway.testing.sink import Sink
from tests.conftest import SUMMARY
from tests.corpus.messages import CorpusMessage, folder, messages, on_the_wire, signed
from tests.integration.gateway_process import GatewayProcess, StartGateway
from tests.integration.smtp_client import Client
from tests.integration.waiting import until

SENDER = "bo@example.test"
RECIPIENTS = ("anna@example.test", "bo@example.test")
CONFIG = """
plugins = ["size_limit", "domain_check"]

[server]
hostname = "gw.example.test"
state_dir = "{state}"

[store]
url = "sqlite:///{state}/stellwerk.db"

[[listener]]
name = "mx"
address = "127.0.0.1:{port}"
greeting_delay_ms = 0

[next_hop.sink]
kind = "smtp"
address = "{sink}"

[routing]
hosted = "sink"

[hosted."example.test"]
mailboxes = ["anna", "bo"]

[log]
level = "warning"
"""


# What the gateway may put in front of a message, and nothing else.
OUR_HEAD = re.compile(
    rb"Received: from .*\r\n\tby gw\.example\.test \(Stellwerk\) with ESMTP id \w+;\r\n\t[^\r\n]+\r\n"
    rb"X-Stellwerk-Loop: mx [0-9a-f]{32}\r\n\Z"
)


def transaction_id(reply: str) -> str:
    return reply.rpartition("[")[2].rstrip("]")


async def stories(process: GatewayProcess, wanted: int) -> dict[str, dict[str, Any]]:
    """All traces by transaction id, once the last of them is committed."""

    async def told() -> list[dict[str, Any]]:
        found = json.loads(await process.command("trace", "--last", "9999", "--json"))
        return found if len(found) >= wanted else []

    return {story["id"]: story for story in await until(told, f"{wanted} traces are kept")}


def as_executed(reply: dict[str, Any]) -> tuple[int, str]:
    """A reply without its words, which hold the id or are the next hop's own."""
    return reply["code"], reply["enhanced"]


async def test_every_message_goes_through_unchanged_and_as_explained(
    gateway_process: StartGateway, port: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    corpus = messages()
    replies: dict[str, str] = {}
    async with Sink() as sink:
        process = await gateway_process(CONFIG.format(sink=sink.address, port=port, state=tmp_path / "state"))
        async with Client.connect(port) as client:
            for message in corpus:
                replies[message.name] = await client.send(SENDER, RECIPIENTS, message.content)
        arrived = iter(sink.messages)
        refused: Counter[str] = Counter()
        for message in corpus:
            reply = replies[message.name]
            if reply.startswith("250"):
                check_bytes(message, next(arrived).data)
            else:
                assert reply.startswith("5"), f"{message.name}: {reply}"
                assert message.excuse, f"{message.name} was refused without a reason: {reply}"
                refused[f"{message.name}: {message.excuse}"] += 1
        assert next(arrived, None) is None
        named = "; ".join(sorted(refused)) or "none"
        record_property(SUMMARY, f"corpus: {len(corpus)} messages, {refused.total()} refused: {named}")
        traces = await stories(process, len(corpus))
        await check_explanations(process, corpus, replies, traces)


def check_bytes(message: CorpusMessage, arrived: bytes) -> None:
    assert arrived.endswith(message.content), f"{message.name}: the bytes changed"
    head = arrived[: len(arrived) - len(message.content)]
    assert OUR_HEAD.match(head), f"{message.name}: unexpected fields in front: {head!r}"


async def check_explanations(
    process: GatewayProcess, corpus: list[CorpusMessage], replies: dict[str, str], traces: dict[str, dict[str, Any]]
) -> None:
    """`explain` on the same configuration says what the trace says was done."""
    gateway = Gateway(load(process.config), role="cli")
    try:
        for message in corpus:
            question = Question(Address.parse(SENDER), RECIPIENTS, message.content, helo="client.test")
            told = json.loads(json.dumps((await explain(gateway, question)).to_json()))
            story = traces[transaction_id(replies[message.name])]
            assert told["plan"] == story["plan"], message.name
            assert told["recipients"] == story["recipients"], message.name
            assert as_executed(told["reply"]) == as_executed(story["reply"]), message.name
    finally:
        await gateway.stop()


async def test_every_signature_still_verifies(gateway_process: StartGateway, port: int, tmp_path: Path) -> None:
    index, keys = signed()
    async with Sink() as sink:
        await gateway_process(CONFIG.format(sink=sink.address, port=port, state=tmp_path / "state"))
        async with Client.connect(port) as client:
            for entry in index:
                # Some files hold the keys first; the message is what stands at the end.
                content = on_the_wire((folder() / entry["path"]).read_bytes()[-entry["bytes"] :])
                reply = await client.send(SENDER, RECIPIENTS, content)
                assert reply.startswith("250"), f"{entry['path']}: {reply}"
        assert len(sink.messages) == len(index)
        for entry, message in zip(index, sink.messages, strict=True):
            key = partial(_key, keys[entry["key"]][entry["key_choice"]]["txt"])
            verified = dkim.DKIM(message.data).verify(idx=entry["sig_index"], dnsfunc=key)
            assert verified, f"{entry['path']}: the signature of {entry['key']} is broken"


def _key(text: str, *_asked: object, **_options: object) -> bytes:
    return text.encode()


def test_the_corpus_is_there() -> None:
    """The two tests above prove nothing on an empty folder."""
    assert messages(), f"no message in {folder().name}/"


@pytest.mark.parametrize(
    ("content", "excuse"),
    [
        (b"A: b\r\n\r\nplain\r\n", ""),
        (b"A: b\r\n\r\nbare\rcr\r\n", "bare CR, LF or NUL"),
        (b"A: b\r\n\r\nnul\0\r\n", "bare CR, LF or NUL"),
        (b"A: " + b"b" * 2046 + b"\r\n\r\n", "a line of more than 2,048 octets"),
        (b"Received: x\r\n" * 51 + b"\r\n", "more than 50 Received fields"),
    ],
)
def test_only_these_excuse_a_refusal(content: bytes, excuse: str) -> None:
    assert CorpusMessage("x", content).excuse == excuse
