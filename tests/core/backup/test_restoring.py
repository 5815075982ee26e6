"""A restore and mail: an old journal suppresses nothing, a present one is kept, no job is lost or run twice unasked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.backup.manifest import BackupError
from gateway.backup.past import MAY_HAVE_RUN
from gateway.backup.restoring import begin_epoch
from gateway.delivery.transport import Outcome
from gateway.jobs import listing
from gateway.jobs.outbox import Finish, add_write, finish
from gateway.routing.effects import Job
from gateway.store.store import Write
from tests.core.backup.backups import back_up, empty, restore
from tests.core.fake_next_hop import BUSY
from tests.core.gateways import HELLO, NOW, Running, config, plugin, running
from tests.databases import on_both_databases, query, url_of

pytestmark = [on_both_databases, pytest.mark.slow]

ANNA, BO = "anna@example.test", "bo@example.test"

TWINS = """
@hookimpl
def route_recipient(self, recipient):
    if recipient.local in {"bo", "cleo"}:
        return Redirect((Address("anna", "example.test"),))

@hookimpl
def message_annotate(self, message, plan):
    return [Job("note", {}, "the-key")]

@hookimpl
def run_job(self, job):
    return Done()
"""


async def add_job(gateway: Running, name: str, key: str) -> None:
    await gateway.gateway.store.write([add_write(name, Job("note", {}, key, "crm"), NOW)])


def facts(directory: Path) -> dict[str, str]:
    return dict(query(url_of(directory), "SELECT key, value FROM meta"))


def jobs(directory: Path) -> list[tuple[Any, ...]]:
    return query(url_of(directory), "SELECT id, state, key, last_error FROM job ORDER BY id")


# An old journal


@pytest.mark.parametrize("state", ["finished, unconfirmed", "closed", "deferred", "sending"])
async def test_the_same_bytes_are_delivered_whatever_the_old_journal_says(tmp_path: Path, state: str) -> None:
    backup = tmp_path / "backup.tar"
    async with running(tmp_path) as gateway:
        if state == "deferred":
            gateway.mail.answer(ANNA, BUSY)
        if state == "sending":
            gateway.mail.gate = asyncio.Event()
            sending = asyncio.create_task(gateway.send(ANNA))
            await gateway.mail.arrived.wait()
        else:
            await gateway.send(ANNA, confirm=state == "closed")
            await gateway.written()
        await asyncio.to_thread(back_up, gateway.gateway.config, backup)
        if gateway.mail.gate is not None:
            gateway.mail.gate.set()
            await sending
    empty(url_of(tmp_path))
    restored = restore(config(tmp_path), backup)
    assert not restored.carried_over
    async with running(tmp_path) as gateway:
        sent = await gateway.send(ANNA)
        assert sent.code == 250
        assert gateway.mail.delivered == {ANNA: 1}
        assert await gateway.steps("state", "attempts") == [("done", 1)]


async def test_a_recipient_joins_no_entry_of_the_backup(tmp_path: Path) -> None:
    """The copy for anna was delivered in the backup's past; here a machine was lost, and her mailbox with it."""
    plugin(tmp_path, "twins", TWINS)
    async with running(tmp_path, "twins") as gateway:
        await gateway.send(BO)
        await gateway.written()
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    empty(url_of(tmp_path))
    restore(config(tmp_path), backup)
    async with running(tmp_path, "twins") as gateway:
        await gateway.send("cleo@example.test")
        assert gateway.mail.delivered == {ANNA: 1}


