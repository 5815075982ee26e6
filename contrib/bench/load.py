"""The ends of every measurement: smtp-source, which sends, and smtp-sink, which receives and counts. No relay here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contrib.bench.processes import BenchError, bytes_read, stop

SESSIONS = 20
SENDER = "load@bench.example"
RECIPIENT = "anna@example.test"
_SYSTEM_DIRECTORIES = "/usr/sbin:/usr/local/sbin"
_COUNT = re.compile(rb"mesg=(\d+)")


@dataclass(frozen=True)
class Workload:
    """One row of the table: `messages` of `size_bytes` each, over `SESSIONS` sessions at the same time.

    `reconnect` means one message per connection, otherwise each session keeps its connection. `sources` is the number
    of smtp-source processes that share the sessions: one process writes a message to the end before it turns to its
    next session, so messages larger than the socket buffers overlap only when every session has a process of its own.
    Message counts are multiples of `sources`.
    """

    key: str
    title: str
    size_bytes: int
    reconnect: bool
    messages: int
    quick_messages: int
    warm_up: int
    sources: int = 1


WORKLOADS = (
    Workload("4k-many", "4 KB, many per connection", 4096, False, 5000, 1000, 1000),
    Workload("4k-one", "4 KB, one per connection", 4096, True, 3000, 600, 600),
    Workload("100k-many", "100 KB, many per connection", 102_400, False, 1200, 200, 100),
    Workload("100k-one", "100 KB, one per connection", 102_400, True, 1200, 200, 100),
    Workload("10m-many", "10 MB, many per connection", 10_485_760, False, 40, 20, 20, SESSIONS),
    Workload("10m-one", "10 MB, one per connection", 10_485_760, True, 40, 20, 20, SESSIONS),
)


@dataclass(frozen=True)
class Received:
    """What smtp-sink has taken so far: messages it acknowledged, and bytes it read from the network."""

    messages: int
    bytes: int


class Sink:
    """A running smtp-sink on a loopback port; with `-c` it rewrites its counter at every final dot, before replying."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, counter: Path) -> None:
        self.pid = process.pid
        self.port = port
        self._process = process
        self._counter = counter

    def received(self) -> Received:
        # the two numbers are only read while the load rests, so they belong together
        with self._counter.open("rb") as counter:
            counter.seek(max(0, counter.seek(0, os.SEEK_END) - 200))
            counts = _COUNT.findall(counter.read())
        return Received(int(counts[-1]) if counts else 0, bytes_read(self.pid))


def tool(name: str) -> str | None:
    """Where `name` is, also in the directories of system tools that a user's PATH leaves out."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_DIRECTORIES)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_sink(directory: Path) -> Iterator[Sink]:
    program = tool("smtp-sink")
    if program is None:
        raise BenchError("smtp-sink is not installed; it comes with Debian's postfix package")
    port = free_port()
    # smtp-sink refuses to run as root without being told whom to become
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    counter = directory / "sink.counter"
    with counter.open("wb") as output:
        process = subprocess.Popen(
            [program, "-c", "-h", "sink.example", *user, f"127.0.0.1:{port}", "1024"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for_greeting(process, port, counter)
        yield Sink(process, port, counter)
    finally:
        stop(process, signal.SIGTERM)


def wait_for_greeting(process: subprocess.Popen[bytes], port: int, log: Path, timeout_seconds: float = 30) -> None:
    """Return when a server on `port` greets with 220. Raises `BenchError` with the last line of `log` otherwise."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"ended at start with status {process.returncode}: {last_line(log)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(512).startswith(b"220"):
                    connection.sendall(b"QUIT\r\n")
                    connection.recv(512)
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise BenchError(f"no greeting within {timeout_seconds:.0f} s: {last_line(log)}")


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip()[:300] if lines else "(no output)"


def send(workload: Workload, messages: int, port: int, timeout_seconds: float = 600) -> float:
    """Send `messages` of `workload` to loopback `port`; returns the seconds it took.

    Raises `BenchError` with smtp-source's own words when a reply was not the expected one.
    """
    program = tool("smtp-source")
    if program is None:
        raise BenchError("smtp-source is not installed; it comes with Debian's postfix package")
    sessions, share = SESSIONS // workload.sources, messages // workload.sources
    command = [program, "-s", str(sessions), "-m", str(share), "-l", str(workload.size_bytes)]
    command += ["-f", SENDER, "-t", RECIPIENT, "-M", "bench.example"]
    if not workload.reconnect:
        command.append("-d")
    started = time.monotonic()
    processes = [_source([*command, f"127.0.0.1:{port}"]) for _ in range(workload.sources)]
    try:
        words = [
            process.communicate(timeout=max(0.1, started + timeout_seconds - time.monotonic()))[1]
            for process in processes
        ]
    except subprocess.TimeoutExpired:
        raise BenchError(f"{messages} messages were not sent within {timeout_seconds:.0f} s") from None
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    elapsed = time.monotonic() - started
    for process, complaint in zip(processes, words, strict=True):
        if process.returncode:
            text = complaint.decode(errors="replace").strip().rpartition("fatal: ")[2]
            raise BenchError(f"smtp-source: {text[:200] or f'status {process.returncode}'}")
    return elapsed


def _source(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
