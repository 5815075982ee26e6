"""Making backups, consistent under writers, and what a restore finds wrong before it changes anything."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.backup import making, postgresql
from gateway.backup.archive import extract, read_manifest
from gateway.backup.manifest import SECRET, BackupError
from gateway.store.schema import journal_entry, journal_step, metadata
from gateway.store.store import Store, Write, insert
from gateway.store.upgrade import CORE, Owner, upgrade
from tests.core.backup.backups import back_up, empty, restore, silent
from tests.core.gateways import NOW, config, running
from tests.core.store.test_upgrade import CREATE, Plugin
from tests.databases import on_both_databases, postgresql_only, query, table_names, url_of


async def write_entries(url: str, stop: threading.Event) -> int:
    """Entries with their steps, each pair in one transaction, until told to stop: how many."""
    store = Store.open(url)
    number = 0
    while not stop.is_set():
        entry = {"id": f"e{number}", "sender": "", "digest": "d", "created_at": NOW}
        step = {
            "entry_id": f"e{number}", "recipient": "a@x.test", "position": 0, "final": "a@x.test", "via": "mail",
            "step": "x" * 2000, "state": "done", "transaction_id": f"e{number}", "updated_at": NOW,
        }  # fmt: skip
        await store.write([Write(insert(journal_entry), entry), Write(insert(journal_step), step)])
        number += 1
    await asyncio.to_thread(store.close)
    return number


@on_both_databases
def test_backups_under_writers_are_of_one_moment(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    upgrade(url, [CORE])
    stop = threading.Event()
    written: list[int] = []
    writer = threading.Thread(target=lambda: written.append(asyncio.run(write_entries(url, stop))))
    writer.start()
    try:
        backups = [back_up(config(tmp_path), tmp_path / f"backup{number}.tar") for number in range(3)]
    finally:
        stop.set()
        writer.join()
    for backup in backups:
        empty(url)
        restore(config(tmp_path), backup)
        assert set(metadata.tables) | {"alembic_version_core"} == table_names(url)
    assert written[0] > 0


def test_each_entry_of_a_copy_has_its_step(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    upgrade(url, [CORE])
    stop = threading.Event()
    writer = threading.Thread(target=lambda: asyncio.run(write_entries(url, stop)))
    writer.start()
    try:
        for number in range(5):
            backup = back_up(config(tmp_path), tmp_path / f"backup{number}.tar")
            unpacked = tmp_path / f"unpacked{number}"
            unpacked.mkdir()
            extract(backup, unpacked, silent)
            copy = f"sqlite:///{unpacked}/database.sqlite3"
            assert query(copy, "PRAGMA integrity_check") == [("ok",)]
            pairs = "SELECT count(*), count(entry_id) FROM journal_entry LEFT JOIN journal_step ON entry_id = id"
            ((entries, with_steps),) = query(copy, pairs)
            assert entries == with_steps == query(copy, "SELECT count(*) FROM journal_step")[0][0]
    finally:
        stop.set()
        writer.join()


@on_both_databases
async def test_the_secret_goes_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        own = gateway.gateway.config
        own.secret_path.parent.mkdir()
        own.secret_path.write_text("s" * 64 + "\n")
        backup = await asyncio.to_thread(back_up, own, tmp_path / "backup.tar")
    own.secret_path.unlink()
    assert restore(own, backup).new_secret
    assert own.secret_path.read_text() == "s" * 64 + "\n"
    assert own.secret_path.stat().st_mode & 0o777 == 0o600
    assert not restore(own, backup, running=True).new_secret
    own.secret_path.write_text("t" * 64 + "\n")
    with pytest.raises(AssertionError, match="another secret than the one in use"):
        restore(own, backup, running=True)
    assert restore(own, backup).new_secret
    assert (own.secret_path.parent / "secret.replaced").read_text() == "t" * 64 + "\n"


@on_both_databases
async def test_without_a_secret_the_backup_has_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path) as gateway:
        backup = await asyncio.to_thread(back_up, gateway.gateway.config, tmp_path / "backup.tar")
    assert read_manifest(backup).file(SECRET) is None
    assert "there is no secret" in caplog.text


@on_both_databases
def test_a_database_without_tables_of_ours_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"stellwerk db upgrade"):
        back_up(config(tmp_path), tmp_path / "backup.tar")
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


@on_both_databases
def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no is no directory"):
        back_up(config(tmp_path), tmp_path / "no" / "backup.tar")


def test_in_a_directory_the_file_is_named_after_the_time(tmp_path: Path) -> None:
    assert making.target_of(tmp_path, NOW) == tmp_path / "stellwerk-20270115T080000Z.tar"
    assert making.target_of(tmp_path / "x.tar", NOW) == tmp_path / "x.tar"


# What a restore refuses


@on_both_databases
def test_a_newer_revision_is_refused_and_an_older_one_migrated(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    plugin = Plugin(tmp_path / "migrations")
    plugin.folder.mkdir()
    plugin.add("vip_1", CREATE.format(name="vip_list"))
    upgrade(url, [CORE, plugin.owner])
    query(url, "INSERT INTO vip_list (id) VALUES (7)")
    old = back_up(config(tmp_path), tmp_path / "old.tar")
    plugin.add("vip_2", CREATE.format(name="vip_note"), after="vip_1")
    upgrade(url, [CORE, plugin.owner])
    new = back_up(config(tmp_path), tmp_path / "new.tar")
    with pytest.raises(AssertionError, match="older tables, which are migrated"):
        restore(config(tmp_path), old, [CORE, plugin.owner], running=True)
    restored = restore(config(tmp_path), old, [CORE, plugin.owner])
    assert restored.migrated == ("vip vip_2",)
    assert query(url, "SELECT id FROM vip_list") == [(7,)]
    assert query(url, "SELECT version_num FROM alembic_version_vip") == [("vip_2",)]
    (plugin.folder / "vip_2.py").unlink()
    with pytest.raises(BackupError, match=r"vip tables of revision vip_2, which this version does not know"):
        restore(config(tmp_path), new, [CORE, plugin.owner])
    assert query(url, "SELECT version_num FROM alembic_version_vip") == [("vip_2",)]


@on_both_databases
def test_a_backup_from_before_the_directory_is_migrated(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    folder = tmp_path / "first"
    folder.mkdir()
    (first,) = Path(str(files("gateway.store") / "migrations")).glob("r0001*.py")
    shutil.copy(first, folder)
    upgrade(url, [Owner("core", str(folder))])
    old = back_up(config(tmp_path), tmp_path / "old.tar")
    for present in ("the same revision", "nothing"):
        if present == "nothing":
            empty(url)
        with pytest.raises(AssertionError, match="older tables, which are migrated"):
            restore(config(tmp_path), old, running=True)
        assert restore(config(tmp_path), old).migrated == ("core core_0002", "core core_0003", "core core_0004")
        assert query(url, "SELECT action FROM audit_entry") == [("database.restore",)]


@on_both_databases
def test_tables_of_a_plugin_that_is_gone_are_restored_too(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    folder = tmp_path / "migrations"
    folder.mkdir()
    plugin = Plugin(folder)
    plugin.add("vip_1", CREATE.format(name="vip_list"))
    upgrade(url, [CORE, plugin.owner])
    backup = back_up(config(tmp_path), tmp_path / "backup.tar")
    empty(url)
    restore(config(tmp_path), backup, [CORE])
    assert "vip_list" in table_names(url)


@postgresql_only
def test_a_backup_goes_into_the_same_kind_of_database_only(tmp_path: Path, store_url: str) -> None:
    own = config(tmp_path)
    upgrade(store_url, [CORE])
    backup = back_up(own, tmp_path / "backup.tar")
    elsewhere = own.model_copy(update={"store": own.store.model_copy(update={"url": f"sqlite:///{tmp_path}/x.db"})})
    with pytest.raises(BackupError, match=r"is a backup of postgresql, and \[store\] url is sqlite"):
        restore(elsewhere, backup)


# SQLite alone


def test_a_database_that_cannot_be_read_is_moved_aside(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    upgrade(url, [CORE])
    backup = back_up(config(tmp_path), tmp_path / "backup.tar")
    (tmp_path / "test.db").write_bytes(b"no database" * 1000)
    with pytest.raises(AssertionError, match="the present database cannot be read"):
        restore(config(tmp_path), backup, running=True)
    restored = restore(config(tmp_path), backup)
    assert [path.name for path in restored.moved] == [f"test.db.unreadable-{NOW:.0f}"]
    assert restored.moved[0].read_bytes().startswith(b"no database")
    assert query(url, "PRAGMA integrity_check") == [("ok",)]


def test_a_damaged_database_is_not_backed_up(tmp_path: Path) -> None:
    upgrade(url_of(tmp_path), [CORE])
    query(url_of(tmp_path), "PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "test.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 12_288)
    with pytest.raises(BackupError, match=r"malformed|damaged"):
        back_up(config(tmp_path), tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


def test_deleted_rows_do_not_live_on_in_a_backup(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    upgrade(url, [CORE])
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")  # which is SQLite's own default, and not everybody's
        connection.execute("INSERT INTO meta VALUES ('k', 'forget-me@example.test')")
        connection.execute("DELETE FROM meta")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"forget-me" in (tmp_path / "test.db").read_bytes()
    assert b"forget-me" not in back_up(config(tmp_path), tmp_path / "backup.tar").read_bytes()


def test_others_that_have_the_database_open_see_the_restored_one(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    upgrade(url, [CORE])
    query(url, "INSERT INTO meta VALUES ('colour', 'red')")
    backup = back_up(config(tmp_path), tmp_path / "backup.tar")
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("UPDATE meta SET value = 'blue'")
    other.execute("BEGIN")
    colour = "SELECT value FROM meta WHERE key = 'colour'"
    assert other.execute(colour).fetchone() == ("blue",)
    restore(config(tmp_path), backup, running=True)
    assert other.execute(colour).fetchone() == ("blue",)  # its snapshot
    other.execute("COMMIT")
    assert other.execute(colour).fetchone() == ("red",)
    other.execute("INSERT INTO meta VALUES ('shape', 'round')")
    other.close()
    assert query(url, "SELECT value FROM meta WHERE key IN ('colour', 'shape') ORDER BY 1") == [("red",), ("round",)]


# PostgreSQL alone


@postgresql_only
def test_a_restore_that_fails_on_the_way_changes_nothing(tmp_path: Path, store_url: str) -> None:
    upgrade(store_url, [CORE])
    query(store_url, "INSERT INTO meta VALUES ('colour', 'red')")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    extract(back_up(config(tmp_path), tmp_path / "backup.tar"), unpacked, silent)
    query(store_url, "UPDATE meta SET value = 'blue'")
    dumped = unpacked / "database.pgdump"
    with pytest.raises(BackupError, match=r"is as it was: .*no_such_table"):
        postgresql.put_back(store_url, dumped, [], ["SELECT * FROM no_such_table"], silent)
    assert query(store_url, "SELECT value FROM meta") == [("blue",)]
    half = unpacked / "half"
    half.write_bytes(dumped.read_bytes()[: dumped.stat().st_size // 2])
    with pytest.raises(BackupError, match="could not be read"):
        postgresql.put_back(store_url, half, [], [], silent)
    assert query(store_url, "SELECT value FROM meta") == [("blue",)]


@postgresql_only
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(store_url, [CORE])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match=r"pg_dump is not installed, .*apt install postgresql-client"):
        back_up(config(tmp_path), tmp_path / "backup.tar")


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:s3cret@db.test:5433/mail?sslmode=require", "postgresql:///mail?host=/run/x&password=s3cret"],
)
def test_the_password_stands_in_no_command_line(url: str) -> None:
    (argument,) = postgresql.where(url)
    assert "s3cret" not in argument
    assert argument.endswith(("/mail?sslmode=require", "/mail?host=%2Frun%2Fx"))
    assert postgresql.environment(url)["PGPASSWORD"] == "s3cret"


@postgresql_only
def test_views_and_rights_of_others_come_back(tmp_path: Path, store_url: str) -> None:
    """What a mail server that reads this database was given."""
    upgrade(store_url, [CORE])
    query(store_url, "CREATE VIEW keys AS SELECT key FROM meta")
    query(store_url, "GRANT SELECT ON keys TO guarded")
    backup = back_up(config(tmp_path), tmp_path / "backup.tar")
    restore(config(tmp_path), backup, running=True)
    rights = "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'guarded'"
    assert query(store_url, rights) == [("SELECT",)]
