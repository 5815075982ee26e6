"""What logging in and sending ask of the directory: who a person is, and what they may do with an address.

Answers are remembered until the directory changes. That must be known for certain here: where the counter of changes
cannot be read, nobody is let in by what was true once. Passwords are checked in credentials.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from sqlalchemy import Row, and_, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from gateway.directory.cache import Version, VersionedCache
from gateway.directory.domains import HOLDERS
from gateway.directory.mailboxes import INTAKE
from gateway.directory.people import ACTIVE, MOST_APP_PASSWORDS
from gateway.directory.tables import (
    address,
    app_password,
    context,
    domain,
    mailbox,
    membership,
    organisation,
    person,
)
from gateway.domains.states import SENDING
from gateway.errors import StoreUnavailable
from gateway.mail.address import Address, AddressError
from gateway.mail.envelope import Identity
from gateway.store.store import Store

Right = Literal["", "own", "send_as", "send_on_behalf"]
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Login:
    """A person as logging in sees them. `hashes`: their password's, if they have one, and those of app passwords."""

    identity: Identity
    active: bool
    hashes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendingAddress:
    """An address with a mailbox behind it, and what one person may do with it: `right` is empty for nothing.

    `may_send`: its domain is verified or trusted. `has_relay`: the mailbox sends through a smart host of its own.
    """

    key: str
    right: Right
    may_send: bool
    mailbox_id: str
    mailbox: str
    display_name: str = ""
    is_personal: bool = True
    has_relay: bool = False


_PERSON = (
    select(person, context.c.name.label("context"), organisation.c.name.label("organisation"))
    .join_from(person, context)
    .join(organisation)
    .where(person.c.address == bindparam("address"))
)
_live = app_password.c.ended_at.is_(None)
_APP_PASSWORDS = (
    select(app_password.c.password)
    .where(and_(app_password.c.person_id == bindparam("person_id"), _live))
    .order_by(app_password.c.created_at.desc(), app_password.c.id)
    .limit(MOST_APP_PASSWORDS)
)
_MOST = select(func.count().label("number")).where(_live).group_by(app_password.c.person_id)
_MOST = _MOST.order_by(func.count().desc()).limit(1)
_ADDRESS = (
    select(
        mailbox.c.id,
        mailbox.c.address,
        mailbox.c.display_name,
        mailbox.c.kind,
        mailbox.c.owner_id,
        mailbox.c.relay,
        domain.c.state,
        membership.c.can_send_as,
        membership.c.can_send_on_behalf,
    )
    .select_from(address)
    .join(mailbox, mailbox.c.id == address.c.mailbox_id)
    .outerjoin(domain, and_(domain.c.name == address.c.domain, domain.c.state.in_(HOLDERS)))
    .outerjoin(
        membership,
        and_(
            membership.c.mailbox_id == mailbox.c.id,
            membership.c.person_id == bindparam("person_id"),
            membership.c.until.is_(None),
        ),
    )
    .where(and_(address.c.key == bindparam("key"), address.c.kind != INTAKE, mailbox.c.ended_at.is_(None)))
)


class Logins:
    """The look-ups, for one event loop. All raise `StoreUnavailable` when the answer could be out of date."""

    def __init__(self, store: Store, version: Version) -> None:
        self._store = store
        self._version = version
        self._people: VersionedCache[Login | None] = VersionedCache(version, 10_000)
        self._addresses: VersionedCache[SendingAddress | None] = VersionedCache(version)
        self._most: VersionedCache[int] = VersionedCache(version, 1)

    async def find(self, user: str) -> Login | None:
        """The person who logs in as `user`, an address in any spelling."""
        try:
            key = Address.parse(user).key
        except AddressError:
            return None
        return await self._current(lambda: self._people.get(key, self._load_person))

    async def most_app_passwords(self) -> int:
        """How many app passwords anybody here has, up to the limit: how often a password may have to be compared."""
        return await self._current(lambda: self._most.get("", self._load_most))

    async def address(self, person_id: str, wanted: Address) -> SendingAddress | None:
        """What the person may do with the address, its +subaddress left aside; None when no mailbox has it."""
        key = f"{wanted.local.partition('+')[0].lower()}@{wanted.domain}"
        return await self._current(lambda: self._addresses.get(f"{person_id} {key}", self._load_address))

    async def _current(self, ask: Callable[[], Awaitable[ResultT]]) -> ResultT:
        await self._version.must_be_fresh()
        try:
            return await ask()
        except DBAPIError as error:
            raise StoreUnavailable(f"the directory cannot be read: {str(error.orig).partition(chr(10))[0]}") from error

    async def _load_person(self, key: str) -> Login | None:
        rows = await self._store.read(_PERSON, {"address": key})
        if not rows:
            return None
        row = rows[0]
        app_passwords = await self._store.read(_APP_PASSWORDS, {"person_id": row.id})
        own = [row.password] if row.password else []
        identity = Identity(
            Address.parse(row.address), row.id, row.name, row.context, row.organisation, row.credential_version
        )
        return Login(identity, row.state == ACTIVE, tuple(own + [each.password for each in app_passwords]))

    async def _load_most(self, _key: str) -> int:
        rows = await self._store.read(_MOST)
        return min(int(rows[0].number), MOST_APP_PASSWORDS) if rows else 0

    async def _load_address(self, question: str) -> SendingAddress | None:
        person_id, _, key = question.partition(" ")
        rows = await self._store.read(_ADDRESS, {"person_id": person_id, "key": key})
        if not rows:
            return None
        row = rows[0]
        return SendingAddress(
            key,
            _right(row, person_id),
            row.state in SENDING,
            row.id,
            row.address,
            row.display_name,
            row.kind == "personal",
            bool(row.relay),
        )


def _right(row: Row[Any], person_id: str) -> Right:
    if row.owner_id == person_id:
        return "own"
    if row.can_send_as:
        return "send_as"
    return "send_on_behalf" if row.can_send_on_behalf else ""
