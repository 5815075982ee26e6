"""What the desk forgets, and what it keeps, by the settings and the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from gateway.directory import forgetting
from gateway.directory.tables import audit_entry, auto_answer, context, mailbox, organisation
from gateway.errors import ConfigError
from gateway.retention import Retention
from gateway.store.schema import job, journal_entry, journal_step, trace
from gateway.store.store import Write, insert
from tests.core.gateways import NOW, Running, config, running

DAY = 86_400.0
TABLES = """
[journal]
retention_days = 3
unconfirmed_hours = 12
[trace]
retention_days = 2
[audit]
retention_days = 5
"""


def retention_of(gateway: Running) -> Retention:
    one = gateway.gateway
    return Retention(one.store, one.journal, one.config, gateway.clock)


async def add(gateway: Running, table: Table, **values: Any) -> None:
    await gateway.gateway.store.write([Write(insert(table), values)])


async def ids(gateway: Running, table: Table) -> set[str]:
    (key, *_) = table.primary_key
    return {row[0] for row in await gateway.gateway.store.read(select(key))}


async def entry(gateway: Running, name: str, state: str, *, closed_at: float | None = None) -> None:
    await add(gateway, journal_entry, id=name, sender="", digest=name, created_at=NOW)
    await add(
        gateway, journal_step, entry_id=name, recipient="a@x.test", position=0, final="a@x.test", via="mail",
        step="{}", state=state, transaction_id=name, closed_at=closed_at, updated_at=NOW,
    )  # fmt: skip


async def test_each_kind_is_forgotten_at_its_own_age(tmp_path: Path) -> None:
    async with running(tmp_path, tables=TABLES) as gateway:
        await entry(gateway, "closed", "done", closed_at=NOW)
        await entry(gateway, "unconfirmed", "done")
        await entry(gateway, "unfinished", "deferred")
        story = {"listener": "mx", "sender": "", "recipients": "[]", "outcome": "250", "story": "{}"}
        await add(gateway, trace, transaction_id="trace", at=NOW, **story)
        common = {"owner": "core", "kind": "x", "payload": "{}", "due_at": NOW, "created_at": NOW}
        await add(gateway, job, id="done", state="done", **common)
        await add(gateway, job, id="dead", state="dead", **common)
        journal = ["closed", "unconfirmed", "unfinished"]
        forgotten = [
            (0.0, journal, ["trace"], ["dead", "done"]),
            (3601.0, journal[1:], ["trace"], ["dead", "done"]),
            (0.5 * DAY + 1, journal[2:], ["trace"], ["dead", "done"]),
            (2 * DAY + 1, journal[2:], [], ["dead", "done"]),
            (3 * DAY + 1, [], [], ["dead"]),
            (9000 * DAY, [], [], ["dead"]),
        ]
        for age, entries, traces, jobs in forgotten:
            gateway.clock.now = NOW + age
            await retention_of(gateway).forget()
            assert await ids(gateway, journal_entry) == set(entries), age
            assert await ids(gateway, trace) == set(traces), age
            assert await ids(gateway, job) == set(jobs), age
        assert await ids(gateway, journal_step) == set()


async def test_it_says_how_much_it_forgot(tmp_path: Path) -> None:
    async with running(tmp_path, tables=TABLES) as gateway:
        await entry(gateway, "closed", "done", closed_at=NOW)
        gateway.clock.now += 2 * 3600
        assert +await retention_of(gateway).forget() == {"journal entries": 1}
        assert not +await retention_of(gateway).forget()


async def audited(gateway: Running, name: str, at: float) -> None:
    texts = dict.fromkeys(("actor", "action", "noun", "noun_id", "name", "before", "after"), "")
    await add(gateway, audit_entry, id=name, at=at, **texts)


async def test_the_audit_is_forgotten_at_its_age_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "PURGED_AT_ONCE", 2)
    async with running(tmp_path, tables=TABLES) as gateway:
        for age in range(6):
            await audited(gateway, f"{age} days", NOW - age * DAY - 1)
        assert +await retention_of(gateway).forget() == {"audit entries": 1}
        gateway.clock.now += 3 * DAY
        assert +await retention_of(gateway).forget() == {"audit entries": 3}
        assert await ids(gateway, audit_entry) == {"0 days", "1 days"}


async def test_without_a_setting_the_audit_is_kept_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await audited(gateway, "first", 0.0)
        gateway.clock.now += 100 * 365 * DAY
        await retention_of(gateway).forget()
        assert await ids(gateway, audit_entry) == {"first"}


async def test_answers_are_forgotten_when_another_may_be_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        with_nobody = {"organisation_id": "o", "created_at": NOW}
        await add(gateway, organisation, id="o", name="o", created_at=NOW)
        await add(gateway, context, id="c", name="c", **with_nobody)
        await add(gateway, mailbox, id="m", context_id="c", address="a@x.test", kind="shared", created_at=NOW)
        await add(gateway, auto_answer, mailbox_id="m", sender="s@out.test", at=NOW)
        gateway.clock.now += 7 * DAY
        assert not +await retention_of(gateway).forget()
        gateway.clock.now += 1
        assert +await retention_of(gateway).forget() == {"out-of-office answers": 1}


@pytest.mark.parametrize(("table", "old"), [("trace", "keep_days"), ("journal", "unfinished_days")])
def test_the_names_of_earlier_checkouts_are_answered_with_the_new_one(tmp_path: Path, table: str, old: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key {table}.{old}; .*retention_days"):
        config(tmp_path, tables=f"[{table}]\n{old} = 1\n")
