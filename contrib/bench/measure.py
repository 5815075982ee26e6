"""One measurement: start sink and subject, warm up, send, and check that every message and every byte arrived."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contrib.bench.load import Sink, Workload, free_port, running_sink, send, wait_for_greeting
from contrib.bench.processes import BenchError, cpu_seconds, peak_memory, stop
from contrib.bench.subjects import Place, Subject

# work that a server leaves for after its reply (closing a journal entry, a log line) belongs to the message
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Sample:
    """One round of one subject at one workload; memory is the peak since the server's start, in bytes."""

    messages: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    peak_bytes_largest: int

    @property
    def cpu_ms_per_message(self) -> float:
        return self.cpu_seconds * 1000 / self.messages

    @property
    def messages_per_second(self) -> float:
        return self.messages / self.seconds


def measure(subject: Subject, workload: Workload, messages: int, state: Path) -> Sample:
    """Start everything anew in a directory under `state`, send `messages`, stop everything.

    Raises `BenchError` when a server does not start, a reply is not the expected one, or something did not arrive.
    """
    with tempfile.TemporaryDirectory(dir=state, prefix="run-") as name, running_sink(Path(name)) as sink:
        if not subject.relays:
            return _sample(sink.pid, sink.port, sink, workload, messages)
        with _running(subject, Path(name), sink) as (pid, port):
            return _sample(pid, port, sink, workload, messages)


@contextmanager
def _running(subject: Subject, directory: Path, sink: Sink) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = subject.set_up(Place(directory, port, sink.port))
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for_greeting(process, port, log)
        yield process.pid, port
    finally:
        stop(process, signal.SIGTERM)


def _sample(pid: int, port: int, sink: Sink, workload: Workload, messages: int) -> Sample:
    send(workload, workload.warm_up, port)
    time.sleep(_SETTLE_SECONDS)
    received = sink.received()
    if received.messages != workload.warm_up:
        raise BenchError(f"{received.messages} of {workload.warm_up} warm-up messages arrived at the next hop")
    used = cpu_seconds(pid)
    seconds = send(workload, messages, port)
    time.sleep(_SETTLE_SECONDS)
    used = cpu_seconds(pid) - used
    memory = peak_memory(pid)
    arrived = sink.received()
    count, size = arrived.messages - received.messages, arrived.bytes - received.bytes
    if count != messages:
        raise BenchError(f"{count} of {messages} messages arrived at the next hop")
    if size < messages * workload.size_bytes:
        raise BenchError(f"{size} of at least {messages * workload.size_bytes} bytes arrived at the next hop")
    return Sample(messages, seconds, used, memory.total, memory.largest)
