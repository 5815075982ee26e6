"""On what a run was made: processor, kernel, versions, revision. Never a host name or a path."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from contrib.bench.load import tool
from contrib.bench.subjects import Subject


def describe(checkout: Path, subjects: list[Subject]) -> dict[str, str]:
    """Facts by name, in the order in which they are shown."""
    facts = {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before the run": f"{os.getloadavg()[0]:.2f}",
        "revision": _revision(checkout),
        "Python": platform.python_version(),
        "Postfix (smtp-source, smtp-sink)": _postfix(),
    }
    for subject in subjects:
        facts |= subject.versions()
    return facts


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _revision(checkout: Path) -> str:
    program = tool("git")
    if not program:
        return "unknown"
    git = [program, "-C", str(checkout)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return "unknown"
    changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + (" with uncommitted changes" if changes.stdout.strip() else "")


def _postfix() -> str:
    postconf = tool("postconf")
    if not postconf:
        return "unknown"
    done = subprocess.run([postconf, "-dh", "mail_version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
