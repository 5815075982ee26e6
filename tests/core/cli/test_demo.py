"""The demo does what it claims, says so when it does not, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.demo import command as demo_command
from gateway.cli.demo import stage as demo_stage
from gateway.cli.demo.scene import Scene
from gateway.cli.demo.scenes import SCENES
from gateway.cli.demo.stage import Stage
from tests.core.cli.in_process import run
from tests.core.supervisor.serving import is_alive
from tests.integration.gateway_process import HEEDING_SIGINT, STELLWERK


def demo(directory: Path, *options: str) -> subprocess.Popen[str]:
    """The demo in a pipe, with `directory` for its temporary files and nobody who types."""
    return subprocess.Popen(
        [*HEEDING_SIGINT, STELLWERK, "demo", *options],
        env=os.environ | {"TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """All lines up to one with `text`."""
    assert process.stdout is not None
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


@pytest.mark.slow
def test_every_claim_holds(tmp_path: Path) -> None:
    with demo(tmp_path, "--step", "--keep") as process:
        output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, ""), output
    assert [scene.title for scene in SCENES if f"/{len(SCENES)}  {scene.title}\n" not in output] == []
    assert "\x1b" not in output
    claims = len(re.findall(r"^  -> ", output, re.MULTILINE))
    assert claims >= 2 * len(SCENES)
    assert f"All {claims} claims held." in output
    (directory,) = tmp_path.iterdir()
    assert f"left in {directory}" in output
    assert len(list(directory.glob("mail/example.test/*/new/*"))) == 7
    assert {box: len(list(directory.glob(f"mail/acme.test/{box}/new/*"))) for box in ("team", "anna")} == {
        "team": 1,
        "anna": 1,
    }
    assert not is_alive(_serving(output))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_early_end_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with demo(tmp_path) as process:
        seen = read_until(process, "1/")
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == status
    assert list(tmp_path.iterdir()) == []
    assert not is_alive(_serving(seen))


@pytest.mark.slow
def test_on_a_terminal_it_waits_for_a_key_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *HEEDING_SIGINT,
            "script",
            "--quiet",
            "--return",
            "--command",
            f"exec {STELLWERK} demo --step",  # a shell that stays would have a status of its own at Ctrl-C
            "/dev/null",
        ],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = read_until(process, "-- any key")
        process.stdin.write("\x03")
        process.stdin.flush()
        rest = process.stdout.read()
    assert (process.returncode, "2/" in rest, "Aborted!" in rest) == (1, False, True), rest
    assert "\x1b[1m" in seen
    assert list(tmp_path.iterdir()) == []
    assert not is_alive(_serving(seen))


def _serving(output: str) -> int:
    """The process of its gateway."""
    found = re.search(r"ready \(process (\d+)\)", output)
    assert found, output
    return int(found[1])


def test_a_claim_that_does_not_hold_is_exit_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(stage: Stage) -> None:
        ran = stage.run("printf", "a\\tb\\n\\033[1mbold")
        stage.claim("printf prints", ran.status == 0 and ran.output == "a\tb\n\x1b[1mbold")
        stage.claim("pigs fly", False)

    @contextmanager
    def opened(*, keep: bool) -> Iterator[Stage]:
        yield Stage(tmp_path)

    monkeypatch.setattr(Stage, "open", opened)
    monkeypatch.setattr(demo_command, "SCENES", (Scene("Pigs", "They do not.", play),))
    ran = run(capsys, monkeypatch, "demo")
    assert ran.status == 1
    assert ran.errors == "1 of 2 claims did not hold:\n  pigs fly\n"
    assert ran.output.splitlines()[1:-1] == [
        "1/1  Pigs",
        "They do not.",
        "  $ printf 'a\\tb\\n\\033[1mbold'",
        "    a   b",
        "    \\x1b[1mbold",
        "  -> printf prints",
        "  -> NOT SO: pigs fly",
    ]


def test_a_gateway_that_does_not_start_is_said_and_cleaned_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, temporary = tmp_path / "files", tmp_path / "temporary"
    (files / "conf").mkdir(parents=True)
    temporary.mkdir()
    (files / "conf" / "stellwerk.toml").write_text("[server]\nworkers = 0\n")
    monkeypatch.setattr(demo_stage, "FILES", files)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    ran = run(capsys, monkeypatch, "demo")
    assert ran.status == 1
    assert ran.errors.startswith("the gateway of the demo did not start; it said:\nconf/stellwerk.toml")
    assert "conf/stellwerk.toml:2: found 0 at server.workers" in ran.errors
    assert list(temporary.iterdir()) == []
