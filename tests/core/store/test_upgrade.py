"""Migrations: an owner at a time, interrupted and repeated, kept tables, refused revisions."""

from __future__ import annotations

import asyncio
import logging
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect
from sqlalchemy.engine.interfaces import ReflectedIndex

import gateway.directory.tables  # noqa: F401 - the core's, too: it adds them to the metadata
from gateway.errors import StartupError
from gateway.store.engine import create_missing, open_engine, parse_url, sqlite_path
from gateway.store.schema import metadata
from gateway.store.upgrade import (
    CORE,
    Applied,
    Owner,
    OwnerStatus,
    check,
    is_empty,
    owners_of,
    prepare,
    status,
    upgrade,
)
from tests.databases import sqlite_only, table_names

REVISION = '''"""{doc}."""

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
    {body}
'''
CORE_REVISIONS = ["core_0001", "core_0002", "core_0003", "core_0004"]
CREATE = 'op.create_table("{name}", sa.Column("id", sa.Integer, primary_key=True))'


@dataclass
class Plugin:
    """A plugin's folder of revisions."""

    folder: Path

    @property
    def owner(self) -> Owner:
        return Owner("vip", str(self.folder))

    def add(self, revision: str, body: str, *, after: str | None = None) -> None:
        text = REVISION.format(doc=f"Revision {revision}", revision=revision, down=after, body=body)
        (self.folder / f"{revision}.py").write_text(text)


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    plugin = Plugin(tmp_path / "migrations")
    plugin.folder.mkdir()
    plugin.add("vip_1", CREATE.format(name="vip_list"))
    return plugin


def shape(connection: Connection) -> dict[str, str]:
    """Each table's columns, keys, indexes and references, as the database tells them."""
    found = inspect(connection)
    return {
        table: "\n".join(
            sorted(map(str, [
                *found.get_columns(table), found.get_pk_constraint(table), *map(_in_words, found.get_indexes(table)),
                *found.get_unique_constraints(table), *found.get_foreign_keys(table),
            ]))
        )
        for table in found.get_table_names() if not table.startswith("alembic_version_")
    }  # fmt: skip


def _in_words(index: ReflectedIndex) -> dict[str, Any]:
    """Conditions are objects that equal nothing but themselves."""
    return {**index, "dialect_options": {name: str(text) for name, text in index.get("dialect_options", {}).items()}}


def test_the_core_s_revisions_make_the_tables_of_the_schema(store_url: str) -> None:
    upgrade(store_url, [CORE])
    with open_engine(parse_url(store_url), "migrate").begin() as connection:
        migrated = shape(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert shape(connection) == migrated
    assert {"journal_entry", "journal_step", "job", "trace"} <= migrated.keys()


def test_an_upgrade_says_what_it_ran_and_has_nothing_to_do_the_second_time(store_url: str, plugin: Plugin) -> None:
    applied = upgrade(store_url, [CORE, plugin.owner])
    assert [step.owner for step in applied] == ["core"] * len(CORE_REVISIONS) + ["vip"]
    assert applied[-1] == Applied("vip", "vip_1", "Revision vip_1.")
    assert upgrade(store_url, [CORE, plugin.owner]) == []
    assert {"journal_entry", "vip_list", "alembic_version_core", "alembic_version_vip"} <= table_names(store_url)


@sqlite_only
def test_a_new_file_is_its_owner_s_alone(store_url: str, tmp_path: Path) -> None:
    upgrade(store_url, [CORE])
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("test.db*")} == {0o600}


def test_status_before_and_after(store_url: str, plugin: Plugin, tmp_path: Path) -> None:
    plugin.add("vip_2", CREATE.format(name="vip_more"), after="vip_1")
    before = status(store_url, [plugin.owner])
    assert before == [OwnerStatus("vip", None, "vip_2", ("vip_1", "vip_2"))]
    assert not before[0].ready
    assert not list(tmp_path.glob("test.db*"))  # looking creates nothing
    upgrade(store_url, [plugin.owner])
    after = status(store_url, [plugin.owner])
    assert after == [OwnerStatus("vip", "vip_2", "vip_2")]
    assert after[0].ready


