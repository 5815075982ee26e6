"""What a file's rows are compared with: places, domains and plans as they are, and look-ups of many names at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.bulk.files import Line, Problems
from gateway.directory.errors import BadValue, DirectoryError, NotFound
from gateway.directory.tables import context, domain, organisation
from gateway.directory.visibility import visible_context, visible_organisation
from gateway.domains.states import CHANGEABLE
from gateway.mail.address import Address
from gateway.store.store import Store

T = TypeVar("T")
D = TypeVar("D")

AT_ONCE = 500
_YES, _NO = frozenset({"yes", "on", "true", "1"}), frozenset({"no", "off", "false", "0"})


@dataclass(frozen=True, slots=True)
class KnownContext:
    id: str
    name: str
    organisation: Any
    """The organisation's row, with its plan."""


NOWHERE = KnownContext("", "", None)
"""Of a row whose place cannot be found out: what depends on the place is not asked then."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one line, each read by itself, so that everything that is wrong with the line is told."""

    line: Line
    problems: Problems

    def text(self, column: str) -> str:
        """Empty for a column that the file does not have."""
        return self.line.values.get(column, "")

    def read(self, instead: D, function: Callable[..., T], *arguments: Any) -> T | D:
        """What `function` returns; where it raises `DirectoryError`, that is one more problem, and `instead` counts."""
        try:
            return function(*arguments)
        except DirectoryError as error:
            self.problems.add(self.line.number, str(error))
            return instead


@dataclass(slots=True)
class KnownPlaces:
    """Every place that the actor may import into, read once."""

    actor: Actor
    organisations: Mapping[str, Any]
    contexts: Mapping[tuple[str, str], KnownContext]
    domains: Mapping[str, str]
    """Id of the organisation by the name of a domain that gets new addresses."""
    default: tuple[str, str] = ("", "")
    """Organisation and context of rows that name none."""
    _allowed: dict[str, None] = field(default_factory=dict)

    def place_of(self, cells: Cells, address: Address | None) -> KnownContext:
        """Where a row belongs. What is wrong with that is told to `cells`, and `NOWHERE` returned when it is not clear.

        `address` None: the row's own is none, so that only organisation and context can be looked at.
        """
        name = cells.text("organisation") or self.default[0]
        owner = cells.read(None, self._named, name) if name else None
        if address is not None:
            owner_id = cells.read(None, self._owner_of, address.domain, owner)
            owner = owner if name else self._by_id(owner_id)
        elif not name and len(self.organisations) == 1:
            [owner] = self.organisations.values()
        if owner is None:
            return NOWHERE
        where = cells.read(NOWHERE, self._context, owner, cells.text("context") or self.default[1])
        if where is not NOWHERE:
            cells.read(None, self._must_be_allowed, owner, where)
        return where

    def _named(self, name: str) -> Any:
        if name not in self.organisations:
            raise NotFound("organisation", name, self.organisations.keys())
        return self.organisations[name]

    def _owner_of(self, domain: str, owner: Any) -> str:
        """Id of the organisation that has the domain. Raises `NotFound`, also when it is another than `owner`."""
        owner_id = self.domains.get(domain)
        if owner_id is None:
            raise NotFound("domain", domain, hint=f"add it first, and prove it: stellwerk domain show {domain}")
        if owner is not None and owner.id != owner_id:
            raise NotFound("domain", domain, hint=f"it is none of {owner.name}")
        return owner_id

    def _must_be_allowed(self, owner: Any, where: KnownContext) -> None:
        if where.id not in self._allowed:
            self.actor.must_administer(owner.id, where.id, f"import into {owner.name}/{where.name}")
            self._allowed[where.id] = None

    def _by_id(self, identity: str | None) -> Any:
        return next((row for row in self.organisations.values() if row.id == identity), None)

    def _context(self, owner: Any, name: str) -> KnownContext:
        there = {each: found for (whose, each), found in self.contexts.items() if whose == owner.name}
        if not name and len(there) == 1:
            return next(iter(there.values()))
        if name not in there:
            known = ", ".join(there) or "none"
            if not name:
                raise BadValue(f"no context is named; {owner.name} has: {known}")
            raise NotFound("context", name, there, f"{owner.name} has: {known}")
        return there[name]


async def known_places(store: Store, actor: Actor, default: tuple[str, str]) -> KnownPlaces:
    owners = await store.read(
        select(organisation).where(visible_organisation(actor), organisation.c.ended_at.is_(None))
    )
    by_id = {row.id: row for row in owners}
    seen = visible_context(actor, context.c.id), context.c.ended_at.is_(None)
    places = await store.read(select(context).where(*seen).order_by(context.c.name))
    found = {
        (by_id[row.organisation_id].name, row.name): KnownContext(row.id, row.name, by_id[row.organisation_id])
        for row in places
        if row.organisation_id in by_id
    }
    usable = domain.c.state.in_(sorted(CHANGEABLE)), domain.c.frozen_at.is_(None), domain.c.disputed_at.is_(None)
    domains = await store.read(select(domain.c.name, domain.c.organisation_id).where(*usable))
    mine = {row.name: row.organisation_id for row in domains if row.organisation_id in by_id}
    return KnownPlaces(actor, {row.name: row for row in owners}, found, mine, default)


async def look_up(
    store: Store, query: Select[Any], column: ColumnElement[Any], values: Collection[str],
    progress: Callable[[int], None] = lambda count: None,
) -> list[Any]:  # fmt: skip
    """The rows of `query` where `column` is one of `values`, any number of them. `progress`: how many were asked."""
    rows: list[Any] = []
    asked = 0
    for piece in _pieces(values):
        rows += await store.read(query.where(column.in_(piece)))
        asked += len(piece)
        progress(asked)
    return rows


def _pieces(values: Collection[str]) -> Iterator[list[str]]:
    remaining = iter(values)
    while piece := list(islice(remaining, AT_ONCE)):
        yield piece


def flag(text: str, column: str, default: bool) -> bool:
    """yes or no, and what else people write for it. Raises `BadValue`."""
    word = text.lower()
    if word in _YES | _NO:
        return word in _YES
    if word:
        raise BadValue(f'found "{text}" in {column}; expected yes or no')
    return default


def key_of(text: str, column: str) -> str:
    """The normal form of an address in some column. Raises `BadValue`."""
    try:
        return names.address(text).key
    except DirectoryError as error:
        raise BadValue(f"{column}: {error}") from None
