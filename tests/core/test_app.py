"""One process of the gateway from start to stop, and what it takes over from one that died."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway import retention
from gateway.app import Gateway, Identity, next_hops, read_secret
from gateway.delivery.maildir import Maildir
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.errors import StartupError
from gateway.jobs.outbox import CORE, SEND_MAIL, add_write
from gateway.mail.body import MemoryBody
from gateway.routing.effects import Job
from gateway.store.schema import job, journal_step, trace
from gateway.store.store import StoreReadOnly
from gateway.store.upgrade import status
from tests.core.fake_next_hop import FakeNextHop
from tests.core.gateways import HELLO, NOW, Clock, Running, config, plugin, running
from tests.databases import locked, on_both_databases, query, url_of

pytestmark = on_both_databases

ANNA = "anna@example.test"


async def test_a_start_creates_the_store_and_a_stop_closes_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        assert [owner.ready for owner in status(gateway.gateway.config.store.url, gateway.gateway.owners())] == [True]
    assert gateway.mail.closed
    assert gateway.relay.closed


async def test_a_store_of_another_revision_is_refused_in_one_line(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    query(url_of(tmp_path), "UPDATE alembic_version_core SET version_num = 'r9999'")
    gateway = Gateway(config(tmp_path))
    with pytest.raises(StartupError, match="core tables of revision r9999, which this version does not know"):
        await gateway.start()
    await gateway.stop()


async def test_a_startup_hook_that_fails_refuses_to_start(tmp_path: Path) -> None:
    plugin(tmp_path, "crm", "@hookimpl\ndef gateway_startup(self): raise RuntimeError('no account')")
    gateway = Gateway(config(tmp_path, "crm"))
    with pytest.raises(StartupError, match=r"does not start, crm\.gateway_startup: RuntimeError: no account"):
        await gateway.start()
    await gateway.stop()


async def test_the_command_line_starts_nothing_and_may_not_write(tmp_path: Path) -> None:
    plugin(
        tmp_path, "loud", "@hookimpl\ndef gateway_startup(self): 1 / 0\n@hookimpl\ndef gateway_shutdown(self): 1 / 0"
    )
    gateway = Gateway(config(tmp_path, "loud"), role="cli")
    await gateway.start()
    with pytest.raises(StoreReadOnly):
        await gateway.store.write([])
    await gateway.stop()
    assert not (tmp_path / "test.db").exists()


# The desk


def old_rows(directory: Path) -> None:
    """A trace and a done job that nobody needs any more, and a job that is due."""
    query(url_of(directory), "INSERT INTO trace VALUES ('old', 1.0, 'mx', '', '[]', '', '{}')")
    query(
        url_of(directory),
        "INSERT INTO job (id, owner, kind, payload, due_at, state, created_at)"
        " VALUES ('old', 'core', 'x', '{}', 1.0, 'done', 1.0)",
    )


async def until_gone(gateway: Gateway, *tables: Any) -> None:
    for _ in range(1000):
        rows = [await gateway.store.read(select(table)) for table in tables]
        if not any(rows):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still there: {rows}")


async def test_the_desk_deletes_what_is_old_and_empties_the_outbox(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    old_rows(tmp_path)
    async with running(tmp_path, role="desk") as gateway:
        await until_gone(gateway.gateway, trace, job)
        payload = {"sender": "", "recipients": ["anna@example.test"]}
        write = add_write("j1", Job(SEND_MAIL, payload, "k", CORE, b"text\r\n"), NOW)
        await gateway.gateway.store.write([write])
        await asyncio.wait_for(gateway.mail.arrived.wait(), 30)
        assert gateway.mail.contents == [b"text\r\n"]


async def test_the_desk_goes_on_deleting_when_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "PURGE_SECONDS", 0.01)
    async with running(tmp_path):
        pass
    old_rows(tmp_path)
    gateway = Gateway(config(tmp_path), role="desk", clock=Clock())
    with locked(url_of(tmp_path)):
        await gateway.start()
        for _ in range(1000):
            if "old entries could not be deleted" in caplog.text:
                break
            await asyncio.sleep(0.01)
    await until_gone(gateway, trace, job)
    await gateway.stop()
    assert "old entries could not be deleted, trying again later" in caplog.text


async def test_background_work_that_crashes_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = Gateway(config(tmp_path), role="desk", clock=Clock())

    async def crash(limits: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gateway.journal, "purge", crash)
    with caplog.at_level(logging.CRITICAL):
        await gateway.start()
        for _ in range(1000):
            if caplog.records:
                break
            await asyncio.sleep(0.01)
    assert caplog.records[0].getMessage() == "the purging of old entries failed and does not go on until a restart"
    await gateway.stop()


# Several processes on one store


async def second(gateway: Running, identity: Identity | None = None) -> Running:
    """Another worker on the same store."""
    other = Gateway(config(gateway.directory), identity=identity, clock=gateway.clock)
    hops = FakeNextHop("mail"), FakeNextHop("relay", "smtp"), FakeNextHop("store", "lmtp")
    other.next_hops.update({hop.name: hop for hop in hops})
    await other.start()
    return Running(other, gateway.clock, gateway.directory, *hops)


async def die_while_sending(worker: Running) -> None:
    """Its message to Anna is at the next hop when it ends; nothing is written any more."""
    worker.mail.gate = asyncio.Event()
    transaction = await worker.begin(ANNA)
    task = asyncio.create_task(worker.gateway.pipeline.process(transaction, MemoryBody(HELLO)))
    await worker.mail.arrived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_retry_may_come_to_another_worker(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await gateway.send(ANNA, confirm=False)
        await gateway.written()
        other = await second(gateway)
        assert (await other.send(ANNA)).code == 250
        assert (gateway.mail.delivered, other.mail.delivered) == ({ANNA: 1}, {})
        await other.gateway.stop()


async def test_a_worker_that_died_leaves_unknown_and_its_successor_frees_it(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        dead = await second(gateway, Identity("n1", "b1", "n1-b1-1"))
        await die_while_sending(dead)
        assert (await gateway.send(ANNA)).code == 451  # still being delivered
        successor = await second(gateway, Identity("n1", "b1", "n1-b1-2", ("n1-b1-1",)))
        rows = await gateway.gateway.store.read(select(journal_step.c.state, journal_step.c.doubts))
        assert [tuple(row) for row in rows] == [("unknown", 1)]
        assert (await successor.send(ANNA)).code == 250
        assert successor.mail.delivered == {ANNA: 1}
        await dead.gateway.stop()
        await successor.gateway.stop()


async def test_leases_of_a_node_that_never_comes_back_end_by_their_time(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        gone = await second(gateway, Identity("n2", "b1", "n2-b1-1"))
        await die_while_sending(gone)
        assert (await gateway.send(ANNA)).code == 451  # still being delivered, as far as anybody knows
        gateway.clock.now += 30 + 61  # a message's whole time, and a margin
        assert (await gateway.send(ANNA)).code == 250
        assert gateway.mail.delivered == {ANNA: 1}
        await gone.gateway.stop()


async def test_a_stop_writes_what_is_held(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        other = await second(gateway)
        await other.send(ANNA, confirm=False)
        await other.gateway.stop()
        assert await gateway.steps("state", "leased_by") == [("done", "")]


# Configuration


async def test_next_hops_are_made_from_their_kinds(tmp_path: Path) -> None:
    hops = next_hops(config(tmp_path))
    assert {name: type(hop) for name, hop in hops.items()} == {
        "mail": Maildir,
        "relay": SmtpNextHop,
        "store": SmtpNextHop,
    }
    assert {name: hop.kind for name, hop in hops.items()} == {"mail": "maildir", "relay": "smtp", "store": "lmtp"}
    for hop in hops.values():
        await hop.close()


@pytest.mark.parametrize("owner", ["nobody-of-that-name", "root:nobody-of-that-name"])
def test_an_unknown_owner_is_refused(tmp_path: Path, owner: str) -> None:
    tables = f'[next_hop.other]\nkind = "maildir"\npath = "{tmp_path}/x/{{local}}"\nowner = "{owner}"\n'
    with pytest.raises(StartupError, match=rf'next_hop\.other\.owner = "{owner}": .*expected "user:group"'):
        next_hops(config(tmp_path, tables=tables))


def test_an_owner_is_found_by_name(tmp_path: Path) -> None:
    tables = f'[next_hop.other]\nkind = "maildir"\npath = "{tmp_path}/x/{{local}}"\nowner = "root:root"\n'
    assert "other" in next_hops(config(tmp_path, tables=tables))


def test_the_secret_is_read_and_never_made_here(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert read_secret(settings) != read_secret(settings)  # none there: nothing is recognised
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "secret").write_text("  shared\n")
    assert read_secret(settings) == b"shared"


def test_a_secret_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state" / "secret").mkdir(parents=True)
    with pytest.raises(StartupError, match="secret: Is a directory; the worker's user must be able to read"):
        read_secret(config(tmp_path))
