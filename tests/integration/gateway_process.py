"""The gateway as its users run it: `stellwerk serve` as a process of its own. Nothing here imports the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.waiting import until

STELLWERK = Path(sys.executable).parent / "stellwerk"
HEEDING_SIGINT = ("env", "--default-signal=INT")
"""In front of a command that is to be interrupted: whoever runs the tests in the background has SIGINT ignored."""


class GatewayProcess:
    """One gateway with its configuration, state and log in `directory`.

    It may be stopped and started again, and keeps its state. What it prints goes to `directory/output`.
    """

    def __init__(self, directory: Path, config_text: str) -> None:
        self.config = directory / "stellwerk.toml"
        self.config.write_text(config_text)
        self._directory = directory
        self._output = directory / "output"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until it says that it is ready. AssertionError with all it printed when it ends instead."""
        already_printed = len(self.output)
        with self._output.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                STELLWERK,
                "serve",
                "--config",
                self.config,
                cwd=self._directory,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._process = process

        def is_ready() -> bool:
            printed = self.output[already_printed:]
            if process.returncode is not None:
                self._process = None
                raise AssertionError(f"stellwerk serve ended with {process.returncode}:\n{printed}")
            return any(line.startswith("ready") for line in printed.splitlines())

        await until(is_ready, "stellwerk serve is ready")

    async def stop(self) -> None:
        """SIGTERM, and wait for the end, which must be one with status 0. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            status = await asyncio.wait_for(process.wait(), 120)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"stellwerk serve did not stop at SIGTERM:\n{self.output}") from None
        if status != 0:
            raise AssertionError(f"stellwerk serve ended with {status}:\n{self.output}")

    async def reload(self) -> None:
        """SIGHUP, and wait until the new generation serves and the old one is gone."""
        assert self._process is not None
        old = set(self.workers())
        self._process.send_signal(signal.SIGHUP)
        await until(lambda: len(new := set(self.workers())) == len(old) and not new & old, "the gateway has reloaded")

    def kill_workers(self) -> None:
        """SIGKILL to every worker; the supervisor goes on and replaces them."""
        for worker in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    async def kill(self) -> None:
        """SIGKILL to the supervisor and every worker at once, as when the machine goes down."""
        process, self._process = self._process, None
        assert process is not None
        workers = self.workers(process)
        process.kill()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        await process.wait()

    def workers(self, process: asyncio.subprocess.Process | None = None) -> list[int]:
        """The process ids of the supervisor's children."""
        supervisor = process or self._process
        assert supervisor is not None
        children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    async def command(self, *arguments: str) -> str:
        """What `stellwerk ARGUMENTS --config FILE` prints. AssertionError when its exit status is not 0."""
        process = await asyncio.create_subprocess_exec(
            STELLWERK,
            *arguments,
            "--config",
            self.config,
            cwd=self._directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise AssertionError(
                f"stellwerk {' '.join(arguments)} ended with {process.returncode}:\n{(output + errors).decode()}"
            )
        return output.decode()

    async def trace(self, transaction_id: str) -> dict[str, Any]:
        """The story of one transaction as `stellwerk trace ID --json` tells it; waits until it is committed."""

        async def told() -> dict[str, Any]:
            try:
                story: dict[str, Any] = json.loads(await self.command("trace", transaction_id, "--json"))
            except AssertionError:
                return {}
            return story

        return await until(told, f"the trace knows {transaction_id}")

    @property
    def output(self) -> str:
        """All that `serve` has printed so far, its log included."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""


StartGateway = Callable[[str], Awaitable[GatewayProcess]]


@pytest.fixture
async def gateway_process(tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Start a gateway from the text of its configuration: `await gateway_process(text)`. It stops after the test."""
    directories = (tmp_path / f"gateway-{number}" for number in itertools.count(1))
    async with AsyncExitStack() as stack:

        async def start(config_text: str) -> GatewayProcess:
            directory = next(directories)
            directory.mkdir()
            process = GatewayProcess(directory, config_text)
            stack.push_async_callback(process.stop)
            await process.start()
            return process

        yield start
