"""What an organisation's plan allows, and how much of it is used. A lowered plan refuses only what is new."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, and_, func, select

from gateway.directory.change import Change
from gateway.directory.errors import OverPlan, TooLarge
from gateway.directory.tables import address, mailbox, membership


def check_own_mailboxes(change: Change, owner: Row[Any], person: Row[Any]) -> None:
    """`owner`: the organisation. Raises `OverPlan` when `person` may not own one more."""
    mine = and_(mailbox.c.owner_id == person.id, mailbox.c.ended_at.is_(None), mailbox.c.kind == "personal")
    _check(change, owner, "own-mailboxes", f"mailboxes of {person.address}", _number_of(mailbox).where(mine))


def check_shared_mailboxes(change: Change, owner: Row[Any], person: Row[Any]) -> None:
    """Mailboxes that others share with `person`; their own do not count."""
    shared = and_(
        membership.c.person_id == person.id,
        membership.c.until.is_(None),
        mailbox.c.owner_id.is_distinct_from(person.id),
    )
    query = select(func.count()).select_from(membership.join(mailbox)).where(shared)
    _check(change, owner, "shared-mailboxes", f"mailboxes shared with {person.address}", query)


def check_members(change: Change, owner: Row[Any], box: Row[Any]) -> None:
    """Members of one mailbox, its owner left aside."""
    present = and_(
        membership.c.mailbox_id == box.id,
        membership.c.until.is_(None),
        membership.c.person_id.is_distinct_from(box.owner_id),
    )
    _check(change, owner, "members", f"members of {box.address}", _number_of(membership).where(present))


def check_aliases(change: Change, owner: Row[Any], box: Row[Any]) -> None:
    present = and_(address.c.mailbox_id == box.id, address.c.kind == "alias")
    _check(change, owner, "aliases", f"aliases of {box.address}", _number_of(address).where(present))


def check_message_bytes(owner: Row[Any], box: Row[Any], wanted: int) -> None:
    """`wanted`: the mailbox's own limit. Without one the plan's counts."""
    limit = owner.plan_message_bytes
    if limit is not None and wanted > limit:
        raise TooLarge(f"largest message of {box.address}, {wanted} bytes", limit, box.max_message_bytes,
                       owner.name, "message-bytes", wanted)  # fmt: skip


def limit_of(owner: Row[Any], setting: str) -> int | None:
    """The plan's limit by the name it has on the command line; None: unlimited."""
    limit: int | None = owner._mapping[f"plan_{setting.replace('-', '_')}"]
    return limit


def _number_of(table: Any) -> Select[Any]:
    return select(func.count()).select_from(table)


def _check(change: Change, owner: Row[Any], setting: str, what: str, query: Select[Any]) -> None:
    limit = limit_of(owner, setting)
    if limit is None:
        return
    present = change.count(query)
    if present >= limit:
        raise OverPlan(what, limit, present, owner.name, setting)
