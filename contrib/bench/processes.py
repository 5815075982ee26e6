"""What the kernel says about a process and its descendants (proc(5)), and how to end them. Nothing about mail here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A measurement that cannot be made or must not be believed; the text is shown in its cell."""


@dataclass(frozen=True)
class Memory:
    """Peak resident memory in bytes: of all processes of a tree added up, and of its largest process."""

    total: int
    largest: int


def tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree, with children that ended and were waited for. Resolution: one tick, 10 ms."""
    ticks = 0
    for pid in tree(root):
        if fields := _stat(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_SECOND


def peak_memory(root: int) -> Memory:
    """VmHWM of the tree. The sum counts pages that processes share once for each of them: an upper bound."""
    peaks = [0]
    for pid in tree(root):
        with contextlib.suppress(OSError):
            status = (_PROC / str(pid) / "status").read_text().splitlines()
            peaks += [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")]
    return Memory(sum(peaks), max(peaks))


def bytes_read(pid: int) -> int:
    """Bytes that `pid` took in through read(2), sockets included."""
    for line in (_PROC / str(pid) / "io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise BenchError("this kernel does not count the bytes a process reads (/proc/PID/io)")


def stop(process: subprocess.Popen[bytes], how: signal.Signals, timeout_seconds: float = 15) -> None:
    """End a process that leads its own session, its descendants included."""
    if process.poll() is None:
        process.send_signal(how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout_seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None when the process is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
