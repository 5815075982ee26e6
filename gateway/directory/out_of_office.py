"""The out-of-office text of a mailbox: set and ended here. Who gets it, and when, is the business of mail's walk."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.directory import names
from gateway.directory.change import Change, one
from gateway.directory.errors import BadValue, NotFound
from gateway.directory.mailboxes import find_mailbox
from gateway.directory.tables import out_of_office

LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class SetOutOfOffice:
    """`begins` and `ends` are POSIX seconds, None where it is not limited. Returns False if nothing differs."""

    mailbox: str
    text: str
    subject: str = ""
    begins: float | None = None
    ends: float | None = None

    def run(self, change: Change, /) -> bool:
        box = find_mailbox(change, self.mailbox)
        box.must_be_managed_by(change, "set its out-of-office text")
        if self.begins is not None and self.ends is not None and self.ends <= self.begins:
            raise BadValue("the out-of-office text would end before it begins; look at --from and --to")
        if self.ends is not None and self.ends <= change.now:
            raise BadValue("the out-of-office text would end in the past; look at --to")
        values = {
            "subject": names.line(self.subject, "the subject"),
            "text": _text(self.text),
            "begins": self.begins,
            "ends": self.ends,
        }
        same = {"name": box.row.address, "organisation_id": box.organisation_id}
        present = one(change, out_of_office, mailbox_id=box.row.id)
        if present is None:
            change.add(out_of_office, {"mailbox_id": box.row.id, **values}, **same)
            return True
        return change.change(out_of_office, present, values, action="out_of_office.change", **same)


@dataclass(frozen=True, slots=True)
class EndOutOfOffice:
    """No more answers."""

    mailbox: str

    def run(self, change: Change, /) -> None:
        box = find_mailbox(change, self.mailbox)
        box.must_be_managed_by(change, "end its out-of-office text")
        present = one(change, out_of_office, mailbox_id=box.row.id)
        if present is None:
            raise NotFound("out-of-office text of", box.row.address)
        change.remove(out_of_office, present, action="out_of_office.end", name=box.row.address,
                      organisation_id=box.organisation_id)  # fmt: skip


def _text(text: str) -> str:
    plain = text.strip().replace("\r\n", "\n")
    if not plain:
        raise BadValue("the out-of-office text is empty; say what people shall read")
    if len(plain) > LONGEST_TEXT:
        raise BadValue(f"the out-of-office text has {len(plain)} characters; expected at most {LONGEST_TEXT}")
    if not plain.replace("\n", "").replace("\t", "").isprintable():
        raise BadValue("the out-of-office text holds control characters; expected lines of text")
    return plain
