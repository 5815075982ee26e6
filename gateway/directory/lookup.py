"""What the database says of an address or of all domains: the queries of mail's way, and what comes of them.

The answers are remembered by cache.py and combined with the static mailboxes by service.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, and_, bindparam, func, select

from gateway.directory.cache import Reads
from gateway.directory.domains import HOLDERS
from gateway.directory.mailboxes import INTAKE, MAIN
from gateway.directory.people import ACTIVE
from gateway.directory.succession import successors
from gateway.directory.tables import (
    address,
    context,
    context_plugin,
    domain,
    mailbox,
    organisation,
    out_of_office,
    person,
)
from gateway.domains.states import TEMPFAIL_SECONDS, State
from gateway.mail.address import Address
from gateway.mail.reply import DOMAIN_SUSPENDED, DOMAIN_SUSPENDED_LATELY, Reply


@dataclass(frozen=True, slots=True)
class OutOfOfficeText:
    """What a mailbox answers, from `begins` until `ends` (POSIX seconds; None: no limit)."""

    subject: str
    text: str
    begins: float | None
    ends: float | None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as mail meets it. `address` is the main one; `asked` says by which kind of address it was found.

    `addresses`: all of them in their normal form. `max_message_bytes`: the strictest of the mailbox's limit and the
    organisation's plan, None without one. `successors` take the mail of somebody who has left, and are None while
    nobody has; empty: there is nobody. `plugins`: what its context switched on or off.
    """

    id: str
    address: Address
    asked: str = MAIN
    kind: str = "personal"
    organisation: str = ""
    context: str = ""
    organisation_id: str = ""
    context_id: str = ""
    receives: bool = True
    vip: bool = False
    max_message_bytes: int | None = None
    next_hop: str = ""
    display_name: str = ""
    addresses: frozenset[str] = frozenset()
    out_of_office: OutOfOfficeText | None = None
    successors: tuple[Address, ...] | None = None
    plugins: Mapping[str, bool] = field(default_factory=dict)

    @property
    def takes_mail(self) -> bool:
        """Whether there is somebody to deliver to, rather than a 550 5.2.1."""
        return self.receives and self.successors != ()

    def answers_at(self, now: float) -> bool:
        """Whether its out-of-office text is in force."""
        text = self.out_of_office
        return text is not None and (text.begins or 0.0) <= now < (float("inf") if text.ends is None else text.ends)


_owner = person.alias("owner")
_FIND = (
    select(
        mailbox,
        address.c.kind.label("asked"),
        context.c.name.label("context"),
        organisation.c.id.label("organisation_id"),
        organisation.c.name.label("organisation"),
        organisation.c.plan_message_bytes,
        _owner.c.state.label("owner_state"),
        out_of_office.c.subject.label("away_subject"),
        out_of_office.c.text.label("away_text"),
        out_of_office.c.begins.label("away_begins"),
        out_of_office.c.ends.label("away_ends"),
    )
    .select_from(address)
    .join(mailbox, mailbox.c.id == address.c.mailbox_id)
    .join(context, context.c.id == mailbox.c.context_id)
    .join(organisation, organisation.c.id == context.c.organisation_id)
    .outerjoin(_owner, _owner.c.id == mailbox.c.owner_id)
    .outerjoin(out_of_office, out_of_office.c.mailbox_id == mailbox.c.id)
    .where(and_(address.c.key == bindparam("key"), mailbox.c.ended_at.is_(None)))
)
_ADDRESSES = select(address.c.key).where(address.c.mailbox_id == bindparam("mailbox_id"))
_PLUGINS = select(context_plugin).where(context_plugin.c.context_id == bindparam("context_id"))


async def find_mailbox(store: Reads, key: str) -> Mailbox | None:
    """The mailbox that has the address `key` (normal form, without a subaddress). Raises `StoreUnavailable`."""
    rows = await store.read(_FIND, {"key": key})
    if not rows:
        return None
    row = rows[0]
    limits = [limit for limit in (row.max_message_bytes, row.plan_message_bytes) if limit is not None]
    switched = await store.read(_PLUGINS, {"context_id": row.context_id})
    return Mailbox(
        id=row.id,
        address=Address.parse(row.address),
        asked=row.asked,
        kind=row.kind,
        organisation=row.organisation,
        context=row.context,
        organisation_id=row.organisation_id,
        context_id=row.context_id,
        receives=bool(row.receives),
        vip=bool(row.vip),
        max_message_bytes=min(limits) if limits else None,
        next_hop=row.next_hop,
        display_name=row.display_name,
        addresses=frozenset(each.key for each in await store.read(_ADDRESSES, {"mailbox_id": row.id})),
        out_of_office=_text(row),
        successors=tuple(map(Address.parse, await successors(store, row.id))) if _has_left(row) else None,
        plugins={each.plugin: bool(each.enabled) for each in switched},
    )


def _text(row: Row[Any]) -> OutOfOfficeText | None:
    if row.away_text is None:
        return None
    return OutOfOfficeText(row.away_subject, row.away_text, row.away_begins, row.away_ends)


def _has_left(row: Row[Any]) -> bool:
    """Whether its mail must go elsewhere: a shared mailbox has members, whoever owns it."""
    return row.kind == "personal" and row.owner_state is not None and row.owner_state != ACTIVE


@dataclass(frozen=True, slots=True)
class HeldDomain:
    """What RCPT asks about a domain. `takes_mail_until` is None for no end; times are POSIX seconds."""

    state: str
    since: float
    takes_mail_until: float | None

    def takes_mail_at(self, now: float) -> bool:
        return self.takes_mail_until is None or now < self.takes_mail_until

    def refusal_at(self, now: float) -> Reply | None:
        """What is said to its senders while it is suspended: at first to come again, for its MX may be changing."""
        if self.state != State.SUSPENDED:
            return None
        return DOMAIN_SUSPENDED_LATELY if now - self.since < TEMPFAIL_SECONDS else DOMAIN_SUSPENDED


@dataclass(frozen=True, slots=True)
class Domains:
    """Every domain that an organisation holds with its state, and the contact that takes its postmaster's mail."""

    states: Mapping[str, HeldDomain] = field(default_factory=dict)
    contacts: Mapping[str, str] = field(default_factory=dict)
    intake: frozenset[str] = frozenset()
    """Domains of intake addresses that belong to no organisation."""
    has_answers: bool = False
    """Whether any mailbox has an out-of-office text."""
    smallest_limit: int | None = None
    """The strictest limit on messages that any mailbox or plan sets."""


async def read_domains(store: Reads) -> Domains:
    """All of them: they are few, and every recipient asks. Raises `StoreUnavailable`."""
    columns = (domain.c.name, domain.c.state, domain.c.state_since, domain.c.takes_mail_until)
    query = select(*columns, organisation.c.contact_address).join_from(domain, organisation)
    rows = await store.read(query.where(domain.c.state.in_(HOLDERS)))
    intake = await store.read(select(address.c.domain).where(address.c.kind == INTAKE).distinct())
    return Domains(
        {row.name: HeldDomain(row.state, row.state_since, row.takes_mail_until) for row in rows},
        {row.name: row.contact_address for row in rows if row.contact_address},
        frozenset(row.domain for row in intake) - {row.name for row in rows},
        bool(await store.read(select(out_of_office.c.mailbox_id).limit(1))),
        await _smallest_limit(store),
    )


async def _smallest_limit(store: Reads) -> int | None:
    found = [
        (await store.read(select(func.min(column))))[0][0]
        for column in (mailbox.c.max_message_bytes, organisation.c.plan_message_bytes)
    ]
    return min((limit for limit in found if limit is not None), default=None)
