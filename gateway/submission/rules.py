"""Who may send as what, and what the header of a message becomes. Pure: the directory's answers are given.

docs/admin/submission.md tells the rules to people; the constants of replies are in mail/reply.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from gateway.directory.logins import SendingAddress
from gateway.mail.address import Address
from gateway.mail.edits import Edits, Splice
from gateway.mail.envelope import Identity
from gateway.mail.headers import Field, Headers
from gateway.mail.reply import BAD_FROM, NOT_YOUR_ADDRESS, Reply
from gateway.submission.from_field import FieldError, Named, field_line, read_mailboxes, written

_BCC = ("bcc", "resent-bcc")
_NOTIFICATION = re.compile(r"\s*multipart/report\s*;.*\breport-type\s*=\s*\"?disposition-notification\b", re.I | re.S)
_MOST_OF_A_CONTENT_TYPE = 2000

NO_NULL_SENDER = NOT_YOUR_ADDRESS.says("the null sender is for read receipts (RFC 8098) only; send from your address")


@dataclass(frozen=True, slots=True)
class Authors:
    """What From, Sender and the kind of message say, read once."""

    mailboxes: Sequence[Named]
    from_field: Field
    sender_fields: Sequence[Field] = ()
    sender: Named | None = None
    """Whom Sender names, when that can be read."""


def read_authors(headers: Headers) -> Authors | Reply:
    """The authors of a message, or the refusal of a header that does not say in one way who they are."""
    fields = headers.all("from")
    if len(fields) != 1:
        found = "has no From field" if not fields else f"has {len(fields)} From fields"
        return BAD_FROM.says(f"the message {found}; it needs one (RFC 5322 3.6)")
    try:
        mailboxes = read_mailboxes(fields[0].value)
    except FieldError as error:
        return BAD_FROM.says(f"the From field of the message cannot be read: {error}")
    senders = headers.all("sender")
    try:
        named = read_mailboxes(senders[0].value) if len(senders) == 1 else []
    except FieldError:
        named = []
    return Authors(mailboxes, fields[0], senders, named[0] if len(named) == 1 else None)


def refusal(address: Address, found: SendingAddress | None, where: str) -> Reply | None:
    """Why a person may not send from `address`, if so. `where`: "MAIL FROM" or "From".

    Whose the address is, or whether there is such a mailbox, is not told.
    """
    if found is None or not found.right:
        return NOT_YOUR_ADDRESS.says(f"{where}: you may not send from {address}")
    if not found.may_send:
        return NOT_YOUR_ADDRESS.says(
            f"{where}: the domain {address.domain} is neither verified nor trusted here, so nobody sends from it yet"
        )
    return None


def is_notification(headers: Headers) -> bool:
    """Whether the message says that it is a read receipt: those have the null sender (RFC 8098 3)."""
    return bool(_NOTIFICATION.match(headers.get("content-type")[:_MOST_OF_A_CONTENT_TYPE]))


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The edits of a header, and what they change in plain words."""

    edits: Edits
    changes: tuple[str, ...]


def rewrite(
    headers: Headers,
    authors: Authors,
    known: Mapping[str, SendingAddress],
    identity: Identity,
    *,
    sender_address: str,
    message_id: str,
    at: float,
) -> Rewriting:
    """What a submitted message gets. `known`: what the person may do, by the key of each address in From and Sender.

    `sender_address` is the person's own, for Sender. `message_id` in angle brackets and `at` (POSIX seconds) are for
    messages that have none.
    """
    work = _Work()
    _name_authors(work, authors, known)
    _name_sender(work, authors, known, identity, sender_address)
    for name in _BCC:
        for field in headers.all(name):
            work.splice(field, "", f"{name} removed")
    if not headers.count("date"):
        work.prepend(f"Date: {formatdate(int(at), localtime=True)}", "Date added")
    if not headers.count("message-id"):
        work.prepend(f"Message-ID: {message_id}", "Message-ID added")
    broken = sorted(work.touched & headers.signed_names()) if work.touched else []
    edits = Edits(tuple(work.lines), tuple(sorted(work.splices)), tuple(broken))
    return Rewriting(edits, tuple(work.changes))


class _Work:
    """Edits in the making."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.splices: list[Splice] = []
        self.touched: set[str] = set()
        self.changes: list[str] = []

    def prepend(self, line: str, change: str) -> None:
        self.lines.append(line)
        self.touched.add(line.partition(":")[0].lower())
        self.changes.append(change)

    def splice(self, field: Field, replacement: str, change: str) -> None:
        self.splices.append(Splice(field.start, field.end, replacement))
        self.touched.add(field.name)
        self.changes.append(change)


def _name_authors(work: _Work, authors: Authors, known: Mapping[str, SendingAddress]) -> None:
    """The mailbox's display name takes the place of whatever name the program wrote. The addresses stay as written."""
    shown: list[str] = []
    renamed: list[str] = []
    for each in authors.mailboxes:
        name = known[each.address.key].display_name
        if not name or name == each.name:
            before = f"{each.phrase} " if each.phrase else ""
            shown.append(f"{before}<{each.written}>" if before else each.written)
        else:
            shown.append(written(name, each.written))
            renamed.append(str(each.address))
    if renamed:
        work.splice(authors.from_field, field_line("From", shown), f"From: display name of {', '.join(renamed)}")


def _name_sender(
    work: _Work, authors: Authors, known: Mapping[str, SendingAddress], identity: Identity, sender_address: str
) -> None:
    """RFC 5322 3.6.2: who did send it, where that is not the one author. Nobody is named who did not."""
    rights = [known[each.address.key].right for each in authors.mailboxes]
    is_needed = len(rights) > 1 or "send_on_behalf" in rights
    stated = None if authors.sender is None else known.get(authors.sender.address.key)
    if stated is not None and stated.may_send:
        if stated.right == "own" and (stated.is_personal or not is_needed):
            return
        if stated.right == "send_as" and not is_needed:
            return
    line = field_line("Sender", [written(identity.name, sender_address)])
    if not authors.sender_fields:
        if is_needed:
            work.prepend(line.removesuffix("\r\n"), f"Sender added: {sender_address}")
        return
    first, *others = authors.sender_fields
    work.splice(first, line, f"Sender is {sender_address} now")
    for field in others:
        work.splice(field, "", "another Sender removed")
