"""Domains of organisations, and whether they may receive and send. Proofs by DNS are a matter of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from gateway.directory import names
from gateway.directory.change import Change, one
from gateway.directory.errors import Conflict, NotFound
from gateway.directory.organisations import find_organisation
from gateway.directory.tables import domain, organisation

UNVERIFIED = "unverified"
TRUSTED = "trusted"
RECEIVING: frozenset[str] = frozenset({TRUSTED})
"""States in which a domain takes mail."""
SENDING: frozenset[str] = frozenset({TRUSTED})
"""States in which people may send from it."""


@dataclass(frozen=True, slots=True)
class AddDomain:
    """Returns its normal form. It neither receives nor sends until it is verified or trusted."""

    name: str
    organisation: str

    def run(self, change: Change, /) -> str:
        owner = find_organisation(change, self.organisation)
        change.actor.must_administer(owner.id, None, "add a domain")
        name = names.domain(self.name)
        there = one(change, domain, name=name)
        if there is not None:
            whose = owner.name if there.organisation_id == owner.id else "another organisation"
            raise Conflict(f"{name} belongs to {whose} already")
        row = {
            "name": name,
            "organisation_id": owner.id,
            "state": UNVERIFIED,
            "state_since": change.now,
            "created_at": change.now,
        }
        change.add(domain, row, name=name, organisation_id=owner.id)
        return name


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """An operator vouches for a domain without a proof by DNS, or takes that back. Returns False if it was so."""

    name: str
    trusted: bool = True

    def run(self, change: Change, /) -> bool:
        change.actor.must_be_operator("trust a domain")
        row = find_domain(change, self.name, _ADD if self.trusted else "stellwerk domain list shows all")
        values: dict[str, Any] = {"state": TRUSTED if self.trusted else UNVERIFIED, "state_since": change.now}
        if row.state == values["state"]:
            return False
        action = "domain.trust" if self.trusted else "domain.distrust"
        return change.change(domain, row, values, action=action, name=row.name, organisation_id=row.organisation_id)


_ADD = "add it first: stellwerk domain add NAME --organisation O"


def find_domain(change: Change, name: str, hint: str = _ADD) -> Row[Any]:
    """Raises `NotFound`, for a domain of an organisation that the actor does not see, too."""
    row = one(change, domain, name=names.domain(name))
    if row is None:
        raise NotFound("domain", name, hint=hint)
    change.actor.must_see(row.organisation_id, "domain", name)
    return row


def organisation_name(change: Change, organisation_id: str) -> str:
    return str(change.rows(select(organisation.c.name).where(organisation.c.id == organisation_id))[0].name)
