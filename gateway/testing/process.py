"""The real `stellwerk serve` as a process, for what a gateway inside the test cannot show: reload, crash, limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.testing.dialogue import transact, transaction_id
from gateway.testing.messages import RECIPIENT, SENDER
from gateway.testing.outcomes import Sent, Trace, traced

PATIENCE_SECONDS = 60.0


class ProcessGateway:
    """One gateway in `directory`: stellwerk.toml, state, and in the file `output` what it prints.

    `wrapper` is a command that starts it, for example ("prlimit", "--as=1000000000"). The fixture `start_process` makes
    and stops it.
    """

    def __init__(self, directory: Path, config_text: str, wrapper: Sequence[str] = ()) -> None:
        self.directory = directory
        self.config = directory / "stellwerk.toml"
        self.config.write_text(config_text, encoding="utf-8")
        self._wrapper = wrapper
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `RuntimeError` with what it printed when it ends instead."""
        before = self.output.count("ready (process")
        with self._output.open("ab") as output:
            self._process = process = subprocess.Popen(  # noqa: S603 - the command under test
                [*self._wrapper, *_command("serve", self.config)],
                cwd=self.directory,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.wait_until(lambda: self.output.count("ready (process") > before or process.poll() is not None, "ready")
        if process.poll() is not None:
            self._process = None
            raise RuntimeError(f"stellwerk serve ended with {process.returncode}:\n{self.output}")

    def stop(self) -> None:
        """SIGTERM, and wait for the end. Raises `RuntimeError` when its exit status is not 0."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if status != 0:
            raise RuntimeError(f"stellwerk serve ended with {status}:\n{self.output}")

    def reload(self) -> None:
        """SIGHUP, and wait until the new generation has taken over. Raises `RuntimeError` when it was refused."""
        gone, refused = self.output.count("has gone"), self.output.count("the old one serves on")
        self.signal_reload()
        self.wait_until(
            lambda: self.output.count("has gone") > gone or self.output.count("the old one serves on") > refused,
            "reload",
        )
        if self.output.count("the old one serves on") > refused:
            # Why not stands in the lines that follow.
            self.wait_until(lambda: "\n" in self.output.rpartition("the old one serves on\n")[2], "the reason")
            raise RuntimeError(f"the new configuration was refused:\n{self.output}")

    def signal_reload(self) -> None:
        """SIGHUP, without waiting for anything: sessions that are open keep the old generation until they end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def address(self, listener: str = "mx") -> str:
        """Where a listener listens, "host:port"."""
        running = json.loads((self.directory / "state" / "running.json").read_text(encoding="utf-8"))
        return str(running["listeners"][listener])

    def send(self, content: bytes, to: str | Sequence[str] = RECIPIENT, *, sender: str = SENDER) -> Sent:
        """Send a message to the listener `mx` over a new connection. An empty `sender` is `<>`."""
        recipients = [to] if isinstance(to, str) else list(to)
        reply, replies = transact(self.address(), "smtp", sender, recipients, content)
        return Sent(reply, replies, transaction_id(reply), self.trace)

    def trace(self, transaction_id: str) -> Trace:
        """The story of a transaction, from `stellwerk trace`. Raises `LookupError` when there is none."""
        told: list[Trace] = []

        def is_there() -> bool:
            ran = self.command("trace", transaction_id, "--json")
            if ran.returncode == 0:
                told.append(traced(json.loads(ran.stdout)))
            return bool(told)

        self.wait_until(is_there, f"a trace of {transaction_id}")
        return told[0]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `stellwerk ARGUMENTS` with this gateway's configuration."""
        return subprocess.run(  # noqa: S603 - the command under test
            _command(*arguments, self.config), cwd=self.directory, capture_output=True, text=True, check=False
        )

    @property
    def output(self) -> str:
        """All that `serve` has printed so far, its log included."""
        return self._output.read_text(encoding="utf-8", errors="replace") if self._output.exists() else ""

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Raises `LookupError` when it does not hold within a minute."""
        end = time.monotonic() + PATIENCE_SECONDS  # a question may take as long as the pause
        while not holds():
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        else:
            return
        raise LookupError(f"{what} did not come within {PATIENCE_SECONDS:g} s; the gateway printed:\n{self.output}")


def _command(*arguments: str | Path) -> list[str]:
    *words, config = arguments
    return [sys.executable, "-m", "gateway.cli.main", *map(str, words), "--config", str(config)]
