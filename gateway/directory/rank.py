"""Nobody administers what belongs to somebody who may do more: mailboxes by their owner, addresses by who has them.

The rule for people themselves is in people.py. Here is what it means for mailboxes, and for an address that is a
mailbox on one side and a login on the other: whoever logs in with an address reads its mail (Dovecot's userdb), and
whoever has the mailbox gets what is written to the person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from gateway.directory.actor import Actor
from gateway.directory.change import Change
from gateway.directory.errors import NotAllowed
from gateway.directory.tables import address, context, mailbox, person

LOG_IN = "let somebody log in with the address of a mailbox"
RECEIVE = "make an address of a mailbox that somebody logs in with"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has an address already: where that is, and the person with their role; both empty where there is none."""

    organisation_id: str
    context_id: str
    person_id: str = ""
    address: str = ""
    role: str = ""

    def must_be_administered_by(self, actor: Actor, what: str) -> None:
        """Raises `NotAllowed`."""
        actor.must_administer(self.organisation_id, self.context_id, what)
        if self.role:
            actor.must_not_do_for_more(self.role, self.address, what)

    def refusal(self, actor: Actor, what: str) -> str:
        """The words of the refusal; empty when `actor` administers them."""
        try:
            self.must_be_administered_by(actor, what)
        except NotAllowed as error:
            return str(error)
        return ""


def mailboxes_at(keys: Iterable[str] | None = None) -> Select[Any]:
    """`key` of an address that takes mail, with the columns of `holder_of`: the mailbox's place and its owner."""
    query = (
        select(address.c.key, context.c.organisation_id, mailbox.c.context_id, *_WHO)
        .join_from(address, mailbox, address.c.mailbox_id == mailbox.c.id)
        .join(context, context.c.id == mailbox.c.context_id)
        .join(person, person.c.id == mailbox.c.owner_id, isouter=True)
    )
    return query if keys is None else query.where(address.c.key.in_(list(keys)))


def logins_at(keys: Iterable[str] | None = None) -> Select[Any]:
    """`key` of an address that somebody logs in with, with the columns of `holder_of`: their place, and who it is."""
    query = select(person.c.address.label("key"), context.c.organisation_id, person.c.context_id, *_WHO).join_from(
        person, context, person.c.context_id == context.c.id
    )
    return query if keys is None else query.where(person.c.address.in_(list(keys)))


_WHO = (person.c.id.label("person_id"), person.c.address, person.c.role)


def holder_of(row: Any) -> Holder:
    return Holder(row.organisation_id, row.context_id, row.person_id or "", row.address or "", row.role or "")


def must_administer_mailbox_of(change: Change, key: str) -> None:
    """For a new login. Raises `NotAllowed` when the address is one of a mailbox that the actor does not administer."""
    for row in change.rows(mailboxes_at([key])):
        holder_of(row).must_be_administered_by(change.actor, f"{LOG_IN} ({key})")


def must_administer_login_of(change: Change, key: str, owner_id: str | None) -> None:
    """For a new address of a mailbox of `owner_id`. Raises `NotAllowed` when somebody else logs in with it whom the
    actor does not administer.
    """
    for row in change.rows(logins_at([key])):
        if row.person_id != owner_id:
            holder_of(row).must_be_administered_by(change.actor, f"{RECEIVE} ({key})")
