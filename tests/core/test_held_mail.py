"""Mail that a rule holds: committed before the 250, kept until somebody decides, released once and byte for byte."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.backup.past import MAY_BE_DECIDED
from gateway.backup.restoring import begin_epoch
from gateway.delivery.journal_rules import State
from gateway.directory.actor import Actor, command_line
from gateway.directory.change import carry_out
from gateway.directory.errors import NotAllowed, NotFound
from gateway.directory.tables import audit_entry
from gateway.explain import Question, explain
from gateway.jobs import held
from gateway.jobs.worker import JobWorker
from gateway.mail.body import FileBody, MemoryBody
from gateway.retention import Retention
from gateway.store.schema import job
from tests.core.backup.backups import back_up, restore
from tests.core.fake_next_hop import BUSY
from tests.core.gateways import HELLO, NOW, Running, plugin, running
from tests.databases import on_both_databases, query, url_of

pytestmark = [on_both_databases, pytest.mark.slow]

ANNA, HELD, TOO = "anna@example.test", "held@example.test", "held+too@example.test"
DAY = 86_400.0
OPERATOR = command_line("root")

CHAIN = """
@hookimpl
def route_recipient(self, recipient):
    if recipient.local.startswith("held"):
        return Hold("a person decides", rule="rule 3")

@hookimpl
def message_annotate(self):
    return [AddHeader("X-Note", "1")]
