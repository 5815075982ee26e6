"""`stellwerk explain`: what is printed, the exit status, and that nothing is left behind."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.core.cli.in_process import config_file, run
from tests.core.gateways import HELLO, plugin

CHAIN = """
@hookimpl
def register(self, registry):
    registry.table(notes)
    registry.job("note", "for tests")

@hookimpl
def route_recipient(self, recipient):
    if recipient.local == "team":
        return Redirect((Address("anna", "example.test"),), True, rule="rule 7", reason="on leave")
    if recipient.local == "gone":
        return Discard("left the company")

@hookimpl
def message_annotate(self, message):
    vip = AddHeader("X-VIP", "yes", ForRecipient(Address("anna", "example.test")))
    return [AddHeader("X-Note", "1"), vip, Record("chain_notes", {"id": "1"}), Job("note", {}, "key")]
"""
NOTES = 'notes = Table("chain_notes", MetaData(), Column("id", Text, primary_key=True))'


@pytest.fixture
def message(tmp_path: Path) -> str:
    (tmp_path / "m.eml").write_bytes(HELLO.replace(b"\r\n", b"\n"))  # as an editor writes it
    return str(tmp_path / "m.eml")


def test_for_a_person(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path, "chain", CHAIN, NOTES)
    config = config_file(tmp_path, "chain")
    to = ["--to", "team@example.test", "--to", "gone@example.test"]
    ran = run(capsys, monkeypatch, "explain", "--config", str(config), "--from", "out@sender.test", *to, message)
    assert (ran.status, ran.errors) == (0, "")
    shown = [" ".join(line.split()) for line in ran.output.splitlines()]
    assert "team@example.test chain 'rule 7' (on leave) -> team@example.test via mail" in shown
    assert "team@example.test chain 'rule 7' (on leave) -> anna@example.test via mail" in shown
    assert any(line.startswith("gone@example.test chain") and "discard: left the company" in line for line in shown)
    assert "header + X-Note: 1" in shown
    assert "header + X-VIP: yes (some copies)" in shown
    assert "DKIM body and signed headers untouched" in shown
    assert "record chain_notes {'id': '1'}" in shown
    assert "job chain.note key" in shown
    assert shown[-1] == "reply 250 2.0.0 accepted"


def test_it_leaves_nothing_behind(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert (
        run(capsys, monkeypatch, "explain", "--config", str(config), "--to", "anna@example.test", message).status == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_as_json_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path)
    stdin = io.TextIOWrapper(io.BytesIO(b"Subject: x\n\nhello\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    to = ["--to", "anna@example.test"]
    ran = run(capsys, monkeypatch, "explain", "--config", str(config), "--json", *to, "--listener", "lmtp", "-")
    told = json.loads(ran.output)
    assert (told["size"], told["session"]["listener"], told["replies"][0]["code"]) == (21, "lmtp", 250)


@pytest.mark.parametrize(
    ("arguments", "status", "output", "errors"),
    [
        (["--to", "x@elsewhere.test"], 1, "refused at RCPT: 550 5.7.1 relaying denied", ""),
        (["--to", "anna@example.test", "--to", "x@elsewhere.test"], 1, "250 2.0.0 accepted", ""),
        (["--to", "anna"], 1, "refused at RCPT: 550 5.1.1 no such mailbox here: the address has no domain", ""),
        (["--to", "anna@[127.0.0.1]"], 1, "refused at RCPT: 550 5.1.2 address literals", ""),
        (["--to", "postmaster"], 0, "250 2.0.0 accepted", ""),
        (["--from", "<>", "--to", "anna@example.test"], 0, "250 2.0.0 accepted", ""),
        (["--from", "a@b@c", "--to", "anna@example.test"], 1, "501 5.1.7 malformed sender address: ", ""),
        (["--from", "x@[127.0.0.1]", "--to", "anna@example.test"], 1, "501 5.1.7 malformed sender address: ", ""),
        (["--from", "postmaster", "--to", "anna@example.test"], 1, "501 5.1.7 malformed sender address: ", ""),
        (["--from", "<@relay.test:a@b.test>", "--to", "anna@example.test"], 0, "250 2.0.0 accepted", ""),
        (["--client", "nope", "--to", "anna@example.test"], 2, "", 'found "nope"; expected an IP address'),
        (["--client", "::1", "--to", "anna@example.test"], 0, "250 2.0.0 accepted", ""),
        (["--to", "anna@example.test", "--listener", "mxx"], 2, "", "there is no listener 'mxx'"),
    ],
)
def test_exit_status(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], status: int, output: str, errors: str,
) -> None:  # fmt: skip
    ran = run(capsys, monkeypatch, "explain", "--config", str(config_file(tmp_path)), *arguments, message)
    assert ran.status == status
    assert output in ran.output
    assert errors in ran.errors
    assert "Traceback" not in ran.errors


def test_a_failing_plugin_is_shown_and_steers_no_terminal(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path, "broken", "@hookimpl\ndef message_received(self): raise RuntimeError('\\x1b[31mred')")
    config = config_file(tmp_path, "broken")
    ran = run(capsys, monkeypatch, "explain", "--config", str(config), "--to", "anna@example.test", message)
    assert ran.status == 1
    assert "broken failed in message_received (tempfail): RuntimeError: \\x1b[31mred" in ran.output
    assert "\x1b" not in ran.output


def test_a_plugin_that_cannot_be_loaded_is_one_line(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_file(tmp_path, "nothing_there")
    ran = run(capsys, monkeypatch, "explain", "--config", str(config), "--to", "anna@example.test", message)
    assert ran.status == 2
    assert ran.errors.count("\n") == 1
    assert "there is no plugin 'nothing_there'" in ran.errors
