"""Erasing a person who has left: name, phone and address become a pseudonym, in the history and in the audit too.

What happened stays, by somebody whom nobody can name any more. The person's row is changed last: until then an erasure
that was interrupted is simply begun again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, delete, or_, select, update

from gateway.directory.actor import Actor
from gateway.directory.change import Change, carry_out
from gateway.directory.errors import Conflict
from gateway.directory.leaving import ERASED
from gateway.directory.people import INACTIVE, FoundPerson, find_person
from gateway.directory.tables import (
    address,
    app_password,
    audit_entry,
    auto_answer,
    directory_import,
    mailbox,
    organisation,
    out_of_office,
    person,
)
from gateway.store.store import Store

AT_ONCE = 100
"""Audit entries of one transaction."""
_PERSONAL = frozenset({"name", "phone", "extension", "label", "display_name", "subject", "text"})
"""Columns whose values are removed from audit entries about the person and their own mailboxes."""
_CONTACT = frozenset({"contact_name", "contact_phone"})


@dataclass(frozen=True, slots=True)
class _Traces:
    """What names the person: their ids (of the row, and of personal mailboxes they had), and their addresses."""

    ids: frozenset[str]
    addresses: tuple[str, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """Any of the addresses as a whole: not the end of a longer one, nor its beginning."""
        either = "|".join(re.escape(each) for each in self.addresses)
        return re.compile(rf"(?<![\w.+%-])(?:{either})(?![\w-]|\.\w)", re.IGNORECASE)

    @property
    def condition(self) -> Any:
        """On `audit_entry`: entries that may name them."""
        texts = (audit_entry.c.actor, audit_entry.c.name, audit_entry.c.before, audit_entry.c.after)
        mentions = [column.contains(each, autoescape=True) for column in texts for each in self.addresses]
        return or_(audit_entry.c.noun_id.in_(self.ids), *mentions)


@dataclass(frozen=True, slots=True)
class Erased:
    """What came of it: the pseudonym, and how many audit entries were rewritten."""

    pseudonym: str
    entries: int


async def erase(
    store: Store, actor: Actor, text: str, clock: Callable[[], float], *, dry_run: bool = False
) -> Erased:  # fmt: skip
    """Erase a person for good. Raises `Conflict` while they are active, or while an address or mailbox is theirs."""
    found = (await carry_out(store, actor, _Look(text), clock)).result
    pseudonym = f"erased-{found.row.id.lower()}{ERASED}"
    traces = (await carry_out(store, actor, _Trace(text), clock)).result
    if dry_run:
        return Erased(pseudonym, len(await _entries(store, traces)))
    count = 0
    while entries := await _entries(store, traces):
        for start in range(0, len(entries), AT_ONCE):
            ids = tuple(entries[start : start + AT_ONCE])
            await carry_out(store, actor, _EraseEntries(text, ids, traces, pseudonym), clock)
        count += len(entries)
    await carry_out(store, actor, _ErasePerson(text, traces, pseudonym), clock)
    return Erased(pseudonym, count)


async def _entries(store: Store, traces: _Traces) -> list[str]:
    rows = await store.read(select(audit_entry).where(traces.condition))
    return [row.id for row in rows if _rewritten(row, traces, "-") is not None]


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether the person may be erased."""

    address: str

    def run(self, change: Change, /) -> FoundPerson:
        found = find_person(change, self.address)
        found.must_be_administered_by(change.actor, "erase them")
        if found.row.state != INACTIVE:
            raise Conflict(
                f"{found.row.address} is active; let them leave first: stellwerk user deactivate {found.row.address}"
            )
        if found.row.address.endswith(ERASED):
            raise Conflict(f"{found.row.address} is erased already")
        open_ones = and_(mailbox.c.owner_id == found.row.id, mailbox.c.ended_at.is_(None))
        if own := [row.address for row in change.rows(select(mailbox.c.address).where(open_ones))]:
            raise Conflict(
                f"{found.row.address} owns {', '.join(own)} still; give them to somebody (stellwerk mailbox set "
                "ADDRESS --owner USER) or end them (stellwerk mailbox end ADDRESS)"
            )
        if change.first(select(address.c.key).where(address.c.key == found.row.address)) is not None:
            raise Conflict(
                f"{found.row.address} takes mail still; end that address first: stellwerk alias end ADDRESS, or "
                "stellwerk mailbox end ADDRESS"
            )
        return found


