"""Intake addresses, on one of the gateway's own domains: a team can start by forwarding from its old provider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, and_, select

from gateway.directory import names
from gateway.directory.change import Change
from gateway.directory.domains import holder_of
from gateway.directory.errors import BadValue, Conflict, NotFound
from gateway.directory.generated import new_label
from gateway.directory.mailboxes import INTAKE, add_address, find_mailbox
from gateway.directory.tables import address
from gateway.mail.address import MAX_LOCAL_OCTETS, Address


@dataclass(frozen=True, slots=True)
class AddIntake:
    """Returns the address: the mailbox's local part and a label that nobody guesses. One for each mailbox.

    `own_domains`: what the gateway is called, of which `domain` must be one.
    """

    mailbox: str
    domain: str
    own_domains: Collection[str]
    label: str = field(default_factory=new_label)

    def run(self, change: Change, /) -> str:
        box = find_mailbox(change, self.mailbox)
        box.must_be_administered_by(change.actor, "open an intake address")
        name = names.domain(self.domain)
        if name not in self.own_domains:
            raise BadValue(f"{name} is none of the gateway's own domains: {', '.join(sorted(self.own_domains))}")
        if holder_of(change, name) is not None:
            raise Conflict(f"{name} belongs to an organisation; an intake address is on the gateway's own domain")
        if (present := change.first(_intake_of(box.row.id))) is not None:
            raise Conflict(f"{box.row.address} has the intake address {present.key} already")
        local = box.row.address.rpartition("@")[0][: MAX_LOCAL_OCTETS - len(self.label) - 1]
        if not local.isascii():
            local = "mail"
        parsed = Address(f"{local}-{self.label}", name)
        add_address(change, parsed, box.row.id, INTAKE, box.organisation_id)
        return parsed.key


@dataclass(frozen=True, slots=True)
class EndIntake:
    """The address takes no mail any more."""

    mailbox: str

    def run(self, change: Change, /) -> None:
        box = find_mailbox(change, self.mailbox)
        box.must_be_administered_by(change.actor, "close its intake address")
        present = change.first(_intake_of(box.row.id))
        if present is None:
            raise NotFound("intake address of", box.row.address)
        change.remove(address, present, action="address.end", name=present.key, organisation_id=box.organisation_id)


def _intake_of(mailbox_id: str) -> Select[Any]:
    return select(address).where(and_(address.c.mailbox_id == mailbox_id, address.c.kind == INTAKE))
