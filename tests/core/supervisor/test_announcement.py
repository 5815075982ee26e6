"""What a start prints for a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import read
from gateway.supervisor.announcement import demo_command

EXAMPLE = """
[server]
hostname = "gw.example.test"
[[listener]]
name = "mx"
address = "127.0.0.1:0"
[next_hop.mail]
kind = "maildir"
path = "var/mail/{domain}/{local}"
[hosted."example.test"]
mailboxes = ["anna", "bo"]
"""


def test_the_command_that_is_printed_works_wherever_it_is_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "my clone"
    program = clone / ".venv/bin/stellwerk"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\npwd; echo "$@"\n')
    program.chmod(0o755)
    message = clone / "contrib/examples/hello.eml"
    message.parent.mkdir(parents=True)
    message.touch()
    monkeypatch.chdir(clone)
    monkeypatch.setattr(sys, "argv", [str(program)])
    command = demo_command(read(EXAMPLE), "conf/stellwerk.toml")
    assert command is not None
    ran = subprocess.run(["sh", "-c", command], cwd="/", capture_output=True, text=True, check=False)
    assert ran.stdout == (
        f"{clone}\nsend --config conf/stellwerk.toml --from bo@example.test --to anna@example.test "
        "contrib/examples/hello.eml\n"
    ), ran


def test_no_command_where_it_would_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo_command(read(EXAMPLE), "conf/stellwerk.toml") is None