async def test_an_entry_that_is_gone_since_the_backup_does_not_come_back(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await gateway.send(ANNA, confirm=False)
        await gateway.written()
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        query(url_of(tmp_path), "DELETE FROM journal_entry")
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
        await gateway.send(ANNA)
        assert gateway.mail.delivered == {ANNA: 2}


# The present


async def test_the_present_journal_goes_on_under_a_running_gateway(tmp_path: Path) -> None:
    """Half delivered before the restore, the other half after it, nothing twice."""
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        gateway.mail.answer(BO, BUSY)
        assert (await gateway.send(ANNA, BO, listener="filter")).code == 450
        await gateway.written()
        restored = await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
        assert restored.carried_over
        assert (await gateway.send(ANNA, BO, listener="filter")).code == 250
        assert gateway.mail.delivered == {ANNA: 1, BO: 1}


async def test_a_transaction_that_runs_during_the_restore_is_finished(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        gateway.mail.gate = asyncio.Event()
        sending = asyncio.create_task(gateway.send(ANNA))
        await gateway.mail.arrived.wait()
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
        gateway.mail.gate.set()
        sent = await sending
        assert sent.code == 250
        assert await gateway.steps("state", "attempts", "closed") == [("done", 1, True)]
        assert (await gateway.story(sent.transaction))["outcome"].startswith("250")


async def test_what_else_is_in_the_database_is_as_it_was_at_the_backup(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        query(url_of(tmp_path), "INSERT INTO meta VALUES ('colour', 'red')")
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        query(url_of(tmp_path), "UPDATE meta SET value = 'blue' WHERE key = 'colour'")
        query(url_of(tmp_path), "CREATE TABLE later (id integer)")
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True, now=NOW + 60)
    assert facts(tmp_path) == {"colour": "red", "epoch": "1", "restored_at": f"{NOW + 60:.3f}"}
    with pytest.raises(Exception, match="later"):
        query(url_of(tmp_path), "SELECT * FROM later")


async def test_each_restore_is_an_epoch_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    assert [restore(config(tmp_path), backup).epoch for _ in range(3)] == [1, 2, 3]
    later = back_up(config(tmp_path), tmp_path / "later.tar")
    empty(url_of(tmp_path))
    assert restore(config(tmp_path), later).epoch == 4


# Jobs


async def test_jobs_of_which_only_the_backup_knows_are_put_to_a_person(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await add_job(gateway, "j1", "k1")
        await gateway.gateway.store.write([add_write("j2", Job("note", {}, "", "crm"), NOW)])
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    empty(url_of(tmp_path))
    restored = restore(config(tmp_path), backup)
    assert sorted((job.id, job.owner, job.kind, job.created_at) for job in restored.doubtful) == [
        ("j1", "crm", "note", NOW),
        ("j2", "crm", "note", NOW),
    ]
    assert jobs(tmp_path) == [
        ("j1", "dead", "k1 (restored 1)", MAY_HAVE_RUN),
        ("j2", "dead", None, MAY_HAVE_RUN),
    ]
    async with running(tmp_path) as gateway:
        assert await listing.try_again(gateway.gateway.store, "j1", NOW)
        assert await listing.try_again(gateway.gateway.store, "j2", NOW)
    assert [row[:3] for row in jobs(tmp_path)] == [("j1", "due", "k1"), ("j2", "due", None)]


async def test_a_doubtful_job_keeps_the_same_job_of_new_mail_out_neither_before_nor_after_its_retry(
    tmp_path: Path,
) -> None:
    plugin(tmp_path, "twins", TWINS)
    async with running(tmp_path, "twins") as gateway:
        await gateway.send(ANNA)
        await gateway.written()
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    empty(url_of(tmp_path))
    (doubtful,) = restore(config(tmp_path), backup).doubtful
    async with running(tmp_path, "twins") as gateway:
        await gateway.send(ANNA, raw=HELLO + b"more\r\n")
        found = {row.id: (row.state, row.key) for row in await gateway.jobs()}
        assert found.pop(doubtful.id) == ("dead", "the-key (restored 1)")
        assert list(found.values()) == [("due", "the-key")]
        assert await listing.try_again(gateway.gateway.store, doubtful.id, NOW)
        assert {row.key for row in await gateway.jobs()} == {"the-key", "the-key (restored 1)"}


async def test_the_present_database_knows_best_about_jobs(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        for name in ("done since", "due still", "dropped since", "again since"):
            await add_job(gateway, name, name)
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        await gateway.gateway.store.write([Write(finish, Finish("done since", NOW))])
        await listing.drop(gateway.gateway.store, "dropped since", NOW)
        await listing.drop(gateway.gateway.store, "again since", NOW)
        await add_job(gateway, "another id", "again since")
        await add_job(gateway, "new", "new")
        restored = await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
    assert jobs(tmp_path) == [
        ("another id", "due", "again since", None),
        ("done since", "done", "done since", None),
        ("dropped since", "dead", "dropped since (restored 1)", MAY_HAVE_RUN),
        ("due still", "due", "due still", None),
        ("new", "due", "new", None),
    ]
    assert (restored.kept_jobs, [job.id for job in restored.doubtful]) == (3, ["dropped since"])


async def test_notifications_that_were_promised_since_the_backup_are_sent(tmp_path: Path) -> None:
    """A refusal after the 250 of others is told by a job; the 250 stands on it."""
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        gateway.mail.answer(BO, Outcome.REFUSED)
        assert (await gateway.send(ANNA, BO)).code == 250
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
        assert await gateway.notifications() == [("failed", BO)]


async def test_open_jobs_that_cannot_be_kept_are_not_lost_in_silence(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        await add_job(gateway, "j1", "k1")
    query(url_of(tmp_path), "UPDATE alembic_version_core SET version_num = 'core_9999'")
    with pytest.raises(BackupError, match=r"1 open jobs, which cannot be kept.*--drop-jobs"):
        restore(config(tmp_path), backup)
    assert [row[0] for row in jobs(tmp_path)] == ["j1"]
    restored = restore(config(tmp_path), backup, drop_jobs=True)
    assert (restored.carried_over, jobs(tmp_path)) == (False, [])
    async with running(tmp_path) as gateway:  # the revision is that of the backup again
        assert (await gateway.send(ANNA)).code == 250


# The directory

PEOPLE = (
    "INSERT INTO organisation (id, name, created_at) VALUES ('o', 'org', 1)",
    "INSERT INTO context (id, organisation_id, name, created_at) VALUES ('c', 'o', 'ctx', 1)",
    "INSERT INTO person (id, context_id, address, role, created_at) VALUES ('p', 'c', 'anna@x.test', 'member', 1)",
    "INSERT INTO mailbox (id, context_id, address, kind, created_at) VALUES ('m1', 'c', 'a@x.test', 'personal', 1)",
)
AUDIT = (
    "INSERT INTO audit_entry (id, at, actor, action, noun, noun_id, name, before, after)"
    " VALUES ('{id}', 1, 'root', 'x', 'y', 'z', '', '{{}}', '{{}}')"
)


def number(directory: Path) -> int:
    ((found,),) = query(url_of(directory), "SELECT number FROM directory_version")
    return int(found)


def credential_version(directory: Path) -> int:
    ((found,),) = query(url_of(directory), "SELECT credential_version FROM person")
    return int(found)


async def test_what_was_changed_since_the_backup_stays_in_the_audit(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    async with running(tmp_path) as gateway:
        query(url, AUDIT.format(id="a1"))
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        query(url, AUDIT.format(id="a2"))
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
    found = query(url, "SELECT action, actor, name, after FROM audit_entry ORDER BY at")
    assert [row[0] for row in found] == ["x", "x", "database.restore"]
    assert found[-1][1:] == ("tester", "backup of 2027-01-15 08:00:00Z", '{"epoch": 1}')


@pytest.mark.parametrize("changes", [0, 7, 30_000])
async def test_no_process_trusts_what_it_knew_before_the_restore(tmp_path: Path, changes: int) -> None:
    url = url_of(tmp_path)
    async with running(tmp_path) as gateway:
        for statement in PEOPLE:
            query(url, statement)
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        query(url, f"UPDATE directory_version SET number = number + {changes}")
        seen = {number(tmp_path)}
        logged_in = {credential_version(tmp_path)}
        for _ in range(2):
            await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
            assert number(tmp_path) > max(seen)
            assert credential_version(tmp_path) > max(logged_in)
            seen.add(number(tmp_path))
            query(url, "UPDATE person SET credential_version = credential_version + 1")
            logged_in.add(credential_version(tmp_path))


async def test_nobody_is_told_twice_that_somebody_is_away(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    async with running(tmp_path) as gateway:
        for statement in PEOPLE:
            query(url, statement)
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
        query(url, PEOPLE[-1].replace("m1", "m2").replace("a@x", "b@x"))
        for mailbox in ("m1", "m2"):
            query(url, f"INSERT INTO auto_answer VALUES ('{mailbox}', 's@out.test', 5)")
        await asyncio.to_thread(restore, gateway.gateway.config, backup, running=True)
    assert query(url, "SELECT mailbox_id, sender FROM auto_answer") == [("m1", "s@out.test")]


async def test_a_new_machine_has_the_directory_of_the_backup(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    async with running(tmp_path) as gateway:
        for statement in PEOPLE:
            query(url, statement)
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    empty(url)
    restore(config(tmp_path), backup)
    assert query(url, "SELECT address FROM person") == [("anna@x.test",)]
    assert query(url, "SELECT action FROM audit_entry") == [("database.restore",)]


# Put back by other means


async def test_a_new_epoch_for_a_database_that_was_put_back_by_other_means(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        await add_job(gateway, "j1", "k1")
        await gateway.send(ANNA, confirm=False)
    assert begin_epoch(url_of(tmp_path), NOW, "tester")[0] == 1
    assert [row[:3] for row in jobs(tmp_path)] == [("j1", "dead", "k1 (restored 1)")]
    async with running(tmp_path) as gateway:
        await gateway.send(ANNA)
        assert gateway.mail.delivered == {ANNA: 1}


async def test_a_database_without_tables_begins_no_epoch(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    if url.startswith("sqlite"):
        (tmp_path / "test.db").touch()
    with pytest.raises(BackupError, match="no tables of Stellwerk"):
        begin_epoch(url, NOW, "tester")
