"""Mails about domains: to the owner's contacts for each event, to the operator what needs one, and the day's changes.

They are jobs of the outbox, added in the transaction of what they tell: neither is there without the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import jinja2
from sqlalchemy import Row, and_, or_, select

from gateway.config.models import Config
from gateway.directory.change import Change
from gateway.directory.tables import audit_entry
from gateway.domains.facts import DAY, HOUR
from gateway.domains.names import shown
from gateway.domains.offering import offer_from
from gateway.domains.records import wanted
from gateway.domains.rows import contacts_of
from gateway.domains.states import Event, Standing, State
from gateway.jobs.own_mail import OwnMail
from gateway.mail.address import Address
from gateway.store.store import Store, Write

_SILENT = frozenset({"parked"})
"""Told by a later one: on the first day, when it is more than a slip."""
_FOR_OPERATOR = frozenset({"frozen", "disputed"})
_WITH_RECORDS = frozenset(
    {"expired", "grace", "grace_day", "parked_day", "unparked", "suspended", "frozen", "disputed", "dispute_refused"}
)
_SHOWN_OBSERVATIONS = 4
_MOST_REPORTED = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it is addressed."""

    subject: str
    text: str


class Notices:
    """Of one installation. As a function it is what `RecordLook` tells events to."""

    def __init__(self, config: Config) -> None:
        self._config = config
        hostname = config.server.hostname
        self._sender = Address.parse(config.domains.sender or f"postmaster@{hostname}")
        self.operator = Address.parse(config.domains.operator or f"postmaster@{hostname}")

    def __call__(self, change: Change, row: Row[Any], standing: Standing, event: Event, /) -> None:
        """Into the outbox, within the transaction of `change`."""
        if event.kind in _SILENT:
            return
        letter = self.letter(row, standing, event)
        once = f"domain:{row.id}:{event.kind}:{event.day}:{int(change.now)}"
        to = [Address.parse(each) for each in contacts_of(row)]
        if standing.state is State.ACTIVE:
            to.append(Address("postmaster", row.name))
        writes = self._writes(letter, to, once, change.now)
        if event.kind in _FOR_OPERATOR:
            # By the name: of a dispute both sides tell, and one mail of it is enough.
            theirs = self._render(f"operator_{event.kind}", domain=shown(row.name), name=row.name)
            once = f"domain:{row.name}:{event.kind}:{int(change.now)}:operator"
            writes += self._writes(theirs, [self.operator], once, change.now)
        for write in writes:
            write.function(change.connection, [write.payload])

    def held(self, change: Change, row: Row[Any]) -> None:
        """A claim waits for the operator: because of its name, or of who has a name above it."""
        letter = self._render("held", domain=shown(row.name), name=row.name, why=row.hold)
        for write in self._writes(letter, [self.operator], f"domain:{row.id}:held:{int(change.now)}", change.now):
            write.function(change.connection, [write.payload])

    def letter(self, row: Row[Any], standing: Standing, event: Event) -> Letter:
        """What is told of an event."""
        records: Sequence[Any] = ()
        if event.kind in _WITH_RECORDS and row.token and self._config.server.mx_hosts:
            records = [record for record in wanted(offer_from(self._config, row)) if record.required]
        return self._render(
            event.kind,
            domain=shown(row.name),
            name=row.name,
            day=event.day,
            cause=event.cause or standing.cause,
            holds=standing.state not in (State.PENDING, State.EXPIRED),
            ends_at=_date(standing.ends_at),
            accepts_until=_date(standing.accepts_until) if standing.state is State.VERIFIED else "",
            records=records,
            seen=_seen(row),
        )

    async def call_operator(self, store: Store, now: float, bad: int, of: int) -> None:
        """So many domains turned bad at once that none of it is believed. Once an hour, whoever calls how often."""
        letter = self._render("resolver", bad=bad, of=of)
        await store.write(self._writes(letter, [self.operator], f"domains:resolver:{int(now // HOUR)}", now))

    def report_day(self, now: float) -> str:
        """The day whose report is due last, as a date."""
        hour = timedelta(hours=self._config.domains.report_hour)
        return (datetime.fromtimestamp(now, UTC) - hour).date().isoformat()

    async def report(self, store: Store, now: float) -> bool:
        """Mail the operator what changed in the day before the last report hour. False: nothing did."""
        begin = datetime.fromisoformat(self.report_day(now)).replace(tzinfo=UTC, hour=self._config.domains.report_hour)
        until = begin.timestamp()
        changed = and_(audit_entry.c.action.startswith("domain."), audit_entry.c.action != "domain.look")
        actions = or_(changed, audit_entry.c.action == "address.seal")
        query = select(audit_entry).where(actions, audit_entry.c.at >= until - DAY, audit_entry.c.at < until)
        rows = await store.read(query.order_by(audit_entry.c.at, audit_entry.c.id).limit(_MOST_REPORTED + 1))
        if not rows:
            return False
        lines = [_reported(row) for row in rows[:_MOST_REPORTED]]
        letter = self._render("report", day=begin.date().isoformat(), lines=lines, more=len(rows) > _MOST_REPORTED)
        await store.write(self._writes(letter, [self.operator], f"domains:report:{begin.date()}", now))
        return True

    def _render(self, kind: str, **values: Any) -> Letter:
        template = _environment().get_template(f"notice.{self._config.domains.language}.txt.j2")
        first, _, rest = template.render(kind=kind, **values).strip().partition("\n")
        return Letter(first, rest.strip() + "\n")

    def _writes(self, letter: Letter, to: Sequence[Address], once: str, now: float) -> list[Write]:
        """A mail for each recipient: one that cannot be reached keeps nobody else's."""
        hostname = self._config.server.hostname
        return [
            OwnMail(self._sender, address, letter.subject, letter.text, hostname).write(now, f"{once}:{key}")[1]
            for key, address in {each.key: each for each in to}.items()
        ]


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.domains"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  a text mail, not HTML
    )


def _date(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _seen(row: Row[Any]) -> list[str]:
    """The last answers, a line each. Others wrote them: nothing of it may steer a reader's screen."""
    lines = []
    for each in json.loads(row.observations)[-_SHOWN_OBSERVATIONS:]:
        texts = ", ".join(map(_plain, each["texts"])) or _plain(each["rcode"])
        name = f"{_plain(each['name'])} {_plain(each['type'])}"
        lines.append(f"{_date(each['at'])} {_plain(each['server'])}: {name}: {texts}"[:300])
    return lines


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text[:200])


def _reported(row: Row[Any]) -> str:
    after = json.loads(row.after)
    told = ", ".join(f"{name} {value}" for name, value in after.items() if name in ("state", "cause", "day", "serial"))
    return f"{_date(row.at)} {row.name}: {row.action}{f' ({told})' if told else ''}, {row.actor}"
