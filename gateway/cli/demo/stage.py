"""The throw-away gateway of the demo: its directory, its process, the commands run beside it, and what was claimed.

It runs commands as a person would type them and imports nothing of the gateway itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import click

from gateway.cli.output import printable
from gateway.errors import StartupError

SENDER = "pat@partner.test"
FILES = Path(__file__).with_name("files")
START_SECONDS = 120.0
STOP_SECONDS = 60.0
SEEN_SECONDS = 15.0
_POLL_SECONDS = 0.05
_SEEN_POLL_SECONDS = 0.25
_STELLWERK = (sys.executable, "-m", "gateway.cli.main")


class Ran(NamedTuple):
    """A command that has ended: its exit status and all that it printed."""

    status: int
    output: str


class Stage:
    """What a scene works with."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sent = 0
        self.claims = 0
        self.failed: list[str] = []
        self._environment = {name: value for name, value in os.environ.items() if name != "STELLWERK_CONFIG"}
        self._environment["PYTHONUNBUFFERED"] = "1"

    @classmethod
    @contextmanager
    def open(cls, *, keep: bool = False) -> Iterator[Stage]:
        """A running gateway, stopped at the end, however that comes. Raises `StartupError`."""
        with _ending_signals():
            directory = Path(tempfile.mkdtemp(prefix="stellwerk-demo-"))
            try:
                shutil.copytree(FILES, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
                stage = cls(directory)
                with stage._serving():
                    yield stage
            finally:
                if keep:
                    click.echo(f"\nleft in {directory}; go on with: cd {directory} && stellwerk serve")
                else:
                    shutil.rmtree(directory, ignore_errors=True)

    def send(self, recipient: str, message: str) -> Ran:
        """`stellwerk send` from a partner, shown from MAIL on: the greeting is the same each time."""
        command = ("stellwerk", "send", "--from", SENDER, "--to", recipient, message)
        return self.run(*command, beginning_with="> MAIL")

    def send_until(self, heard: str, recipient: str, message: str) -> Ran:
        """`send` after a change of the directory: again until `heard` is in what it prints. The last try.

        Starting a command takes longer than the gateway needs to see a change, so that one try is the rule.
        """
        patience = time.monotonic() + SEEN_SECONDS
        while True:
            sent = self.send(recipient, message)
            if heard in sent.output or time.monotonic() > patience:
                return sent
            time.sleep(_SEEN_POLL_SECONDS)

    def run(self, *command: str, beginning_with: str = "") -> Ran:
        """Show a command, run it in the directory, and show what it prints, all of it or from a certain line on."""
        click.secho(f"  $ {shlex.join(command)}", bold=True)
        self.sent += command[:2] == ("stellwerk", "send")
        real = (*_STELLWERK, *command[1:]) if command[0] == "stellwerk" else command
        ended = subprocess.run(  # noqa: S603 - the demo's own commands
            real,
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = ended.stdout.decode("utf-8", "replace")
        lines = output.splitlines()
        first = next((index for index, line in enumerate(lines) if line.startswith(beginning_with)), 0)
        for line in ["..."] * (first > 0) + lines[first:]:
            click.echo(f"    {printable(line.expandtabs(4))}".rstrip())
        return Ran(ended.returncode, output)

    def write(self, name: str, content: bytes) -> str:
        """Put a file into the directory. Its name."""
        (self.directory / name).write_bytes(content)
        return name

    def mail_of(self, mailbox: str) -> list[Path]:
        """The messages of a mailbox (of example.test if no domain is said), oldest first, relative to the directory."""
        local, _, domain = mailbox.partition("@")
        new = self.directory / "mail" / (domain or "example.test") / local / "new"
        files = sorted(new.glob("*"), key=lambda file: file.stat().st_mtime_ns)
        return [file.relative_to(self.directory) for file in files]

    def claim(self, what: str, holds: bool) -> None:
        """Say what the scene has shown. One that does not hold makes the demo end with exit status 1."""
        self.claims += 1
        if holds:
            click.echo(f"  -> {what}")
            return
        self.failed.append(what)
        click.secho(f"  -> NOT SO: {what}", fg="red", bold=True)

    @contextmanager
    def _serving(self) -> Iterator[None]:
        said, log = self.directory / "serve.out", self.directory / "serve.log"
        click.secho("$ stellwerk serve", bold=True)
        with said.open("wb") as output, log.open("wb") as errors:
            # A session of its own: Ctrl-C is for the demo, which then stops the gateway in order.
            process = subprocess.Popen(  # noqa: S603
                [*_STELLWERK, "serve"],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(process, said, log)
            yield
        finally:
            _stop(process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], said: Path, log: Path) -> None:
        patience = time.monotonic() + START_SECONDS
        while True:
            lines = said.read_text(errors="replace").splitlines()
            if any(line.startswith("ready") for line in lines):
                for line in lines:
                    click.echo(f"  {printable(line)}")
                return
            if process.poll() is not None or time.monotonic() > patience:
                why = log.read_text(errors="replace").strip()
                raise StartupError(f"the gateway of the demo did not start; it said:\n{why}")
            time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _ending_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the demo like Ctrl-C does, so that neither a process nor a directory is left."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
