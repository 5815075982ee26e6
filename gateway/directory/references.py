"""Ids that stand in audit entries, and the names that people know instead. Nothing here runs a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, select

from gateway.directory.tables import context, mailbox, organisation, person

_REFERENCES: Mapping[str, Table] = {
    "owner_id": person,
    "person_id": person,
    "deputy_id": person,
    "mailbox_id": mailbox,
    "fallback_mailbox_id": mailbox,
    "context_id": context,
    "sees_context_id": context,
    "organisation_id": organisation,
}
"""What the columns of audit entries refer to."""
_NAMES: Mapping[Table, ColumnElement[Any]] = {
    person: person.c.address,
    mailbox: mailbox.c.address,
    context: organisation.c.name + "/" + context.c.name,
    organisation: organisation.c.name,
}
_AT_ONCE = 500


def queries(values: Iterable[Mapping[str, Any]]) -> Iterator[Select[Any]]:
    """Rows of `id` and `name` for all that `values`, the before and after of entries, refer to."""
    wanted: dict[Table, dict[str, None]] = {}
    for each in values:
        for column, value in each.items():
            if value and column in _REFERENCES:
                wanted.setdefault(_REFERENCES[column], {})[value] = None
    for table, found in wanted.items():
        ids = list(found)
        for first in range(0, len(ids), _AT_ONCE):
            query = select(table.c.id, _NAMES[table].label("name")).where(table.c.id.in_(ids[first : first + _AT_ONCE]))
            if table is context:
                query = query.join_from(context, organisation, organisation.c.id == context.c.organisation_id)
            yield query


def names_in(values: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """Names by id, of what `values` refer to and of nothing else. What is not there any more keeps its id."""
    ids = {value: None for each in values for column, value in each.items() if value and column in _REFERENCES}
    return {identity: known.get(identity, f"(gone) {identity}") for identity in ids}


def readable(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """`values` with names in place of ids: `owner` instead of `owner_id`. The row's own id says nothing to people."""
    return {
        column.removesuffix("_id") if column in _REFERENCES else column: names.get(value, value)
        if column in _REFERENCES
        else value
        for column, value in values.items()
        if column != "id"
    }
