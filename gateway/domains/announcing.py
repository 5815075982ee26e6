"""Tells plugins of domains whose state changed, whoever changed it, and the operator once a day what changed.

The row remembers which state was told last, so a change that a command made, or that came before a crash, is told too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, select, update

from gateway.directory.tables import domain, organisation
from gateway.domains.notices import Notices
from gateway.domains.rows import standing_of
from gateway.domains.told import DomainFacts
from gateway.hooks.runner import Runner, Story
from gateway.store.store import Store, Write


class Announcer:
    """`version`: the number of the directory's last change, which stands still while nothing is to be told."""

    def __init__(self, store: Store, runner: Runner, notices: Notices, version: Callable[[], int]) -> None:
        self._store = store
        self._runner = runner
        self._notices = notices
        self._version = version
        self._told_at = -2
        self._reported = ""

    async def tell(self, now: float) -> None:
        """What has changed since the last time. Raises `StoreUnavailable`."""
        version = self._version()
        if version != self._told_at:
            await self._announce(now)
            self._told_at = version
        day = self._notices.report_day(now)
        if day != self._reported:
            await self._notices.report(self._store, now)
            self._reported = day

    async def _announce(self, now: float) -> None:
        query = select(domain, organisation.c.name.label("whose")).join_from(domain, organisation)
        rows = await self._store.read(query.where(domain.c.announced != domain.c.state).order_by(domain.c.name))
        for row in rows:
            if self._runner.chain("domain_state_changed"):
                story: Story = []
                arguments = {"old": row.announced, "new": row.state, "facts": _facts(row, now)}
                await self._runner.tell("domain_state_changed", story, **arguments)
            await self._store.write([Write(_announced, (row.id, row.announced, row.state))])


def _announced(connection: Connection, payloads: Sequence[tuple[str, str, str]], /) -> Sequence[None]:
    for identity, old, new in payloads:
        same = and_(domain.c.id == identity, domain.c.announced == old)
        connection.execute(update(domain).where(same).values(announced=new))
    return [None] * len(payloads)


def _facts(row: Row[Any], now: float) -> DomainFacts:
    standing = standing_of(row)
    return DomainFacts(
        row.name,
        row.whose,
        standing.since,
        row.takes_mail_until is None or now < row.takes_mail_until,
        standing.facts.ownership.status,
        standing.facts.routing.status,
        standing.ends_at,
        standing.frozen_at is not None,
        standing.disputed_at is not None,
    )
