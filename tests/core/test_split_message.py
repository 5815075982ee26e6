"""A message that a mail server handed over in parts: one record and one job, where the plugin names them by content."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, Text

from gateway.api import DeliveryPlan, Effect, Job, Message, Plugin, Record, Registry, Settings, hookimpl
from gateway.store.engine import parse_url, sqlite_path
from gateway.testing import Sink, StartGateway, message
from gateway.testing.outcomes import Sent
from gateway.testing.running import RunningGateway

activities = Table("crm_activities", MetaData(), Column("id", Text, primary_key=True), Column("subject", Text))
visible = Table(
    "crm_visible", MetaData(), Column("activity", Text, primary_key=True), Column("address", Text, primary_key=True)
)
PARTS = [[f"r{number:03}@example.test" for number in range(first, first + 50)] for first in (0, 50, 100)]


class Crm(Plugin[Settings]):
    """Notes each message once, and for each recipient that it may see the note."""

    def register(self, registry: Registry) -> None:
        registry.table(activities)
        registry.table(visible)
        registry.job("tell", "for tests")

    @hookimpl
    def message_annotate(self, message: Message, plan: DeliveryPlan) -> Sequence[Effect]:
        key = message.content_key
        return [
            Record("crm_activities", {"id": key, "subject": message.headers.get("subject")}, on_conflict="ignore"),
            Job("tell", {}, key=key),
            *(Record("crm_visible", {"activity": key, "address": str(to)}) for to in plan.final_addresses),
        ]


def rows(gateway: RunningGateway, query: str) -> list[Any]:
    path = sqlite_path(parse_url(gateway.config.store.url))
    assert path is not None
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(query).fetchall()


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    started = start_gateway({"crm": Crm})
    rows(started, "CREATE TABLE crm_activities (id TEXT PRIMARY KEY, subject TEXT)")
    rows(started, "CREATE TABLE crm_visible (activity TEXT, address TEXT, PRIMARY KEY (activity, address))")
    return started


@pytest.mark.parametrize("at_once", [1, 3])
def test_three_parts_of_fifty_leave_one_record_and_one_job(gateway: RunningGateway, sink: Sink, at_once: int) -> None:
    content = message("to everybody")

    def send(part: list[str]) -> Sent:
        return gateway.send(content, part)

    with ThreadPoolExecutor(at_once) as senders:
        sent = list(senders.map(send, PARTS))
    assert [each.reply.code for each in sent] == [250] * 3
    assert len({each.reply.text for each in sent}) == 3, "three transactions, each with an id of its own"
    everybody = sorted(address for part in PARTS for address in part)
    assert sorted(address for taken in sink.messages for address in taken.to) == everybody
    assert [subject for (subject,) in rows(gateway, "SELECT subject FROM crm_activities")] == ["to everybody"]
    assert len(rows(gateway, "SELECT id FROM job WHERE owner = 'crm'")) == 1
    assert [to for (to,) in rows(gateway, "SELECT address FROM crm_visible ORDER BY address")] == everybody


def test_another_message_leaves_its_own(gateway: RunningGateway) -> None:
    for content, sender in ((message("one"), "a@x.test"), (message("two"), "a@x.test"), (message("one"), "b@x.test")):
        assert gateway.send(content, PARTS[0][:2], sender=sender).reply.code == 250
    assert len(rows(gateway, "SELECT id FROM crm_activities")) == 3
    assert len(rows(gateway, "SELECT id FROM job WHERE owner = 'crm'")) == 3


def test_a_retry_has_the_same_key(gateway: RunningGateway, sink: Sink) -> None:
    sink.answer("RCPT", "452 4.2.2 mailbox full", to=PARTS[0][1])
    content = message("twice")
    first = gateway.send(content, PARTS[0][:2])
    assert (first.reply.code, gateway.send(content, PARTS[0][:2]).reply.code) == (452, 250)
    assert len(rows(gateway, "SELECT id FROM crm_activities")) == 1
    assert len(rows(gateway, "SELECT id FROM job WHERE owner = 'crm'")) == 1
