"""`stellwerk plugins new`: what it writes is clean and works as it stands, and what it refuses is one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.authoring import scaffold as scaffolding
from gateway.authoring.naming import ScaffoldError, class_name
from gateway.authoring.scaffold import scaffold
from tests.core.cli.in_process import run

CHECKOUT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent


def ran(directory: Path, *command: str) -> str:
    """What the command printed. It must end well."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_project_is_clean_and_passes_its_own_tests_as_generated(tmp_path: Path) -> None:
    scaffold("word_mark", tmp_path)
    project = tmp_path / "word_mark"
    assert "5 passed" in ran(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "no issues found" in ran(project, str(BIN / "mypy"), "--strict", ".")
    ran(project, str(BIN / "ruff"), "format", "--check", ".")
    ran(project, str(BIN / "ruff"), "check", "--no-cache", "--config", f"{CHECKOUT}/pyproject.toml", "word_mark")
    ran(project, str(BIN / "ruff"), "check", "--no-cache", "--select", "E,F,I,UP,B,RUF,PT", ".")
    assert "word_mark: nothing found" in ran(project, str(BIN / "stellwerk"), "plugins", "check", ".")


@pytest.mark.slow
def test_inside_the_checkout_it_goes_to_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    kept = shutil.ignore_patterns(".*", "__pycache__", "var")
    for part in ("gateway", "plugins", "tests"):
        shutil.copytree(CHECKOUT / part, checkout / part, ignore=kept)
    shutil.copy(CHECKOUT / "pyproject.toml", checkout)
    before = tomllib.loads((checkout / "pyproject.toml").read_text())
    monkeypatch.chdir(checkout / "tests")
    scaffold("word_mark", None)
    after = tomllib.loads((checkout / "pyproject.toml").read_text())
    points = after["project"]["entry-points"]["stellwerk.plugins"]
    assert points == {
        **before["project"]["entry-points"]["stellwerk.plugins"],
        "word_mark": "stellwerk_plugins.word_mark.plugin:WordMark",
    }
    contracts = {contract["name"]: contract for contract in after["tool"]["importlinter"]["contracts"]}
    assert "stellwerk_plugins.word_mark" in contracts["plugins do not import each other"]["modules"]
    ran(
        checkout,
        str(BIN / "ruff"),
        "format",
        "--check",
        "plugins/stellwerk_plugins/word_mark",
        "tests/plugins/word_mark",
    )
    ran(
        checkout,
        str(BIN / "ruff"),
        "check",
        "--no-cache",
        "plugins/stellwerk_plugins/word_mark",
        "tests/plugins/word_mark",
    )
    monkeypatch.setenv("PYTHONPATH", f"{checkout}:{checkout}/plugins")
    assert "5 passed" in ran(
        checkout, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/plugins/word_mark"
    )
    assert "no issues found" in ran(
        checkout, str(BIN / "mypy"), "--cache-dir=/dev/null", "-p", "stellwerk_plugins.word_mark"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Word-Mark", "'Word-Mark' is no plugin name: expected lower-case letters"),
        ("9lives", "try 'lives'"),
        ("", "try 'my_plugin'"),
        ("a" * 41, "at most 40 characters"),
        ("a/b", "try 'a_b'"),
        ("class", "'class' has a meaning of its own; try 'class_mail'"),
        ("core", "'core' has a meaning of its own"),
        ("size_limit", "there is an installed plugin 'size_limit' already"),
        ("calendar", "there is a Python module 'calendar' already, a package of yours would hide it"),
        ("aiosmtpd", "there is a Python module 'aiosmtpd' already"),
    ],
)
def test_a_bad_name_writes_nothing(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(ScaffoldError) as refused:
        scaffold(name, tmp_path)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "word_mark" / "word_mark").mkdir(parents=True)
    mine = tmp_path / "word_mark" / "word_mark" / "plugin.py"
    mine.write_text("mine")
    with pytest.raises(ScaffoldError, match="is there already; nothing was written"):
        scaffold("word_mark", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_checkout_is_known_by_its_project(tmp_path: Path) -> None:
    assert scaffolding.checkout_around(CHECKOUT / "docs") == CHECKOUT
    (tmp_path / "plugins" / "stellwerk_plugins").mkdir(parents=True)
    assert scaffolding.checkout_around(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert not scaffolding.is_checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text("no TOML")
    assert not scaffolding.is_checkout(tmp_path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(capsys, monkeypatch, "plugins", "new", "word_mark", "--into", str(tmp_path))
    assert made.status == 0
    assert f"wrote {tmp_path}/word_mark/word_mark/plugin.py" in made.output
    assert f'plugin_dir = "{tmp_path}/word_mark"' in made.output
    again = run(capsys, monkeypatch, "plugins", "new", "word_mark", "--into", str(tmp_path))
    assert (again.status, again.output, again.errors.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(("name", "expected"), [("vip", "Vip"), ("vip_tagging", "VipTagging"), ("a__b", "AB")])
def test_class_names(name: str, expected: str) -> None:
    assert class_name(name) == expected
