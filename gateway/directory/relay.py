"""The smart host that a mailbox sends through with a login of its own, instead of `routing.outbound`.

The password stands in the database in plain text, since it has to be said to the relay: whoever reads the database or a
backup of it reads the password. It is shown nowhere: no audit entry, log, trace, plan or listing has it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from sqlalchemy import bindparam, select

from gateway.config.addresses import is_internal, is_loopback, parse_socket_address
from gateway.directory.actor import Actor
from gateway.directory.cache import Version, VersionedCache
from gateway.directory.change import Change
from gateway.directory.errors import BadValue, NotAllowed
from gateway.directory.mailboxes import find_mailbox
from gateway.directory.tables import mailbox
from gateway.store.store import Store

RelayTls = Literal["starttls", "implicit", "none"]
MAX_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class RelayAccount:
    """`tls`: `starttls` and `implicit` check the certificate; `none` is for this machine only."""

    address: str
    user: str
    password: str = field(repr=False)
    tls: RelayTls = "starttls"

    def to_text(self) -> str:
        """As the database keeps it."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> RelayAccount:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class SetRelay:
    """Give a mailbox another smart host; None: it sends as everybody does. Returns False if nothing differs."""

    mailbox: str
    account: RelayAccount | None

    def run(self, change: Change, /) -> bool:
        box = find_mailbox(change, self.mailbox)
        box.must_be_managed_by(change, "set its relay")
        if self.account is not None:
            _check(self.account)
            _check_place(change.actor, self.account)
        text = "" if self.account is None else self.account.to_text()
        return change.change(mailbox, box.row, {"relay": text}, action="mailbox.relay", name=box.row.address,
                             organisation_id=box.organisation_id)  # fmt: skip


def _check(account: RelayAccount) -> None:
    """Raises `BadValue`."""
    try:
        where = parse_socket_address(account.address)
    except ValueError as error:
        raise BadValue(f"the relay's address: {error}") from None
    if isinstance(where, Path):
        raise BadValue(f'the relay\'s address is "{account.address}"; expected for example "smtp.example.org:587"')
    if account.tls not in get_args(RelayTls):
        raise BadValue(f'"{account.tls}" is no TLS setting; expected {", ".join(get_args(RelayTls))}')
    if account.tls == "none" and not is_loopback(account.address):
        raise BadValue(f"the password would go to {account.address} in the clear; use starttls or implicit")
    if not account.user.strip() or not account.user.isprintable():
        raise BadValue("the relay's user is a name of printable characters; found none")
    if not account.password or len(account.password) > MAX_PASSWORD or set(account.password) & set("\0\r\n"):
        raise BadValue(f"the relay's password is one line of 1 to {MAX_PASSWORD} characters")


def _check_place(actor: Actor, account: RelayAccount) -> None:
    """Others could have the gateway talk to services that only it can reach. Raises `NotAllowed`."""
    if actor.role not in {"operator", "organisation_admin"} and is_internal(account.address):
        raise NotAllowed(
            f"{actor.name} ({actor.role}) may not set a relay on this machine or in a private network "
            f"({account.address}); operators and administrators of the organisation may"
        )


_RELAY = select(mailbox.c.relay).where(mailbox.c.id == bindparam("id"))


class RelayAccounts:
    """The accounts of mailboxes, for delivery."""

    def __init__(self, store: Store, version: Version) -> None:
        self._store = store
        self._accounts: VersionedCache[RelayAccount | None] = VersionedCache(version, 1000)

    async def find(self, mailbox_id: str) -> RelayAccount | None:
        """Raises `StoreUnavailable`."""
        return await self._accounts.get(mailbox_id, self._load)

    async def _load(self, mailbox_id: str) -> RelayAccount | None:
        rows = await self._store.read(_RELAY, {"id": mailbox_id})
        return RelayAccount.from_text(rows[0].relay) if rows and rows[0].relay else None
