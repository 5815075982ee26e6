"""Import and export as commands: exit status, what is said, a bar on a terminal, and how much memory it takes."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.databases import MadeOnce
from tests.integration.gateway_process import STELLWERK

PEOPLE = "address,context,name\neva@acme.test,plant,Eva\nfinn@acme.test,plant,Finn\n"
BOXES = "address,context,owner,aliases\neva@acme.test,plant,eva@acme.test,e@acme.test\nshop@acme.test,plant,,\n"


@pytest.fixture
def config(made_once: MadeOnce, tmp_path: Path) -> Path:
    return make_town(tmp_path, made_once)


@pytest.fixture
def stellwerk(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stellwerk:
    return caller(config, capsys, monkeypatch)


def file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "file.csv"
    path.write_text(text)
    return str(path)


def test_people_and_mailboxes_come_in_and_go_out(stellwerk: Stellwerk, tmp_path: Path) -> None:
    for noun, text, what in (("user", PEOPLE, "people"), ("mailbox", BOXES, "mailboxes")):
        tried = stellwerk(noun, "import", file(tmp_path, text), "--dry-run")
        assert (tried.status, tried.errors) == (0, "")
        assert tried.output == f"would import 2 {what}; nothing was changed (--dry-run)\n"
        done = stellwerk(noun, "import", file(tmp_path, text))
        assert (done.status, done.output, done.errors) == (0, f"imported 2 {what}\n", "")
    exported = stellwerk("mailbox", "export", "--context", "acme/plant").output
    assert "acme,plant,eva@acme.test,personal,eva@acme.test,,yes,no,,,e@acme.test," in exported
    assert "acme,plant,shop@acme.test,personal,anna@acme.test,,yes,no,,,," in exported
    target = tmp_path / "people.csv"
    ran = stellwerk("user", "export", "--to", str(target), "--as", "bo@acme.test")
    assert ran.output == f"wrote 3 rows to {target}\n"
    lines = target.read_bytes().split(b"\r\n")
    assert lines[0] == b"organisation,context,address,name,role,language,phone,extension,deputy,state"
    assert lines[1] == b"acme,plant,bo@acme.test,Bo Dahl,member,en,,,,active"
    [entry] = json.loads(stellwerk("directory", "log", "--action", "mailbox.import", "--json").output)
    assert entry["after"] == {"addresses": ["eva@acme.test", "shop@acme.test"]}


EXPORTS = [
    "user export",
    "mailbox export",
    "addressbook export --context acme/sales",
    "person export bo@acme.test",
]


@pytest.mark.parametrize("words", EXPORTS)
def test_an_export_is_for_whoever_made_it_and_overwrites_only_by_force(
    stellwerk: Stellwerk, tmp_path: Path, words: str
) -> None:
    target = tmp_path / "export"
    export = (*words.split(), "--to", str(target))
    assert stellwerk(*export).output.endswith(f" to {target}\n")
    written = target.read_bytes()
    assert (stat.S_IMODE(target.stat().st_mode), written) == (0o600, stellwerk(*words.split()).output.encode())
    target.write_bytes(b"mine")
    ran = stellwerk(*export)
    assert (ran.status, ran.output, ran.errors) == (
        1,
        "",
        f"{target} is there already and was left as it is; name another file, or say --force\n",
    )
    assert target.read_bytes() == b"mine"
    target.chmod(0o644)
    assert stellwerk(*export, "--force").status == 0
    assert (stat.S_IMODE(target.stat().st_mode), target.read_bytes()) == (0o600, written)
    nowhere = stellwerk(*words.split(), "--to", str(tmp_path / "no" / "export"))
    assert (nowhere.status, nowhere.errors) == (
        1,
        f"{tmp_path}/no is no directory; make it, or name another place\n",
    )


def test_what_an_export_leaves_out_is_told(stellwerk: Stellwerk) -> None:
    for words in (
        "user add dora@acme.test --context sales --role context_admin",
        "mailbox set team@acme.test --owner bo@acme.test",
    ):
        assert stellwerk(*words.split()).status == 0
    ran = stellwerk("mailbox", "export", "--as", "dora@acme.test")
    assert ran.errors.startswith("1 mailbox was left out: an owner or member is of a context that you do not see")
    assert ("bo@acme.test" in ran.output, "anna@acme.test" in ran.output) == (False, True)


def test_every_error_with_its_line(stellwerk: Stellwerk, tmp_path: Path) -> None:
    path = file(tmp_path, "address,context\nnobody,plant\nx@acme.test,lab\nteam@acme.test,plant\n")
    ran = stellwerk("mailbox", "import", path)
    assert (ran.status, ran.output) == (1, "")
    told = ran.errors.splitlines()
    assert [line.partition(": ")[0] for line in told[:-1]] == [f"{path}:2", f"{path}:3", f"{path}:4"]
    assert told[-1] == f"nothing was imported: 3 errors in {path}"
    missing = stellwerk("user", "import", str(tmp_path / "missing.csv"))
    assert (missing.status, "cannot be read: No such file" in missing.errors) == (2, True)


def test_on_a_terminal_a_bar_shows_how_far_it_is(config: Path, tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    ran = subprocess.Popen(
        [STELLWERK, "user", "import", file(tmp_path, PEOPLE), "--config", str(config)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(controller, 65_536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(controller)
    output, _ = ran.communicate()
    assert (ran.returncode, output) == (0, b"imported 2 people\n")
    assert b"checking" in shown
    assert b"writing" in shown
    assert b"2/2" in shown


def peak_of_import(config: Path, tmp_path: Path, rows: str) -> tuple[int, str, int]:
    """Exit status of an import of mailboxes into acme/sales, what it said, and the most memory it took, in KiB."""
    path = file(tmp_path, rows)
    command = [str(STELLWERK), "mailbox", "import", path, "--context", "acme/sales", "--config", str(config)]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, (tmp_path / "output").read_text(), usage.ru_maxrss


@pytest.mark.slow
def test_100_000_mailboxes_stay_under_300_mb(stellwerk: Stellwerk, config: Path, tmp_path: Path) -> None:
    rows = "".join(f"some.body.{n}@acme.test,Some Body {n},alias.{n}@acme.test\n" for n in range(100_000))
    status, said, kibibytes = peak_of_import(config, tmp_path, "address,display_name,aliases\n" + rows)
    assert (status, said) == (0, "imported 100000 mailboxes\n")
    assert kibibytes < 300 * 1024
    domains = json.loads(stellwerk("domain", "list", "--json").output)
    assert {row["name"]: row["addresses"] for row in domains}["acme.test"] == 200_004


@pytest.mark.slow
def test_100_000_wrong_lines_stay_under_300_mb_too(config: Path, tmp_path: Path) -> None:
    rows = "".join(f"some.body.{n}@acme.test,private,maybe,alias.{n}@nowhere.test\n" for n in range(100_000))
    status, said, kibibytes = peak_of_import(config, tmp_path, "address,kind,vip,aliases\n" + rows)
    assert (status, said.splitlines()[-1].partition(" in ")[0]) == (1, "nothing was imported: 300000 errors")
    assert kibibytes < 300 * 1024
