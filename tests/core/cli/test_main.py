"""The command line as a whole: it answers fast, and an expected failure is a line and an exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway.cli.main import COMMANDS, stellwerk

CHECKOUT = Path(__file__).parents[3]
HEAVY = ("pydantic", "sqlalchemy", "alembic", "aiosmtpd", "dns", "rich", "jinja2", "asyncio")


def run(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=options.get("cwd", CHECKOUT),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT)},
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from gateway.cli.main import stellwerk\n"
        "stellwerk(['--help'], standalone_mode=False)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert result.stderr.strip() == "[]"
    assert [name for name in COMMANDS if f"\n  {name} " not in result.stdout] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported_and_has_help(name: str) -> None:
    with click.Context(stellwerk) as context:
        command = stellwerk.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str()


def test_an_unknown_command_is_wrong_usage() -> None:
    result = run("srve")
    assert result.returncode == 2
    assert "No such command 'srve'" in result.stderr


@pytest.mark.parametrize("command", [["config", "check"], ["serve"], ["doctor"]])
def test_c2_a_wrong_configuration_is_exit_status_2_and_all_errors(tmp_path: Path, command: list[str]) -> None:
    config = tmp_path / "s.toml"
    config.write_text("[server]\nworkers = 0\nhostnam = 'x'\n")
    result = run(*command, "--config", str(config))
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert f'{config}:3: found the unknown key server.hostnam; did you mean "hostname"?' in lines
    assert f"{config}:2: found 0 at server.workers; expected a whole number, at least 1 and at most 64" in lines
    assert "Traceback" not in result.stderr


def test_config_check_says_that_plugins_come_later(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    config.write_text('plugins = ["nonsense"]\n[server]\nworkers = 0\n')
    assert run("config", "check", "--config", str(config)).stderr.splitlines()[-1] == (
        "(plugins are looked at once this is right)"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_config_check_knows_the_users_of_this_machine(tmp_path: Path) -> None:
    config = tmp_path / "s.toml"
    shipped = (CHECKOUT / "conf/stellwerk.toml").read_text()
    config.write_text(shipped.replace('# user = "stellwerk"', 'user = "nobody-of-that-name"'))
    result = run("config", "check", "--config", str(config))
    line = config.read_text().partition("user = ")[0].count("\n") + 1
    expected = f'{config}:{line}: server.user = "nobody-of-that-name": there is no such user; create it with: useradd'
    assert (result.returncode, result.stderr.startswith(expected)) == (2, True)


def test_a_missing_configuration_says_how_to_name_one(tmp_path: Path) -> None:
    result = run("config", "check", cwd=str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == (
        f"there is no {tmp_path}/conf/stellwerk.toml and no /etc/stellwerk/stellwerk.toml, "
        "and $STELLWERK_CONFIG is not set; name the file with --config\n"
    )


def test_describe_as_json_and_as_text() -> None:
    tables = json.loads(run("config", "describe", "--json").stdout)
    keys = [setting["key"] for table in tables for setting in table["settings"]]
    assert "limits.max_message_bytes" in keys
    assert "max_message_bytes" in run("config", "describe").stdout


def test_the_shipped_configuration_is_right() -> None:
    result = run("config", "check", "--config", "conf/stellwerk.toml")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "conf/stellwerk.toml: ok; listeners: mx, queue; next hops: mail; plugins: size_limit, domain_check\n"
    )
