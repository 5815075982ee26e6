"""Notifications to systemd and sockets from it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StartupError
from gateway.supervisor import systemd
from tests.core.supervisor.serving import Serving

pytestmark = pytest.mark.slow  # each test starts processes or whole gateways

_AS_SYSTEMD = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


async def said(receiver: socket.socket) -> str:
    return (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(receiver, 4096), 60)).decode()


async def test_ready_reloading_and_stopping_are_told(serving: Serving, notified: socket.socket) -> None:
    await serving.launch({"NOTIFY_SOCKET": notified.getsockname()})
    assert await said(notified) == f"READY=1\nMAINPID={serving.process.pid}"
    serving.signal(signal.SIGHUP)
    assert (await said(notified)).startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert await said(notified) == "READY=1"
    serving.signal(signal.SIGTERM)
    assert await said(notified) == "STOPPING=1"
    assert await serving.ended() == 0


def test_nobody_to_notify_is_no_error(tmp_path: Path) -> None:
    systemd.notify("READY=1", {})
    systemd.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert not (tmp_path / "nobody").exists()


async def test_a_socket_from_systemd_is_used_for_the_listener_of_its_name(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        serving.configure(server="workers = 2", address="127.0.0.1:1")
        await serving.launch(
            {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "mx"},
            wrapper=[sys.executable, "-c", _AS_SYSTEMD, str(passed.fileno())],
            pass_fds=[passed.fileno()],
        )
        await serving.says("ready\n")
    assert f"mx  smtp on 127.0.0.1:{port} (inbound)" in serving.output
    first = await serving.ask()
    serving.signal(signal.SIGHUP)
    await serving.says("generation 1 has gone")
    assert (await serving.ask())["instance"] != first["instance"]
    assert await serving.stop() == 0


async def test_a_socket_for_no_listener_is_refused(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        await serving.launch(
            {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"},
            wrapper=[sys.executable, "-c", _AS_SYSTEMD, str(passed.fileno())],
            pass_fds=[passed.fileno()],
        )
        assert await serving.ended() == 1
    assert 'systemd passed a socket called "smtp", and no listener has that name; there are: mx.' in serving.output


def test_sockets_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "mx", "HOME": "/"}
    assert systemd.inherited_sockets(environment) == {}
    assert environment == {"HOME": "/"}


def test_two_sockets_of_one_name_are_refused() -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "mx:mx"}
    with pytest.raises(StartupError, match='two sockets called "mx"'):
        systemd.inherited_sockets(environment)
