"""Fixtures for pytest: `pytest_plugins = ["gateway.testing.pytest_plugin"]` in the topmost conftest.py of a project.

It is not loaded by itself: an installed gateway must not slow down or change anybody's other tests. Importing it
imports next to nothing; a test that uses no fixture pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gateway.testing import Clock, Sink, StartDns, StartGateway, StartProcess
    from gateway.testing.loop_thread import LoopThread


@pytest.fixture
def stellwerk_loop() -> Iterator[LoopThread]:
    """The event loop that gateway, sink and DNS server of this test run in, in a thread of its own."""
    from gateway.testing.loop_thread import LoopThread

    with LoopThread() as loop:
        yield loop


@pytest.fixture
def clock() -> Clock:
    """The time as the gateway and its plugins see it; it goes only when told to."""
    from gateway.testing import Clock

    return Clock()


@pytest.fixture
def sink(stellwerk_loop: LoopThread) -> Iterator[Sink]:
    """The next hop of `start_gateway` and `start_process`: records what it is given, answers as told."""
    from gateway.testing import Sink

    server = Sink()
    stellwerk_loop.run(server.__aenter__())
    yield server
    stellwerk_loop.run(server.__aexit__(None, None, None))


@pytest.fixture
def start_dns(stellwerk_loop: LoopThread) -> Iterator[StartDns]:
    """Start a DNS server with these records: for `start_gateway(dns=...)`."""
    from gateway.testing import StartDns

    start = StartDns(stellwerk_loop)
    yield start
    start.stop()


@pytest.fixture
def start_gateway(tmp_path: Path, stellwerk_loop: LoopThread, sink: Sink, clock: Clock) -> Iterator[StartGateway]:
    """Start a gateway with these plugins inside this process; milliseconds."""
    from gateway.testing import StartGateway

    start = StartGateway(tmp_path, stellwerk_loop, sink, clock)
    yield start
    start.stop()


@pytest.fixture
def start_process(tmp_path: Path, sink: Sink) -> Iterator[StartProcess]:
    """Start `stellwerk serve` as a process; seconds."""
    from gateway.testing import StartProcess

    start = StartProcess(tmp_path, sink)
    yield start
    start.stop()
