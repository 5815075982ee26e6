"""Who may use a mailbox that is not their own: memberships begin and end, and are never deleted or rewritten."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gateway.directory import plans
from gateway.directory.change import Change, one
from gateway.directory.errors import BadValue, NotFound
from gateway.directory.mailboxes import find_mailbox
from gateway.directory.people import find_person
from gateway.directory.tables import membership
from gateway.mail.ids import new_id


@dataclass(frozen=True, slots=True)
class Rights:
    """What a member may do: read, send as the mailbox, send on its behalf (their own name in Sender), manage it."""

    read: bool = True
    send_as: bool = False
    send_on_behalf: bool = False
    manage: bool = False

    def columns(self) -> dict[str, int]:
        return {f"can_{name}": int(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class AddMember:
    """Returns the id of the membership. Somebody who is a member already gets other rights: the old ones end now."""

    mailbox: str
    person: str
    rights: Rights

    def run(self, change: Change, /) -> str:
        box = find_mailbox(change, self.mailbox)
        box.must_be_managed_by(change, "change its members")
        found = find_person(change, self.person)
        if found.organisation_id != box.organisation_id:
            raise NotFound("person", self.person)
        found.must_be_active()
        if not any(asdict(self.rights).values()):
            raise BadValue("a member without any right is none; give one, or end the membership")
        name = f"{box.row.address} {found.row.address}"
        present = one(change, membership, mailbox_id=box.row.id, person_id=found.row.id, until=None)
        wanted = self.rights.columns()
        if present is not None:
            if all(present._mapping[column] == value for column, value in wanted.items()):
                return str(present.id)
            change.change(membership, present, {"until": change.now}, action="membership.end", name=name,
                          organisation_id=box.organisation_id)  # fmt: skip
        else:
            owner = box.organisation_row(change)
            plans.check_members(change, owner, box.row)
            plans.check_shared_mailboxes(change, owner, found.row)
        row = {
            "id": new_id(),
            "mailbox_id": box.row.id,
            "person_id": found.row.id,
            "since": change.now,
            **wanted,
        }
        change.add(membership, row, name=name, organisation_id=box.organisation_id)
        return str(row["id"])


@dataclass(frozen=True, slots=True)
class EndMember:
    """They have no access from now on; that they had it stays."""

    mailbox: str
    person: str

    def run(self, change: Change, /) -> None:
        box = find_mailbox(change, self.mailbox)
        box.must_be_managed_by(change, "change its members")
        found = find_person(change, self.person)
        present = one(change, membership, mailbox_id=box.row.id, person_id=found.row.id, until=None)
        if present is None:
            raise NotFound("member", self.person, hint=f"stellwerk member list {box.row.address} shows all")
        change.change(membership, present, {"until": change.now}, action="membership.end",
                      name=f"{box.row.address} {found.row.address}", organisation_id=box.organisation_id)  # fmt: skip
