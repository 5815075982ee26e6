"""`stellwerk db upgrade` and `stellwerk db status`."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from gateway.cli.db import db
from gateway.cli.main import main
from gateway.store.engine import open_engine, parse_url
from tests.databases import postgresql_only, sqlite_only
from tests.postgresql import GUARDED, OWNER, PASSWORD

CONFIG = """\
plugins = []

[server]
hostname = "gw.example.test"
state_dir = "{state}"

[store]
url = "{url}"

[[listener]]
name = "mx"
address = "127.0.0.1:0"
direction = "inbound"

[next_hop.mail]
kind = "maildir"
path = "{state}/mail/{{domain}}/{{local}}"

[routing]
hosted = "mail"
outbound = "mail"
own = "mail"
"""


@pytest.fixture
def config(tmp_path: Path, store_url: str) -> Path:
    path = tmp_path / "stellwerk.toml"
    path.write_text(CONFIG.format(state=tmp_path, url=store_url))
    return path


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(db, [*words, "--config", str(config)], catch_exceptions=False)


def test_upgrade_and_status_in_a_pipe(config: Path) -> None:
    before = run(config, "status")
    assert (before.exit_code, before.output) == (1, "core\t-\tcore_0004\t4 pending: run `stellwerk db upgrade`\n")
    done = run(config, "upgrade")
    assert (done.exit_code, done.output.split("\t")[:2]) == (0, ["core", "core_0001"])
    again = run(config, "upgrade")
    assert (again.exit_code, again.output) == (0, "nothing to do: every table is at its newest revision\n")
    after = run(config, "status")
    assert (after.exit_code, after.output) == (0, "core\tcore_0004\tcore_0004\tready\n")


def test_upgrade_and_status_as_json(config: Path) -> None:
    assert [step["revision"] for step in json.loads(run(config, "upgrade", "--json").output)] == [
        "core_0001",
        "core_0002",
        "core_0003",
        "core_0004",
    ]
    assert json.loads(run(config, "upgrade", "--json").output) == []
    assert json.loads(run(config, "status", "--json").output) == [
        {
            "owner": "core",
            "current": "core_0004",
            "head": "core_0004",
            "pending": [],
            "orphaned": False,
            "unknown": False,
        }
    ]


@pytest.mark.parametrize(
    ("statement", "exit_code", "line"),
    [
        (
            "CREATE TABLE alembic_version_gone AS SELECT 'gone_4' AS version_num",
            0,
            "gone\tgone_4\t-\tkept: no configured plugin owns these tables",
        ),
        (
            "UPDATE alembic_version_core SET version_num = 'core_9999'",
            1,
            "core\tcore_9999\tcore_0004\tmade by a newer version: install it again, or restore a backup",
        ),
    ],
)
def test_status_of_tables_that_this_installation_does_not_know(
    config: Path, store_url: str, statement: str, exit_code: int, line: str
) -> None:
    run(config, "upgrade")
    with open_engine(parse_url(store_url), "write").begin() as connection:
        connection.exec_driver_sql(statement)
    result = run(config, "status")
    assert result.exit_code == exit_code
    assert line in result.output.splitlines()


@sqlite_only
def test_a_failure_is_one_line_and_no_traceback(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.db").write_bytes(b"garbage " * 2048)
    assert command(monkeypatch, config, "upgrade") == 1
    said = "is not available: file is not a database; restore it from a backup or correct [store] url"
    assert capsys.readouterr().err == f"the store {tmp_path}/test.db {said}\n"


def command(monkeypatch: pytest.MonkeyPatch, config: Path, *words: str) -> int | str | None:
    """`stellwerk db WORDS` as from a shell; its exit status."""
    monkeypatch.setattr(sys, "argv", ["stellwerk", "db", *words, "--config", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@postgresql_only
@pytest.mark.parametrize("word", ["upgrade", "status"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{port}/{name}", 'password authentication failed for user "guarded"; correct the user and password of'),
        ("1/{name}", "Connection refused; start the server, or correct host and port of [store] url"),
    ],
)
def test_c6_a_server_that_does_not_let_us_in_is_one_line_without_the_password(
    config: Path, store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str,
    said: str, word: str,
) -> None:  # fmt: skip
    url = make_url(store_url)
    there = place.format(port=url.port, name=url.database)
    config.write_text(config.read_text().replace(store_url, f"postgresql://{GUARDED}:verysecret@127.0.0.1:{there}"))
    assert command(monkeypatch, config, word) == 1
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
    assert "verysecret" not in errors


@postgresql_only
def test_a_role_that_may_not_make_tables(
    config: Path, store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = store_url.replace(f"//{OWNER}@", f"//{GUARDED}:{PASSWORD}@")
    config.write_text(config.read_text().replace(store_url, url))
    assert command(monkeypatch, config, "upgrade") == 1
    errors = capsys.readouterr().err
    assert "permission denied for schema public; the role of [store] url must own the database" in errors
    assert errors.count("\n") == 1


@postgresql_only
def test_without_the_driver(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert command(monkeypatch, config, "upgrade") == 1
    errors = capsys.readouterr().err
    assert "[store] url is PostgreSQL, but its driver is missing" in errors
    assert errors.endswith("install stellwerk[postgres]\n")


@sqlite_only
@pytest.mark.skipif(os.geteuid() != 0, reason="changes users, so it needs root")
def test_what_root_makes_belongs_to_the_workers(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("[server]", '[server]\nuser = "nobody"'))
    assert run(config, "upgrade").exit_code == 0
    assert run(config, "status").exit_code == 0
    nobody = pwd.getpwnam("nobody").pw_uid
    owners = {path.name: path.stat().st_uid for path in tmp_path.glob("test.db*")}
    assert owners["test.db"] == owners["test.db.lock"] == nobody
    assert set(owners.values()) == {nobody}


def test_asking_for_help_imports_no_database_library() -> None:
    script = "import sys; import gateway.cli.db; sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
