"""`stellwerk postfix maps`: files for Postfix, and what to paste for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.postfix import postfix
from gateway.postfix_maps.files import MapsNotWritten

CONFIG = """\
[server]
hostname = "gw.example.test"
[store]
url = "sqlite:///{directory}/none.db"
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[next_hop.mail]
kind = "maildir"
path = "mail/{{domain}}/{{local}}"
[hosted."example.test"]
mailboxes = ["anna"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "stellwerk.toml"
    file.write_text(CONFIG.format(directory=tmp_path))
    (tmp_path / "maps").mkdir()
    return file


def run(config: Path, *arguments: str, directory: str = "maps") -> Result:
    return CliRunner().invoke(
        postfix, ["maps", "--config", str(config), *arguments, str(config.parent / directory)], catch_exceptions=True
    )


def test_without_a_database_there_is_the_configuration(config: Path) -> None:
    told = run(config)
    maps = config.parent / "maps"
    assert told.exit_code == 0
    assert f"{maps}/recipients: 3 entries, written\n" in told.output
    assert f"virtual_mailbox_maps = texthash:{maps}/recipients\n" in told.output
    assert f"-o smtpd_sender_login_maps=texthash:{maps}/sender-logins\n" in told.output
    assert (maps / "recipients").read_text() == (
        "anna@example.test example.test/anna/\n"
        "postmaster@example.test example.test/postmaster/\n"
        "postmaster@gw.example.test gw.example.test/postmaster/\n"
    )
    assert (maps / "domains").read_text() == "example.test example.test\n"
    assert not (config.parent / "none.db").exists()


def test_json_says_what_has_changed(config: Path) -> None:
    run(config)
    assert [(one["map"], one["entries"], one["changed"]) for one in json.loads(run(config, "--json").output)] == [
        ("recipients", 3, False),
        ("domains", 1, False),
        ("sender-logins", 0, False),
    ]


def test_a_missing_directory_is_told(config: Path) -> None:
    told = run(config, directory="elsewhere")
    assert isinstance(told.exception, MapsNotWritten)
    assert told.exception.exit_status == 1


def test_postmap_is_run_only_when_asked_for(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = config.parent / "postmap"
    program.write_text(
        f"#!/bin/sh\necho $1 >>{config.parent}/ran\ntest ${{1%%:*}} != bad || {{ echo no such type >&2; exit 1; }}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(config.parent), prepend=":")
    run(config)
    assert not (config.parent / "ran").exists()
    told = run(config, "--postmap", "lmdb")
    maps = config.parent / "maps"
    assert (config.parent / "ran").read_text().split() == [
        f"lmdb:{maps}/{name}" for name in ("recipients", "domains", "sender-logins")
    ]
    assert f"virtual_mailbox_maps = lmdb:{maps}/recipients\n" in told.output
    told = run(config, "--postmap", "bad")
    assert told.exit_code == 1
    assert "no such type" in told.output
