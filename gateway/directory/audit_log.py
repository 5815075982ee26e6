"""Who changed what: the audit's entries, for those who administer an organisation. They are only read here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true

from gateway.directory import references
from gateway.directory.actor import Actor
from gateway.directory.errors import NotAllowed
from gateway.directory.tables import audit_entry, organisation
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Search:
    """What entries are asked for; empty fields ask nothing. Texts are parts of what they are compared with.

    `action` is an action (`person.password`) or the part before its dot. Times are POSIX seconds.
    """

    actor: str = ""
    action: str = ""
    name: str = ""
    organisation_id: str = ""
    since: float | None = None
    until: float | None = None
    count: int = 100


async def entries(store: Store, actor: Actor, search: Search) -> list[dict[str, Any]]:
    """Newest first. Operators see all, an organisation's administrators theirs. Raises `NotAllowed`."""
    if actor.role not in {"operator", "organisation_admin"}:
        raise NotAllowed(f"{actor.name} ({actor.role}) may not read the audit; administrators of the organisation may")
    whose = search.organisation_id if actor.is_operator else actor.organisation_id
    query = (
        select(audit_entry, organisation.c.name.label("organisation"))
        .join_from(audit_entry, organisation, organisation.c.id == audit_entry.c.organisation_id, isouter=True)
        .where(
            _contains(audit_entry.c.actor, search.actor),
            _contains(audit_entry.c.name, search.name),
            or_(
                audit_entry.c.action == search.action,
                audit_entry.c.action.startswith(f"{search.action}.", autoescape=True),
            )
            if search.action
            else true(),
            audit_entry.c.organisation_id == whose if whose else true(),
            true() if search.since is None else audit_entry.c.at >= search.since,
            true() if search.until is None else audit_entry.c.at < search.until,
        )
        .order_by(audit_entry.c.at.desc(), audit_entry.c.id.desc())
        .limit(search.count)
    )
    rows = [dict(row._mapping) for row in await store.read(query)]
    values = [json.loads(row[part]) for row in rows for part in ("before", "after")]
    names = {found.id: found.name for query in references.queries(values) for found in await store.read(query)}
    return [{name: value for name, value in entry_of(row, names).items() if name != "organisation_id"} for row in rows]


def entry_of(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """An entry with its JSON read, and with `names` by id of all that it refers to."""
    before, after = json.loads(row["before"]), json.loads(row["after"])
    return {**row, "before": before, "after": after, "names": references.names_in((before, after), names)}


def told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `entry_of` for people: names in place of ids."""
    return {**entry, **{part: references.readable(entry[part], entry["names"]) for part in ("before", "after")}}


def _contains(column: Any, text: str) -> ColumnElement[bool]:
    return column.contains(text, autoescape=True) if text else true()
