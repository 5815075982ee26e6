"""Forgetting: the desk deletes what is older than its setting allows. What may be forgotten is its owner's business."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from gateway.answers.out_of_office import SILENCE_SECONDS
from gateway.answers.out_of_office import purge as purge_answers
from gateway.config.models import Config
from gateway.delivery.journal import Journal
from gateway.delivery.journal_rows import Purge
from gateway.directory.forgetting import purge_audit
from gateway.directory.sealing import purge as purge_domains
from gateway.errors import StoreUnavailable
from gateway.jobs import outbox
from gateway.store.store import BatchFunction, Store, Write
from gateway.trace import purge as purge_traces

log = logging.getLogger("stellwerk")

PURGE_SECONDS = 600.0
_DAY = 86_400.0


class Retention:
    """Deletes old rows in short transactions, so that mail does not wait behind them."""

    def __init__(self, store: Store, journal: Journal, config: Config, clock: Callable[[], float]) -> None:
        self._store = store
        self._journal = journal
        self._config = config
        self._clock = clock

    async def run(self) -> None:
        """Every ten minutes until cancelled. A store that is down is met with patience."""
        while True:
            try:
                deleted = await self.forget()
                if deleted.total():
                    log.debug("deleted what is old: %s", ", ".join(f"{n} {what}" for what, n in deleted.items() if n))
            except StoreUnavailable as error:
                log.warning("old entries could not be deleted, trying again later: %s", error)
            await asyncio.sleep(PURGE_SECONDS)

    async def forget(self) -> Counter[str]:
        """Delete what is old now; how many rows of which kind. Raises `StoreUnavailable`."""
        now = self._clock()
        journal = self._config.journal
        kept = journal.retention_days * _DAY
        limits = Purge(now, journal.join_seconds, kept, journal.unconfirmed_hours * 3600)
        deleted = Counter({"journal entries": await self._journal.purge(limits)})
        deleted["traces"] = await self._purge(purge_traces, now - self._config.trace.retention_days * _DAY)
        deleted["done jobs"] = await self._purge(outbox.purge, now - kept)
        deleted["decisions on held mail"] = await self._purge(
            outbox.purge_held, now - self._config.held.retention_days * _DAY
        )
        deleted["out-of-office answers"] = await self._purge(purge_answers, now - SILENCE_SECONDS)
        deleted["domains and addresses of former owners"] = await self._purge(purge_domains, now)
        if days := self._config.audit.retention_days:
            deleted["audit entries"] = await self._purge(purge_audit, now - days * _DAY)
        return deleted

    async def _purge(self, function: BatchFunction, before: float) -> int:
        total = 0
        while deleted := (await self._store.write([Write(function, before)]))[0]:
            total += deleted
        return total
