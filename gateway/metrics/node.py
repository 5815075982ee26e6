"""All numbers of this node: its processes' boards, the supervisor's facts, the store's backlog, the disk."""

from __future__ import annotations

import platform
import shutil
import time
from collections import Counter
from dataclasses import dataclass

from gateway import __version__
from gateway.app import Gateway
from gateway.metrics.backlog import Backlog
from gateway.metrics.board import Posted, directory, read_all
from gateway.metrics.snapshot import Snapshot
from gateway.supervisor.state import running

FRESH_SECONDS = 10.0
"""A process that posted nothing for longer stands still, or its disk does."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """The node at one moment. `alive`: fresh processes by role; `facts`: what the supervisor published."""

    total: Snapshot
    alive: Counter[str]
    facts: dict[str, object] | None
    free_bytes: int | None
    boards: tuple[Posted, ...]


class NodeMetrics:
    """Reads the node. `look` blocks on the disk: it is for a thread."""

    def __init__(self, gateway: Gateway, backlog: Backlog) -> None:
        self._config = gateway.config
        self._boot = gateway.identity.boot
        self._backlog = backlog

    def look(self) -> NodeView:
        now = time.monotonic()
        boards = tuple(read_all(directory(self._config), self._boot))
        total = Snapshot()
        alive: Counter[str] = Counter()
        for posted in boards:
            fresh = posted.alive and now - posted.snapshot.at < FRESH_SECONDS
            total.add(posted.snapshot, gauges=fresh)
            alive[posted.snapshot.role] += fresh
        facts = running(self._config.server.state_dir)
        self._put_processes(total, alive, facts)
        free = self._free_bytes()
        if free is not None:
            total.put("stellwerk_state_free_bytes", ("state_dir",), free)
        total.put("stellwerk_build_info", (__version__, platform.python_version()), 1)
        self._backlog.put(total)
        return NodeView(total, alive, facts, free, boards)

    def _put_processes(self, total: Snapshot, alive: Counter[str], facts: dict[str, object] | None) -> None:
        for role, wanted in (("smtp", self._config.server.workers), ("desk", 1)):
            total.put("stellwerk_processes", (role,), alive[role])
            total.put("stellwerk_processes_wanted", (role,), wanted)
            if facts is not None:
                total.put("stellwerk_process_restarts", (role,), _number(facts.get(f"{role}_restarts")))
        if facts is not None:
            total.put("stellwerk_generation", (), _number(facts.get("generation")))
            total.put("stellwerk_reloads_failed", (), _number(facts.get("reloads_failed")))
            total.put("stellwerk_start_time_seconds", (), _number(facts.get("started")))

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self._config.server.state_dir).free
        except OSError:
            return None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
