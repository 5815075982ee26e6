"""Who makes a change, and what people of each role may do. Pure: no table and no query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.directory.errors import NotAllowed, NotFound

Role = Literal["member", "context_admin", "organisation_admin", "operator"]
ROLES: tuple[Role, ...] = ("member", "context_admin", "organisation_admin", "operator")
"""From the least to the most."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks. `name` stands in the audit; without a `person_id` it is somebody on the server's command line.

    Only an operator has no organisation: everybody else sees theirs and nothing else.
    """

    name: str
    role: Role = "operator"
    person_id: str = ""
    organisation_id: str = ""
    context_id: str = ""
    through: str = ""
    """Who acts in this person's name, where somebody else does."""

    @property
    def signature(self) -> str:
        """As it stands in the audit."""
        return f"{self.name} (through {self.through})" if self.through else self.name

    @property
    def is_operator(self) -> bool:
        return self.role == "operator"

    def must_be_operator(self, what: str) -> None:
        """Raises `NotAllowed`."""
        if not self.is_operator:
            raise NotAllowed(f"{self.name} may not {what}; an operator of this installation may")

    def must_see(self, organisation_id: str, noun: str, name: str) -> None:
        """Raises `NotFound`, as if it did not exist: no organisation learns of another."""
        if not self.is_operator and self.organisation_id != organisation_id:
            raise NotFound(noun, name)

    def must_administer(self, organisation_id: str, context_id: str | None, what: str) -> None:
        """`context_id` None: the whole organisation. Raises `NotAllowed`."""
        if not self.administers(organisation_id, context_id):
            raise NotAllowed(f"{self.name} ({self.role}) may not {what}; an administrator of the organisation may")

    def administers(self, organisation_id: str, context_id: str | None) -> bool:
        """The place, that is; of people and mailboxes there only those of nobody who may do more."""
        if self.is_operator:
            return True
        if self.organisation_id != organisation_id:
            return False
        own_context = self.role == "context_admin" and context_id is not None and self.context_id == context_id
        return self.role == "organisation_admin" or own_context

    def may_do_less_than(self, role: str) -> bool:
        """Whether somebody of `role` may do more."""
        return ROLES.index(role) > ROLES.index(self.role)

    def must_not_do_for_more(self, role: str, address: str, what: str) -> None:
        """Raises `NotAllowed` where `address`, who is `role`, may do more: nobody does anything in their name."""
        if self.may_do_less_than(role):
            raise NotAllowed(f"{self.name} ({self.role}) may not {what} for {address} ({role})")


def command_line(user: str) -> Actor:
    """Whoever runs `stellwerk` on the server: they could change the database as well."""
    return Actor(f"{user} (command line)")
