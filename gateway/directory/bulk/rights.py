"""What of a file is somebody else's already, whom whoever imports does not administer. Places are in known.py.

Each look gives the lines that are refused, with the words of the refusal. Of operators nothing has to be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.directory.actor import Actor
from gateway.directory.bulk.known import look_up
from gateway.directory.errors import NotAllowed
from gateway.directory.rank import LOG_IN, RECEIVE, holder_of, logins_at, mailboxes_at
from gateway.directory.tables import address, person
from gateway.store.store import Store

Refused = list[tuple[int, str]]


async def refused_logins(store: Store, actor: Actor, lines: Mapping[str, int]) -> Refused:
    """`lines` of new people by address: a mailbox of that address must be one that the actor administers."""
    return [
        (lines[row.key], refusal)
        for row in await look_up(store, mailboxes_at(), address.c.key, lines)
        if (refusal := holder_of(row).refusal(actor, f"{LOG_IN} ({row.key})"))
    ]


async def refused_addresses(store: Store, actor: Actor, lines: Mapping[str, tuple[int, str]]) -> Refused:
    """`lines` of new mailboxes' addresses, each with the owner's login: whoever else logs in with one must be
    administered by the actor.
    """
    return [
        (lines[row.key][0], refusal)
        for row in await look_up(store, logins_at(), person.c.address, lines)
        if row.key != lines[row.key][1]
        and (refusal := holder_of(row).refusal(actor, f"{RECEIVE} ({row.key})"))
    ]  # fmt: skip


def refused_owners(actor: Actor, owners: Iterable[tuple[int, str]], people: Mapping[str, Any]) -> Refused:
    """(line, login) of the owners that are named, with their rows: none may do more than the actor."""
    refused: Refused = []
    for line, owner in owners:
        try:
            if (found := people.get(owner)) is not None:
                actor.must_not_do_for_more(found.role, owner, "add mailboxes")
        except NotAllowed as error:
            refused.append((line, f"owner: {error}"))
    return refused
