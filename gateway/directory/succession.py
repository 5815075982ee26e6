"""Who takes the mail of somebody who has left: their deputy, else the mailbox's other members, else the fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import and_, or_, select

from gateway.directory.cache import Reads
from gateway.directory.people import ACTIVE
from gateway.directory.tables import context, mailbox, membership, person

MOST_DEPUTIES = 10
"""Deputies of deputies that are followed; a longer line is none."""


@dataclass(frozen=True, slots=True)
class Someone:
    """What matters of a person: whether they are there, where their mail goes, who stands in for them.

    `mailbox` is the address of a personal mailbox of theirs that takes mail; empty: they have none.
    """

    id: str
    active: bool
    mailbox: str = ""
    deputy_id: str | None = None

    @property
    def takes_mail(self) -> bool:
        return self.active and bool(self.mailbox)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one mailbox: its owner, everybody who may come into question, its members, the fallback."""

    owner_id: str | None
    people: Mapping[str, Someone] = field(default_factory=dict)
    members: Sequence[str] = ()
    """Ids of people who may read the mailbox, first come first."""
    fallback: str = ""
    """Address of the context's fallback mailbox, if it takes mail and its owner is there."""


def successor(known: Known) -> tuple[str, ...]:
    """Addresses of the mailboxes that take the mail instead of an inactive owner. Empty: nobody does.

    Pure. A deputy who has left as well hands on to their own. An active owner has no successor: the answer is empty.
    """
    owner = known.people.get(known.owner_id or "")
    if owner is not None and owner.active:
        return ()
    seen: set[str] = set()
    someone = owner
    while someone is not None and someone.deputy_id and len(seen) < MOST_DEPUTIES:
        if someone.id in seen:
            break
        seen.add(someone.id)
        someone = known.people.get(someone.deputy_id)
        if someone is not None and someone.takes_mail:
            return (someone.mailbox,)
    there = [known.people[each] for each in known.members if each in known.people and each != known.owner_id]
    if addresses := tuple(dict.fromkeys(each.mailbox for each in there if each.takes_mail)):
        return addresses
    return (known.fallback,) if known.fallback else ()


async def known_of(store: Reads, mailbox_id: str) -> Known:
    """What `successor` needs to know of a mailbox, read from the directory. An unknown mailbox: nobody and nothing."""
    owner_and_place = (
        select(mailbox.c.owner_id, context.c.fallback_mailbox_id)
        .join_from(mailbox, context, mailbox.c.context_id == context.c.id)
        .where(mailbox.c.id == mailbox_id)
    )
    rows = await store.read(owner_and_place)
    if not rows:
        return Known(None)
    [row] = rows
    open_ones = and_(membership.c.mailbox_id == mailbox_id, membership.c.until.is_(None), membership.c.can_read == 1)
    query = select(membership.c.person_id).where(open_ones).order_by(membership.c.since, membership.c.id)
    members = [each.person_id for each in await store.read(query)]
    people = await _people(store, [*members, *([row.owner_id] if row.owner_id else [])], mailbox_id)
    fallback = ""
    if row.fallback_mailbox_id is not None and row.fallback_mailbox_id != mailbox_id:
        fallback = await _fallback(store, row.fallback_mailbox_id)
    return Known(row.owner_id, people, members, fallback)


async def successors(store: Reads, mailbox_id: str) -> tuple[str, ...]:
    """`successor` of a mailbox, asked of the directory."""
    return successor(await known_of(store, mailbox_id))


async def _people(store: Reads, ids: Sequence[str], but_for: str) -> dict[str, Someone]:
    """These people and the line of their deputies. The mailbox that is asked about is nobody's way out."""
    found: dict[str, Someone] = {}
    wanted = set(ids)
    for _ in range(MOST_DEPUTIES + 1):
        if not wanted:
            break
        rows = await store.read(
            select(person.c.id, person.c.state, person.c.deputy_id, person.c.address).where(person.c.id.in_(wanted))
        )
        mine = and_(
            mailbox.c.owner_id.in_(wanted), mailbox.c.kind == "personal", mailbox.c.ended_at.is_(None),
            mailbox.c.receives == 1, mailbox.c.id != but_for,
        )  # fmt: skip
        boxes = await store.read(
            select(mailbox.c.owner_id, mailbox.c.address).where(mine).order_by(mailbox.c.created_at, mailbox.c.id)
        )
        for row in rows:
            own = [box.address for box in boxes if box.owner_id == row.id]
            address = row.address if row.address in own else next(iter(own), "")
            found[row.id] = Someone(row.id, row.state == ACTIVE, address, row.deputy_id)
        wanted = {row.deputy_id for row in rows if row.deputy_id and row.state != ACTIVE} - found.keys()
    return found


async def _fallback(store: Reads, mailbox_id: str) -> str:
    usable = and_(
        mailbox.c.id == mailbox_id,
        mailbox.c.ended_at.is_(None),
        mailbox.c.receives == 1,
        # A team's mailbox goes on without its owner; a personal one would lead to nobody.
        or_(mailbox.c.kind == "shared", person.c.state == ACTIVE),
    )
    query = select(mailbox.c.address).join_from(mailbox, person, mailbox.c.owner_id == person.c.id, isouter=True)
    rows = await store.read(query.where(usable))
    return str(rows[0].address) if rows else ""