def test_only_what_is_missing_is_run(store_url: str, plugin: Plugin) -> None:
    upgrade(store_url, [plugin.owner])
    plugin.add("vip_2", CREATE.format(name="vip_more"), after="vip_1")
    assert status(store_url, [plugin.owner]) == [OwnerStatus("vip", "vip_1", "vip_2", ("vip_2",))]
    assert [step.revision for step in upgrade(store_url, [plugin.owner])] == ["vip_2"]


def test_a_removed_plugin_s_tables_are_kept_and_shown(store_url: str, plugin: Plugin) -> None:
    upgrade(store_url, [CORE, plugin.owner])
    kept = status(store_url, [CORE])[-1]
    assert kept == OwnerStatus("vip", "vip_1", None, orphaned=True)
    check(store_url, [CORE])
    assert "vip_list" in table_names(store_url)
    assert upgrade(store_url, [CORE, plugin.owner]) == []  # and it may come back


@pytest.mark.parametrize(
    ("location", "found"),
    [("gateway.store:migrations", True), ("gateway.store.migrations", True), ("gateway.nowhere:migrations", False)],
)
def test_where_revisions_are(store_url: str, location: str, found: bool) -> None:
    if found:
        assert status(store_url, [Owner("core", location)])[0].head is not None
    else:
        with pytest.raises(StartupError, match="the migrations of core failed: ModuleNotFoundError"):
            status(store_url, [Owner("core", location)])


def test_owners_are_the_core_and_then_the_plugins_with_tables_in_order() -> None:
    assert owners_of([("b", "b:migrations"), ("without", ""), ("a", "a:migrations")]) == [
        CORE,
        Owner("b", "b:migrations"),
        Owner("a", "a:migrations"),
    ]


def test_s15_a_failing_migration_leaves_nothing_of_its_owner_and_all_of_those_before(
    store_url: str, plugin: Plugin
) -> None:
    plugin.add("vip_2", 'raise LookupError("no such moon")', after="vip_1")
    with pytest.raises(StartupError, match=r"^the migration of vip failed: LookupError: no such moon$"):
        upgrade(store_url, [CORE, plugin.owner])
    assert "journal_entry" in table_names(store_url)
    assert "vip_list" not in table_names(store_url)
    plugin.add("vip_2", CREATE.format(name="vip_more"), after="vip_1")
    assert [step.revision for step in upgrade(store_url, [CORE, plugin.owner])] == ["vip_1", "vip_2"]


