"""`stellwerk backup`, `restore` and `db new-epoch`: what they print, and their exit status."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.jobs.outbox import add_write
from gateway.routing.effects import Job
from gateway.store.store import Store
from gateway.store.upgrade import CORE, upgrade
from tests.core.cli.in_process import config_file, run
from tests.core.cli.running import Ran
from tests.core.gateways import NOW
from tests.databases import query, url_of

Stellwerk = Callable[..., Ran]


@pytest.fixture
def stellwerk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stellwerk:
    config = str(config_file(tmp_path))
    upgrade(url_of(tmp_path), [CORE])
    (tmp_path / "state").mkdir()
    (tmp_path / "state/secret").write_text("s" * 64)
    return lambda *words: run(capsys, monkeypatch, *words, "--config", config)


def add_job(directory: Path) -> None:
    async def add() -> None:
        store = Store.open(url_of(directory))
        await store.write([add_write("j1", Job("note", {}, "k1", "crm"), NOW)])
        await asyncio.to_thread(store.close)

    asyncio.run(add())


def test_a_backup_says_what_is_in_it_and_what_is_not(stellwerk: Stellwerk, tmp_path: Path) -> None:
    ran = stellwerk("backup", str(tmp_path / "b.tar"))
    assert (ran.status, ran.errors) == (0, "")
    first, *others = ran.output.splitlines()
    assert first.startswith(f"{tmp_path}/b.tar: ")
    assert "octets, SQLite " in first
    assert first.endswith(", core core_0004, epoch 0")
    assert others == [
        f"not in it: configuration: {tmp_path}/stellwerk.toml and the files it names (certificates, passwords)",
        f"not in it: your own plugins: {tmp_path}",
        f"not in it: mail in Maildirs of next hop mail: {tmp_path}/mail/{{domain}}/{{local}}",
    ]


def test_a_backup_as_json(stellwerk: Stellwerk, tmp_path: Path) -> None:
    told = json.loads(stellwerk("backup", "--json", str(tmp_path / "b.tar")).output)
    assert told["path"] == f"{tmp_path}/b.tar"
    assert told["size"] == (tmp_path / "b.tar").stat().st_size
    assert told["manifest"]["snapshot"] == {"revisions": {"core": "core_0004"}, "epoch": 0}
    assert [file["name"] for file in told["manifest"]["files"]] == ["database.sqlite3", "secret"]


def test_a_backup_overwrites_only_by_force(stellwerk: Stellwerk, tmp_path: Path) -> None:
    assert stellwerk("backup", str(tmp_path / "b.tar")).status == 0
    ran = stellwerk("backup", str(tmp_path / "b.tar"))
    assert (ran.status, ran.errors) == (
        1,
        f"{tmp_path}/b.tar is there already and was left as it is; name another file, or say --force\n",
    )
    assert stellwerk("backup", "--force", str(tmp_path / "b.tar")).status == 0


def test_a_check_changes_nothing(stellwerk: Stellwerk, tmp_path: Path) -> None:
    stellwerk("backup", str(tmp_path / "b.tar"))
    ran = stellwerk("restore", "--check", str(tmp_path / "b.tar"))
    assert ran.status == 0
    assert f"{tmp_path}/b.tar: sound; SQLite " in ran.output
    assert query(url_of(tmp_path), "SELECT * FROM meta") == []
    assert list(tmp_path.glob(".*")) == []
    with (tmp_path / "b.tar").open("r+b") as file:
        file.seek(20_000)
        file.write(b"x")
    ran = stellwerk("restore", "--check", str(tmp_path / "b.tar"))
    assert ran.status == 1
    assert "is damaged" in ran.errors


def test_a_restore_tells_what_was_kept_and_what_is_to_be_decided(stellwerk: Stellwerk, tmp_path: Path) -> None:
    add_job(tmp_path)
    stellwerk("backup", str(tmp_path / "b.tar"))
    ran = stellwerk("restore", "--yes", str(tmp_path / "b.tar"))
    assert ran.status == 0
    assert ran.output.splitlines()[1:] == ["kept from the database before: its journal, and 1 open jobs"]
    query(url_of(tmp_path), "DELETE FROM job")
    ran = stellwerk("restore", "--yes", str(tmp_path / "b.tar"))
    assert ran.output.splitlines()[2:] == [
        "1 jobs may have run since the backup; `stellwerk jobs retry ID` or `drop ID`:",
        "j1\tcrm.note\t2027-01-15 08:00:00Z",
    ]
    told = json.loads(stellwerk("restore", "--yes", "--json", str(tmp_path / "b.tar")).output)
    assert (told["epoch"], told["carried_over"], told["new_secret"]) == (3, True, False)


def test_a_restore_asks(stellwerk: Stellwerk, tmp_path: Path) -> None:
    stellwerk("backup", str(tmp_path / "b.tar"))
    ran = stellwerk("restore", str(tmp_path / "b.tar"))
    assert ran.status == 1
    assert "replace the present database with the backup of" in ran.output
    assert query(url_of(tmp_path), "SELECT * FROM meta") == []


def test_under_a_running_gateway_what_needs_a_stop_is_refused(stellwerk: Stellwerk, tmp_path: Path) -> None:
    stellwerk("backup", str(tmp_path / "b.tar"))
    (tmp_path / "state/secret").write_text("t" * 64)
    held = os.open(tmp_path / "state/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    ran = stellwerk("restore", "--yes", str(tmp_path / "b.tar"))
    refused = stellwerk("db", "new-epoch", "--yes")
    os.close(held)
    assert (ran.status, ran.errors.startswith("stop the gateway first: the backup has another secret")) == (1, True)
    assert (refused.status, refused.errors.startswith("the gateway is running: stop it")) == (1, True)
    assert query(url_of(tmp_path), "SELECT * FROM meta") == []
    ran = stellwerk("restore", "--yes", str(tmp_path / "b.tar"))
    assert "the secret was restored" in ran.output
    assert (tmp_path / "state/secret").read_text() == "s" * 64


def test_a_new_epoch(stellwerk: Stellwerk, tmp_path: Path) -> None:
    add_job(tmp_path)
    ran = stellwerk("db", "new-epoch", "--yes")
    assert (ran.status, ran.output.splitlines()[0]) == (0, "epoch 1 begins; what the journal knew is forgotten")
    assert ran.output.splitlines()[-1].startswith("j1\tcrm.note")


def test_wrong_usage_is_2(stellwerk: Stellwerk) -> None:
    assert stellwerk("backup").status == 2
    assert stellwerk("restore").status == 2


def test_a_file_that_is_not_there(stellwerk: Stellwerk, tmp_path: Path) -> None:
    ran = stellwerk("restore", str(tmp_path / "no.tar"))
    assert (ran.status, ran.errors) == (1, f"stellwerk: {tmp_path}/no.tar: No such file or directory\n")
