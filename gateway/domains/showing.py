"""A claim for people: how it stands, what was seen where and when, what a sender is told. Only reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.domains import HOLDERS
from gateway.directory.errors import BadValue, NotFound
from gateway.directory.tables import domain, organisation
from gateway.directory.visibility import visible_organisation
from gateway.domains.facts import Fact
from gateway.domains.rows import contacts_of, standing_of
from gateway.domains.states import TEMPFAIL_SECONDS, Standing, State
from gateway.mail.reply import DOMAIN_SUSPENDED, DOMAIN_SUSPENDED_LATELY, RECIPIENT_OK, RELAY_DENIED, Reply
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Shown:
    """A claim, with the name of its organisation."""

    row: Row[Any]
    organisation: str

    @property
    def standing(self) -> Standing:
        return standing_of(self.row)


async def find_claim(store: Store, actor: Actor, name: str, of: str = "") -> Shown:
    """The holder's, else the only one that the actor sees, else that of the organisation `of`. Raises `NotFound`."""
    known = names.domain(name)
    query = select(domain, organisation.c.name.label("whose")).join_from(domain, organisation)
    query = query.where(domain.c.name == known, visible_organisation(actor)).order_by(organisation.c.name)
    rows = [row for row in await store.read(query) if of in ("", row.whose)]
    if not rows:
        hint = "stellwerk domain list shows all; add it: stellwerk domain add NAME --organisation O --contact ADDRESS"
        raise NotFound("domain", name, hint=hint)
    held = [row for row in rows if row.state in HOLDERS]
    if len(rows) > 1 and not held:
        whose = ", ".join(row.whose for row in rows)
        raise BadValue(f"{known} is claimed by several; say whose with --organisation: {whose}")
    row = (held or rows)[0]
    return Shown(row, row.whose)


async def domains_by_state(store: Store) -> dict[str, int]:
    """How many claims there are in each state that any is in."""
    rows = await store.read(select(domain.c.state, func.count().label("number")).group_by(domain.c.state))
    return {row.state: row.number for row in rows}


def answer_at(standing: Standing, now: float) -> Reply:
    """What RCPT says for an address of the domain that exists."""
    if standing.state is State.SUSPENDED:
        return DOMAIN_SUSPENDED_LATELY if now - standing.since < TEMPFAIL_SECONDS else DOMAIN_SUSPENDED
    return RECIPIENT_OK if now < standing.takes_mail_until() else RELAY_DENIED


def described(shown: Shown, now: float) -> dict[str, Any]:
    """All that an owner is told."""
    row, standing = shown.row, shown.standing
    return {
        "name": row.name,
        "organisation": shown.organisation,
        "state": str(standing.state),
        "state_since": standing.since,
        "mail": str(answer_at(standing, now)),
        "scope": row.scope,
        "contacts": contacts_of(row),
        "waits_for_operator": row.hold,
        "frozen_at": row.frozen_at,
        "disputed_at": row.disputed_at,
        "serial": row.serial,
        "token": row.token,
        "token_issued_at": row.token_issued_at or None,
        "ownership": _fact(standing.facts.ownership),
        "routing": _fact(standing.facts.routing),
        "grace_cause": standing.cause,
        "grace_ends_at": standing.ends_at,
        "next_look_at": row.next_look_at,
        "observations": json.loads(row.observations),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "status": fact.status or "not looked at",
        "since": fact.since or None,
        "last_pass": fact.last_pass,
        "failures": fact.consecutive_fail,
        "looked_at": fact.looked_at,
    }