@dataclass(frozen=True, slots=True)
class _Trace:
    """What names the person besides their row: addresses of ended mailboxes of theirs, unless somebody has them now."""

    address: str

    def run(self, change: Change, /) -> _Traces:
        found = find_person(change, self.address)
        boxes = change.rows(
            select(mailbox.c.id, mailbox.c.address).where(
                mailbox.c.owner_id == found.row.id, mailbox.c.kind == "personal", mailbox.c.ended_at.is_not(None)
            )
        )
        ids = {found.row.id, *(box.id for box in boxes)}
        keys = {box.address for box in boxes}
        for box in boxes:
            of_box = audit_entry.c.before.contains(box.id, autoescape=True)
            ended = select(audit_entry.c.name).where(audit_entry.c.action == "address.end", of_box)
            keys |= {row.name for row in change.rows(ended)}
        live = {row.key for row in change.rows(select(address.c.key).where(address.c.key.in_(keys)))}
        return _Traces(frozenset(ids), (found.row.address, *sorted(keys - live - {found.row.address})))


@dataclass(frozen=True, slots=True)
class _EraseEntries:
    address: str
    ids: Sequence[str]
    traces: _Traces
    pseudonym: str

    def run(self, change: Change, /) -> None:
        _Look(self.address).run(change)
        _rewrite(change, select(audit_entry).where(audit_entry.c.id.in_(self.ids)), self.traces, self.pseudonym)


@dataclass(frozen=True, slots=True)
class _ErasePerson:
    """The person's own rows; and entries that were made since the last look."""

    address: str
    traces: _Traces
    pseudonym: str

    def run(self, change: Change, /) -> None:
        found = _Look(self.address).run(change)
        key, identity, connection = found.row.address, found.row.id, change.connection
        _rewrite(change, select(audit_entry).where(self.traces.condition), self.traces, self.pseudonym)
        values = {"address": self.pseudonym, "name": "", "phone": "", "extension": "", "deputy_id": None}
        connection.execute(update(person).where(person.c.id == identity).values(**values))
        connection.execute(update(app_password).where(app_password.c.person_id == identity).values(label=""))
        theirs = mailbox.c.id.in_(self.traces.ids)
        connection.execute(delete(out_of_office).where(out_of_office.c.mailbox_id.in_(self.traces.ids)))
        connection.execute(update(mailbox).where(theirs).values(display_name="", address=self.pseudonym))
        connection.execute(delete(auto_answer).where(auto_answer.c.sender.in_(self.traces.addresses)))
        contact = {"contact_address": "", "contact_name": "", "contact_phone": ""}
        connection.execute(update(organisation).where(organisation.c.contact_address == key).values(**contact))
        imports = select(directory_import).where(directory_import.c.actor.contains(key, autoescape=True))
        for row in change.rows(imports):
            renamed = self.traces.pattern.sub(self.pseudonym, row.actor)
            connection.execute(update(directory_import).where(directory_import.c.id == row.id).values(actor=renamed))
        change.note("person.erase", "person", identity, self.pseudonym, found.organisation_id)


def _rewrite(change: Change, query: Select[Any], traces: _Traces, pseudonym: str) -> None:
    for row in change.rows(query):
        if (values := _rewritten(row, traces, pseudonym)) is not None:
            change.connection.execute(update(audit_entry).where(audit_entry.c.id == row.id).values(**values))


def _rewritten(row: Any, traces: _Traces, pseudonym: str) -> dict[str, str] | None:
    """The entry's texts without the person; None when they do not name them."""
    pattern = traces.pattern
    own = row.noun in {"out_of_office", "app_password"} and pattern.search(row.name) is not None
    about = own or row.noun_id in traces.ids
    values = {name: pattern.sub(pseudonym, row._mapping[name]) for name in ("actor", "name", "noun_id")}
    if own:  # the label stands in it too
        values["name"] = pseudonym
    for name in ("before", "after"):
        cleared = _without(json.loads(row._mapping[name]), pattern, pseudonym, about=about)
        values[name] = json.dumps(cleared, ensure_ascii=False)
    return values if any(row._mapping[name] != value for name, value in values.items()) else None


def _without(value: Any, pattern: re.Pattern[str], pseudonym: str, *, about: bool) -> Any:
    if isinstance(value, str):
        return pattern.sub(pseudonym, value)
    if isinstance(value, list):
        return [_without(each, pattern, pseudonym, about=about) for each in value]
    if isinstance(value, dict):
        contact = pattern.search(str(value.get("contact_address", ""))) is not None
        cleared = (_PERSONAL if about else frozenset()) | (_CONTACT if contact else frozenset())
        return {
            name: "" if name in cleared else _without(each, pattern, pseudonym, about=about)
            for name, each in value.items()
        }
    return value
