"""Is this node well: each check says what it saw, and what to do when that is not right. Nothing is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gateway.app import Gateway
from gateway.errors import StoreUnavailable
from gateway.metrics.backlog import Backlog
from gateway.metrics.node import NodeMetrics, NodeView

STORE_SECONDS = 2.0

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `failed` makes the node unwell; a `warning` is for a person, and no other node would do better."""

    name: str
    status: Status
    seen: str
    todo: str = ""

    def to_json(self) -> dict[str, str]:
        found = {"check": self.name, "status": self.status, "seen": self.seen, "do": self.todo}
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Health:
    """All findings of one look."""

    checks: tuple[Check, ...]

    @property
    def is_well(self) -> bool:
        return all(check.status != "failed" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        worst = next((s for s in ("failed", "warning") if any(c.status == s for c in self.checks)), "ok")
        return {"status": worst, "checks": [check.to_json() for check in self.checks]}


class HealthChecks:
    """Looks at the store, the processes, the next hops, the disk, plugins and dead letters."""

    def __init__(self, gateway: Gateway, node: NodeMetrics, backlog: Backlog) -> None:
        self._gateway = gateway
        self._node = node
        self._backlog = backlog

    async def look(self) -> Health:
        store = await self._store()
        view = await asyncio.to_thread(self._node.look)
        return Health((store, *self._processes(view), self._space(view), *self._more(view)))

    async def _store(self) -> Check:
        """An empty transaction of the writer: what a read-only, locked or full database refuses."""
        todo = "read the gateway's log; run stellwerk doctor"
        try:
            async with asyncio.timeout(STORE_SECONDS + 1):
                deadline = time.monotonic() + STORE_SECONDS
                await self._gateway.store.prove(deadline=deadline)
        except StoreUnavailable as error:
            return Check("store", "failed", f"mail is deferred: {error}", todo)
        except TimeoutError:
            return Check("store", "failed", f"mail is deferred: no answer within {STORE_SECONDS:g} s", todo)
        return Check("store", "ok", "it commits")

    def _processes(self, view: NodeView) -> Iterator[Check]:
        if view.facts is None:
            yield Check("supervisor", "failed", "it is gone; its workers finish what they have", "start the gateway")
        else:
            yield Check("supervisor", "ok", f"process {view.facts.get('process')}")
        alive, wanted = view.alive["smtp"], self._gateway.config.server.workers
        seen = f"{alive} of {wanted} SMTP processes are alive"
        if alive >= wanted:
            yield Check("workers", "ok", seen)
        else:
            yield Check("workers", "failed", seen, "the log says what they died of or hang in")

    def _space(self, view: NodeView) -> Check:
        where, largest = self._gateway.config.server.state_dir, self._gateway.config.limits.max_message_bytes
        todo = "make room; a full disk defers all mail"
        if view.free_bytes is None:
            return Check("space", "warning", f"{where} cannot be looked at", todo)
        seen = f"{view.free_bytes // 1_048_576} MiB free at {where}"
        if view.free_bytes < largest:
            return Check("space", "failed", f"{seen}, less than one large message", todo)
        if view.free_bytes < 10 * largest:
            return Check("space", "warning", seen, todo)
        return Check("space", "ok", seen)

    def _more(self, view: NodeView) -> Iterator[Check]:
        down = _raised(view, "stellwerk_next_hop_down")
        names = list(self._gateway.next_hops)
        if down:
            hops = ", ".join(labels[0] for labels in down)
            yield Check("next hops", "warning", f"{hops}: the last connection failed; its mail is deferred",
                        "start it, or correct its address; stellwerk doctor tries each")  # fmt: skip
        else:
            yield Check("next hops", "ok", f"none is known to be down ({', '.join(names)})")
        if broken := _raised(view, "stellwerk_plugin_breaker_open"):
            hooks = ", ".join(f"{plugin}.{hook}" for plugin, hook in broken)
            yield Check("plugins", "warning", f"not called, failed too often in a row: {hooks}",
                        "the log and stellwerk trace name file and line")  # fmt: skip
        else:
            yield Check("plugins", "ok", "no breaker is open")
        dead = self._backlog.dead_letters
        if dead:
            yield Check("outbox", "warning", f"{dead} dead letters", "run: stellwerk jobs --state dead")
        else:
            yield Check("outbox", "ok", "no dead letters")


def _raised(view: NodeView, gauge: str) -> list[tuple[str, ...]]:
    return sorted(labels for labels, numbers in view.total.values.get(gauge, {}).items() if numbers[0])