"""


@pytest.fixture
def chain(tmp_path: Path) -> str:
    return plugin(tmp_path, "chain", CHAIN)


async def waiting(gateway: Running) -> list[dict[str, Any]]:
    return await held.listing(gateway.gateway.store, OPERATOR)


async def decide(gateway: Running, command: Any, actor: Actor = OPERATOR) -> Any:
    return await carry_out(gateway.gateway.store, actor, command, gateway.clock)


async def work(gateway: Running) -> int:
    """The desk runs what is due."""
    one = gateway.gateway
    return await JobWorker(one.store, one.plugins.runner, one.next_hops, "relay", "desk1", gateway.clock).run_due()


@pytest.mark.parametrize("mode", ["all", "needed"])
async def test_it_is_kept_before_the_250_and_released_once(tmp_path: Path, chain: str, mode: str) -> None:
    async with running(tmp_path, chain, tables=f'[journal]\nmode = "{mode}"\n') as gateway:
        sent = await gateway.send(HELD)
        assert str(sent.verdict.reply).startswith("250 2.0.0 accepted, and held for a decision [")
        (found,) = await waiting(gateway)
        assert {key: found[key] for key in ("recipient", "sender", "reason", "rule", "plugin", "transaction")} == {
            "recipient": HELD,
            "sender": "out@sender.test",
            "reason": "a person decides",
            "rule": "rule 3",
            "plugin": "chain",
            "transaction": sent.transaction.id,
        }
        gateway.clock.now += 1000 * DAY
        assert (await work(gateway), gateway.mail.batches, gateway.relay.batches) == (0, [], [])
        assert (await decide(gateway, held.Release(found["id"]))).result == HELD
        assert await work(gateway) == 1
        (batch,) = gateway.relay.batches
        assert ([str(copy.to) for copy in batch.copies], str(batch.sender)) == ([HELD], "out@sender.test")
        (content,) = gateway.relay.contents
        assert content.endswith(b"\r\n" + HELLO)
        assert b"\r\nX-Note: 1\r\n" in content
        assert content.startswith(b"Received: from client.test")
        assert found["size"] == len(content)
        with pytest.raises(NotFound):
            await decide(gateway, held.Release(found["id"]))
        assert (await work(gateway), await waiting(gateway)) == (0, [])


async def test_a_retry_holds_nothing_twice(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        gateway.mail.answer(ANNA, BUSY)
        assert (await gateway.send(HELD, ANNA, confirm=False)).code == 450
        assert (await gateway.send(HELD, ANNA)).code == 250
        assert len(await waiting(gateway)) == 1
        assert len(gateway.mail.batches) == 2
        assert (await gateway.states())[HELD] == State.DONE.value


async def test_each_recipient_is_decided_on_by_itself(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        assert (await gateway.send(HELD, TOO, ANNA)).code == 250
        first, second = await waiting(gateway)
        assert {first["recipient"], second["recipient"]} == {HELD, TOO}
        await decide(gateway, held.Discard(first["id"]))
        assert [each["id"] for each in await waiting(gateway)] == [second["id"]]
        assert query(url_of(tmp_path), "SELECT state, content FROM job ORDER BY state")[0] == ("done", None)
        assert await work(gateway) == 0


async def test_a_large_message_is_kept_whole(tmp_path: Path, chain: str) -> None:
    raw = HELLO + b"0123456789abcdef\r\n" * 100_000
    path = tmp_path / "body"
    path.write_bytes(raw)
    body = FileBody(os.open(path, os.O_RDONLY), len(raw), MemoryBody(raw).sha256)
    async with running(tmp_path, chain) as gateway:
        assert (await gateway.send(HELD, raw=body)).code == 250
        (found,) = await waiting(gateway)
        _, content = await held.content(gateway.gateway.store, OPERATOR, found["id"])
        assert content.endswith(raw)


async def test_where_it_cannot_be_written_the_sender_keeps_it(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        query(url_of(tmp_path), "ALTER TABLE job RENAME TO gone")
        assert (await gateway.send(HELD)).code == 451
        query(url_of(tmp_path), "ALTER TABLE gone RENAME TO job")
        assert await waiting(gateway) == []


@pytest.mark.parametrize("decision", [held.Release, held.Discard])
async def test_only_the_record_of_a_decision_is_forgotten(
    tmp_path: Path, chain: str, decision: Callable[[str], Any]
) -> None:
    async with running(tmp_path, chain, tables="[held]\nretention_days = 40\n") as gateway:
        await gateway.send(HELD, TOO)
        one, _ = await waiting(gateway)
        await decide(gateway, decision(one["id"]))
        await work(gateway)
        forgetting = Retention(gateway.gateway.store, gateway.gateway.journal, gateway.gateway.config, gateway.clock)
        for age, left in ((39, 2), (41, 1), (9000, 1)):
            gateway.clock.now = NOW + age * DAY
            await forgetting.forget()
            assert len(await gateway.gateway.store.read(select(job.c.id))) == left, age
        assert len(await waiting(gateway)) == 1


async def test_who_decided_stands_in_the_audit(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        await gateway.send(HELD)
        (found,) = await waiting(gateway)
        admin = Actor("eve@other.test", "organisation_admin", "p", "other")
        assert await held.listing(gateway.gateway.store, admin) == []
        for command in (held.Release(found["id"]), held.Discard(found["id"])):
            with pytest.raises((NotFound, NotAllowed)):
                await decide(gateway, command, admin)
        await decide(gateway, held.Release(found["id"]))
        (row,) = await gateway.gateway.store.read(select(audit_entry))
        assert (row.actor, row.action, row.name) == ("root (command line)", "mail.release", HELD)


async def test_explain_says_the_same(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        told = await explain(gateway.gateway, Question("out@sender.test", [HELD], HELLO))
        assert str(told.reply) == "250 2.0.0 accepted, and held for a decision"
        assert await waiting(gateway) == []


async def test_a_restore_keeps_what_was_decided(tmp_path: Path, chain: str) -> None:
    """What was released since the backup is not released again, and what came since is not lost."""
    async with running(tmp_path, chain) as gateway:
        await gateway.send(HELD)
        (found,) = await waiting(gateway)
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        await decide(gateway, held.Release(found["id"]))
        await work(gateway)
        await gateway.send(TOO, raw=HELLO + b"later\r\n")
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
        assert [each["recipient"] for each in await waiting(gateway)] == [TOO]


async def test_a_person_is_told_that_it_may_have_been_decided(tmp_path: Path, chain: str) -> None:
    async with running(tmp_path, chain) as gateway:
        await gateway.send(HELD)
    await asyncio.to_thread(begin_epoch, url_of(tmp_path), NOW, "tester")
    assert query(url_of(tmp_path), "SELECT state, last_error FROM job") == [("held", MAY_BE_DECIDED)]
