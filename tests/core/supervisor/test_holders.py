"""Who holds a port: found through /proc, and named on one line whatever its command line is."""

from __future__ import annotations

import subprocess
import sys

from gateway.supervisor.holders import holders_of

LISTENER = """import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
input()
"""


def test_the_holder_of_a_port_is_named_on_one_line() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        (holder,) = holders_of(int(process.stdout.readline()))
        process.communicate("\n")
    assert holder.process == process.pid
    assert holder.command.startswith(sys.executable[:40])
    assert "\n" not in str(holder)


def test_nobody_holds_a_port_that_is_free() -> None:
    with subprocess.Popen([sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.communicate(b"\n")
    assert holders_of(port) == []
