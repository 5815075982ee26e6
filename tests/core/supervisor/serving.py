"""`Supervisor` as a process of its own with stand-in workers: `python -m tests.core.supervisor.serving FILE`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.errors import StellwerkError
from gateway.logs import start_logging
from gateway.supervisor.supervisor import Supervisor
from tests.integration.waiting import until

CHECKOUT = Path(__file__).parents[3]


class Serving:
    """One supervisor, its configuration and state in `directory`. What it prints is in `output`."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.config = directory / "s.toml"
        self.process: asyncio.subprocess.Process
        self.configure(**settings)

    def configure(
        self,
        *,
        address: str = "127.0.0.1:0",
        server: str = "",
        stand_in: str = "",
        extra: str = "",
    ) -> None:
        """Write the configuration: `server` and `stand_in` are keys of their tables, `extra` stands at the end."""
        self.config.write_text(
            f"""\
[server]
hostname = "gw.example.test"
state_dir = "{self.state}"
{server}
[[listener]]
name = "mx"
address = "{address}"
[next_hop.mail]
kind = "maildir"
path = "{self.directory}/mail/{{domain}}/{{local}}"
[plugin.stand_in]
{stand_in}
{extra}
"""
        )

    async def launch(
        self, environment: Mapping[str, str] | None = None, wrapper: Sequence[str] = (), **options: Any
    ) -> None:
        """Start it, by way of the command `wrapper` if there is one, without waiting for anything."""
        with (self.directory / "output").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *wrapper,
                sys.executable,
                "-m",
                __name__,
                str(self.config),
                cwd=CHECKOUT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                **options,
            )

    async def start(self) -> None:
        before = self.output.count("ready\n")
        await self.launch()
        await self.says("ready\n", times=before + 1)

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until `text` was printed so often. AssertionError when the supervisor ends first."""

        def has_said() -> bool:
            if self.output.count(text) >= times:
                return True
            assert self.process.returncode is None, f"it ended with {self.process.returncode}:\n{self.output}"
            return False

        await until(has_said, f"the supervisor says {text!r}")

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 60)

    async def stop(self) -> int:
        """SIGTERM, if it still runs, and its exit status."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.ended()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def output(self) -> str:
        path = self.directory / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def address(self) -> str:
        address: str = json.loads((self.state / "running.json").read_text())["listeners"]["mx"]
        return address

    async def connect(self) -> Client:
        """A connection to a worker, greeted."""
        if self.address.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(self.address.removeprefix("unix:"))
        else:
            host, _, port = self.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        greeting = json.loads(await asyncio.wait_for(reader.readline(), 60))
        return Client(reader, writer, greeting)

    async def ask(self) -> dict[str, Any]:
        """The greeting of a worker, over a connection that is closed again."""
        async with await self.connect() as client:
            return client.greeting


class Client:
    """A connection to a stand-in worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: dict[str, Any]) -> None:
        self.reader = reader
        self.writer = writer
        self.greeting = greeting

    async def say(self, line: str) -> None:
        self.writer.write(f"{line}\n".encode())
        await self.writer.drain()

    async def echo(self, line: str) -> str:
        await self.say(line)
        return (await asyncio.wait_for(self.reader.readline(), 60)).decode().strip()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def is_alive(process: int) -> bool:
    """Whether it still runs; one that only waits for its parent to notice its end does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def say(line: str) -> None:
    """Print in one write: log lines come from a thread of their own."""
    print(f"{line}\n", end="", flush=True)


def main() -> None:
    start_logging("debug")

    async def run() -> None:
        supervisor = Supervisor(Path(sys.argv[1]), say, "tests.core.supervisor.stand_in")
        await supervisor.run(lambda config: say("ready"))

    try:
        asyncio.run(run())
    except StellwerkError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
