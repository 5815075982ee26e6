"""Who may send with which address, for those who ask about senders: Postfix, which has checked the login itself.

A login is the address of a person. Those of an address are its mailbox's owner and the members with `send_as`. Members
with `send_on_behalf` only are none: they may not send as the mailbox unless Sender names them, and Postfix cannot see
to that. Whoever has left is none either, and a domain that may not send has no logins at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, select, union

from gateway.directory.cache import Reads, Version, VersionedCache
from gateway.directory.domains import HOLDERS
from gateway.directory.mailboxes import INTAKE
from gateway.directory.people import ACTIVE
from gateway.directory.tables import address, domain, mailbox, membership, person
from gateway.domains.states import SENDING
from gateway.mail.address import Address

PAGE = 2000

_usable = and_(
    address.c.kind != INTAKE,
    mailbox.c.ended_at.is_(None),
    domain.c.state.in_(sorted(SENDING)),
    person.c.state == ACTIVE,
)
_logins = (
    select(address.c.key, person.c.address.label("login"))
    .select_from(address)
    .join(mailbox, mailbox.c.id == address.c.mailbox_id)
    .join(domain, and_(domain.c.name == address.c.domain, domain.c.state.in_(HOLDERS)))
)
_owners = _logins.join(person, person.c.id == mailbox.c.owner_id).where(_usable)
_members = (
    _logins.join(membership, membership.c.mailbox_id == mailbox.c.id)
    .join(person, person.c.id == membership.c.person_id)
    .where(and_(_usable, membership.c.until.is_(None), membership.c.can_send_as == 1))
)


def _of(wanted: ColumnElement[bool]) -> Select[Any]:
    both = union(_owners.where(wanted), _members.where(wanted)).subquery()
    return select(both).order_by(both.c.key, both.c.login)


_OF_ONE = _of(address.c.key == bindparam("key"))
_OF_PAGE = _of(and_(address.c.key > bindparam("after"), address.c.key <= bindparam("last")))
_KEYS = select(address.c.key).where(address.c.key > bindparam("after")).order_by(address.c.key).limit(PAGE)


class SenderLogins:
    """The look-up, remembered until the directory changes. For one event loop."""

    def __init__(self, store: Reads, version: Version) -> None:
        self._store = store
        self._remembered: VersionedCache[tuple[str, ...]] = VersionedCache(version)

    async def of(self, sender: Address) -> tuple[str, ...]:
        """The logins of an address, its +subaddress left aside, in order. Raises `StoreUnavailable`."""
        key = f"{sender.local.partition('+')[0].lower()}@{sender.domain}"
        return await self._remembered.get(key, self._load)

    async def _load(self, key: str) -> tuple[str, ...]:
        return tuple(row.login for row in await self._store.read(_OF_ONE, {"key": key}))


async def all_sender_logins(store: Reads) -> AsyncIterator[tuple[str, tuple[str, ...]]]:
    """(address, its logins) of every address that has any, in order. Raises `StoreUnavailable`."""
    after = ""
    while keys := await store.read(_KEYS, {"after": after}):
        last = keys[-1].key
        found: dict[str, list[str]] = {}
        for row in await store.read(_OF_PAGE, {"after": after, "last": last}):
            found.setdefault(row.key, []).append(row.login)
        for key, logins in found.items():
            yield key, tuple(logins)
        after = last


async def all_recipients(store: Reads) -> AsyncIterator[Any]:
    """Every address of a mailbox: rows of key, domain, mailbox (its main address), and `plain`, whether it just takes
    mail. For one that is not plain the directory must be asked: it receives nothing, or its owner has left.
    """
    after = ""
    while rows := await store.read(_RECIPIENTS, {"after": after}):
        for row in rows:
            yield row
        after = rows[-1].key


_RECIPIENTS = (
    select(
        address.c.key,
        address.c.domain,
        mailbox.c.address.label("mailbox"),
        and_(mailbox.c.receives == 1, person.c.state.is_distinct_from("inactive")).label("plain"),
    )
    .select_from(address)
    .join(mailbox, mailbox.c.id == address.c.mailbox_id)
    .outerjoin(person, person.c.id == mailbox.c.owner_id)
    .where(and_(address.c.key > bindparam("after"), mailbox.c.ended_at.is_(None)))
    .order_by(address.c.key)
    .limit(PAGE)
)
