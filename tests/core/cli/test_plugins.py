"""`stellwerk plugins`: the chain as it would run, without a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.cli.in_process import config_file, run
from tests.core.gateways import plugin

FIRST = """
on_error = "skip"

@hookimpl
def register(self, registry):
    registry.tag("seen", "for tests")
    registry.job("note", "a note for tests")
    registry.table(Table("first_notes", MetaData(), Column("id", Text, primary_key=True)))

@hookimpl
def message_received(self): return None

@hookimpl
def plan_review(self): return None
"""
SECOND = "@hookimpl\ndef message_received(self): return None"
SETTINGS = '[plugin.second]\nmode = "shadow"\ntimeout_seconds = 2.5\n'


@pytest.fixture
def config(tmp_path: Path) -> str:
    plugin(tmp_path, "first", FIRST)
    plugin(tmp_path, "second", SECOND)
    return str(config_file(tmp_path, "second", "first", tables=SETTINGS))


def test_for_a_person(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(capsys, monkeypatch, "plugins", "--config", config)
    assert (ran.status, ran.errors) == (0, "")
    told = ran.output.splitlines()
    assert told[:2] == ["second\tlocal\ttempfail\t2.5\tshadow\t", "first\tlocal\tskip\t10.0\tlive\tfirst.seen"]
    assert "message_received\tsecond -> first" in told
    assert "plan_review\tfirst" in told
    assert "not in the chain: domain_check, forwarding, size_limit" in told[-1]
    assert not (tmp_path / "test.db").exists()


def test_as_json(config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(run(capsys, monkeypatch, "plugins", "--config", config, "--json").output)
    second, first = listed["plugins"]
    assert (second["name"], second["mode"], second["timeout_seconds"]) == ("second", "shadow", 2.5)
    assert first["tags"] == {"first.seen": "for tests"}
    assert first["jobs"] == {"note": "a note for tests"}
    assert first["tables"] == ["first_notes"]
    assert first["file"].endswith("first.py")
    assert listed["hooks"]["message_received"] == ["second", "first"]
    assert listed["hooks"]["smtp_mail"] == []
    assert {"domain_check", "size_limit"} <= set(listed["not_in_the_chain"])


def test_no_plugins(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run(capsys, monkeypatch, "plugins", "--config", str(config_file(tmp_path)), "--json")
    assert json.loads(ran.output)["plugins"] == []


def test_a_plugin_that_is_broken_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    ran = run(capsys, monkeypatch, "plugins", "--config", str(config_file(tmp_path, "broken")))
    assert (ran.status, ran.output, ran.errors.count("\n")) == (2, "", 1)
    assert "plugin broken cannot be imported: ModuleNotFoundError" in ran.errors


def test_local_plugins_are_listed_with_their_files(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path, "idle", SECOND)
    told = run(capsys, monkeypatch, "plugins", "--config", config).output.splitlines()
    assert f"second\t{tmp_path}/second.py" in told
    assert ", idle, size_limit" in told[-1]


def test_tags_and_headers_of_every_plugin(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(capsys, monkeypatch, "plugins", "describe", "--config", config, "--json")
    told = {each["plugin"]: each for each in json.loads(ran.output)}
    assert told["first"]["tags"] == {"first.seen": "for tests"}
    assert told["size_limit"]["headers"] == "None."
    assert "first.seen\tfor tests" in run(capsys, monkeypatch, "plugins", "describe", "--config", config).output
    page = run(capsys, monkeypatch, "plugins", "describe", "--config", config, "--markdown").output
    assert "## first\n" in page
    assert "| `first.seen` | for tests |" in page


def test_the_settings_of_local_plugins_are_described_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "class Own(Settings):\n    word: str = Field('x', description='what to look for')"
    plugin(tmp_path, "own", "config_model = Own\n" + SECOND, more)
    wrong = str(config_file(tmp_path, "own", tables='[plugin.own]\nwort = "y"\n'))
    described = run(capsys, monkeypatch, "config", "describe", "--config", wrong)
    assert described.status == 0, "what it describes helps to get it right"
    assert "[plugin.own]" in described.output
    assert "what to look for" in described.output
    checked = run(capsys, monkeypatch, "config", "check", "--config", wrong)
    assert checked.status == 2
    assert "found the unknown key plugin.own.wort; did you mean" in checked.errors
    idle = str(config_file(tmp_path, tables='[plugin.own]\nword = "y"\n'))
    assert run(capsys, monkeypatch, "config", "check", "--config", idle).status == 0, "settings of one that rests"