async def test_s15_a_migration_that_was_killed_can_be_run_again(store_url: str, plugin: Plugin, tmp_path: Path) -> None:
    marker = tmp_path / "kill"
    marker.touch()
    die = f"    if Path({str(marker)!r}).exists(): os.kill(os.getpid(), signal.SIGKILL)"
    plugin.add("vip_2", CREATE.format(name="vip_more") + "\n" + die, after="vip_1")
    script = (
        "import sys; from gateway.store.upgrade import CORE, Owner, upgrade;"
        "upgrade(sys.argv[1], [CORE, Owner('vip', sys.argv[2])])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, store_url, str(plugin.folder))
    assert await process.wait() == -9
    assert status(store_url, [CORE, plugin.owner])[1].current is None
    with pytest.raises(StartupError, match="run `stellwerk db upgrade`"):
        check(store_url, [CORE, plugin.owner])
    marker.unlink()
    assert [step.revision for step in upgrade(store_url, [CORE, plugin.owner])] == ["vip_1", "vip_2"]
    check(store_url, [CORE, plugin.owner])


async def test_two_upgrades_at_a_time_run_every_revision_once(store_url: str) -> None:
    script = "import sys; from gateway.store.upgrade import CORE, upgrade; print(len(upgrade(sys.argv[1], [CORE])))"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, store_url, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert sum(int(output) for output, _ in outputs) == len(CORE_REVISIONS)
    assert [owner.ready for owner in status(store_url, [CORE])] == [True]


def test_s15_a_revision_of_a_newer_version_is_refused(store_url: str, plugin: Plugin) -> None:
    plugin.add("vip_2", CREATE.format(name="vip_more"), after="vip_1")
    upgrade(store_url, [plugin.owner])
    (plugin.folder / "vip_2.py").unlink()
    assert status(store_url, [plugin.owner]) == [OwnerStatus("vip", "vip_2", "vip_1", unknown=True)]
    said = (
        r"the store has vip tables of revision vip_2, which this version does not know \(its newest is vip_1\); install"
    )
    with pytest.raises(StartupError, match=said):
        check(store_url, [plugin.owner])
    with pytest.raises(StartupError, match=said):
        upgrade(store_url, [plugin.owner])


def test_migrations_that_are_not_one_line_are_refused(store_url: str, plugin: Plugin) -> None:
    plugin.add("vip_2", "pass", after="vip_1")
    plugin.add("vip_3", "pass", after="vip_1")
    with pytest.raises(StartupError, match=r"the migrations of vip in .* are not one line: heads vip_2, vip_3"):
        upgrade(store_url, [plugin.owner])


BROKEN_REFERENCES = "would break references in vip_entry; nothing was changed|ForeignKeyViolation|violates foreign key"


def test_a_migration_that_breaks_references_changes_nothing(store_url: str, plugin: Plugin) -> None:
    (plugin.folder / "vip_1.py").unlink()
    plugin.add(
        "vip_1",
        'op.execute("CREATE TABLE vip_list (id INTEGER PRIMARY KEY)")\n'
        '    op.execute("CREATE TABLE vip_entry (list_id INTEGER REFERENCES vip_list (id))")\n'
        '    op.execute("INSERT INTO vip_entry VALUES (7)")',
    )
    with pytest.raises(StartupError, match=BROKEN_REFERENCES):
        upgrade(store_url, [plugin.owner])
    assert "vip_entry" not in table_names(store_url)


@sqlite_only
def test_an_empty_file_is_an_empty_store(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "test.db").touch()
    assert is_empty(store_url)
    assert [step.revision for step in prepare(store_url, [CORE])] == CORE_REVISIONS


def test_serve_creates_an_empty_store(store_url: str) -> None:
    assert is_empty(store_url)
    assert [step.revision for step in prepare(store_url, [CORE])] == CORE_REVISIONS
    assert not is_empty(store_url)
    assert prepare(store_url, [CORE]) == []


def test_serve_creates_a_store_whole_or_not_at_all(store_url: str, plugin: Plugin) -> None:
    plugin.add("vip_2", 'raise LookupError("no such moon")', after="vip_1")
    with pytest.raises(StartupError, match="the migration of vip failed"):
        prepare(store_url, [CORE, plugin.owner])
    assert is_empty(store_url)


def test_serve_migrates_an_older_store_only_when_told_to(store_url: str, plugin: Plugin) -> None:
    upgrade(store_url, [CORE])
    said = "the store has vip tables of revision none, expected vip_1; run `stellwerk db upgrade`, or set auto_upgrade"
    with pytest.raises(StartupError, match=said):
        prepare(store_url, [CORE, plugin.owner])
    assert [step.owner for step in prepare(store_url, [CORE, plugin.owner], auto_upgrade=True)] == ["vip"]


def test_a_store_whose_directory_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"store\.db cannot be created: No such file or directory; make its"):
        prepare(f"sqlite:///{tmp_path}/gone/store.db", [CORE])


def test_migrating_leaves_logging_as_it_is(store_url: str) -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    upgrade(store_url, [CORE])
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


@pytest.mark.parametrize(
    ("tables", "named"), [(["trace"], "trace"), (["d", "c", "trace", "b"], "b, c, d, ...")], ids=["clash", "no clash"]
)
@pytest.mark.parametrize("asked", [upgrade, prepare, status, check])
def test_a_database_of_another_program_is_left_alone(
    store_url: str, asked: Callable[..., object], tables: list[str], named: str
) -> None:
    url = parse_url(store_url)
    create_missing(url)
    with open_engine(url, "migrate").begin() as connection:
        for table in tables:
            connection.exec_driver_sql(f"CREATE TABLE {table} (id TEXT)")
    with pytest.raises(StartupError) as caught:
        asked(store_url, [CORE])
    assert str(caught.value).startswith("the store ")
    assert str(caught.value).endswith(f" holds tables of another program ({named}); set another url in [store]")
    assert str(sqlite_path(url) or url.database) in str(caught.value)
    assert table_names(store_url) == set(tables)
