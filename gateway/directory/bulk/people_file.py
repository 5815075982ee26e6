"""People as a CSV file: what its columns mean, what must be so, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.bulk.files import BadFile, Line, Problems
from gateway.directory.bulk.importing import Chunk, Progress, row_id
from gateway.directory.bulk.known import NOWHERE, Cells, KnownPlaces, key_of, known_places, look_up
from gateway.directory.bulk.rights import refused_logins
from gateway.directory.errors import BadValue
from gateway.directory.people import ACTIVE, INACTIVE, check_language, check_role, is_a_person_already
from gateway.directory.tables import context, person
from gateway.directory.visibility import visible_person
from gateway.store.store import Store

COLUMNS = (
    "organisation", "context", "address", "name", "role", "language", "phone", "extension", "deputy", "state",
)  # fmt: skip
REQUIRED = ("address",)


class Row(NamedTuple):
    """A line, as far as it can be read: a wrong cell counts as left out, the address as empty."""

    line: int
    context_id: str
    organisation_id: str
    address: str
    name: str
    role: str
    language: str
    phone: str
    extension: str
    deputy: str
    state: str


@dataclass(slots=True)
class People:
    """A checked file. A deputy is set with the later one of the two rows, since people are each other's deputies."""

    rows: list[Row]
    deputies: dict[str, str] = field(default_factory=dict)
    """Ids of people who are in the directory already, by address."""
    noun: str = "person"
    _numbers: dict[str, int] = field(default_factory=dict)
    _waiting: dict[int, list[int]] = field(default_factory=dict)
    """Numbers of the rows that wait for a later one, by its number."""

    def __post_init__(self) -> None:
        self._numbers = {row.address: number for number, row in enumerate(self.rows)}
        for number, row in enumerate(self.rows):
            if (deputy := self._numbers.get(row.deputy, -1)) > number:
                self._waiting.setdefault(deputy, []).append(number)

    def __len__(self) -> int:
        return len(self.rows)

    def chunk(self, import_id: str, first: int, count: int, now: float) -> Chunk:
        rows: list[dict[str, Any]] = []
        by_organisation: dict[str, list[str]] = {}
        later: list[tuple[str, str]] = []
        part = self.rows[first : first + count]
        for number, row in enumerate(part, first):
            later += [(row_id(import_id, each), row_id(import_id, number)) for each in self._waiting.get(number, ())]
            deputy = self._numbers.get(row.deputy)
            if deputy is not None and deputy < number:
                later.append((row_id(import_id, number), row_id(import_id, deputy)))
            rows.append(
                {
                    "id": row_id(import_id, number),
                    "context_id": row.context_id,
                    "address": row.address,
                    "name": row.name,
                    "phone": row.phone,
                    "language": row.language,
                    "role": row.role,
                    "state": row.state,
                    "extension": row.extension,
                    "deputy_id": self.deputies[row.deputy] if row.deputy and deputy is None else None,
                    "created_at": now,
                    "deactivated_at": now if row.state == INACTIVE else None,
                }
            )
            by_organisation.setdefault(row.organisation_id, []).append(row.address)
        needed = frozenset(self.deputies[row.deputy] for row in part if row.deputy in self.deputies)
        return Chunk(len(part), [(person, rows)], by_organisation, needed, tuple(later))


async def check_people(
    store: Store, actor: Actor, file: str, lines: Iterable[Line], problems: Problems, progress: Progress,
    default: tuple[str, str] = ("", ""),
) -> People:  # fmt: skip
    """Raises `BadFile` with everything that is wrong; `problems` are those that reading the lines finds."""
    places = await known_places(store, actor, default)
    rows = [_row(places, Cells(line, problems)) for line in lines]
    _check_against_each_other(rows, problems)
    deputies = await _check_against_the_directory(store, actor, rows, problems, progress)
    if not actor.is_operator:
        refused = await refused_logins(store, actor, {row.address: row.line for row in rows if row.address})
        for each in refused:
            problems.add(*each)
    if problems:
        raise BadFile(file, problems)
    return People(rows, deputies)


def _row(places: KnownPlaces, cells: Cells) -> Row:
    address = cells.read(None, names.address, cells.text("address"))
    where = places.place_of(cells, address)
    state = cells.read(ACTIVE, _state, cells.text("state"))
    extension = cells.read("", _extension, cells.text("extension"), state)
    return Row(
        cells.line.number,
        where.id,
        "" if where is NOWHERE else where.organisation.id,
        "" if address is None else address.key,
        cells.read("", names.line, cells.text("name"), "the name"),
        cells.read("", _role, places.actor, cells.text("role")),
        cells.read("", _language, cells.text("language")),
        cells.read("", names.line, cells.text("phone"), "the phone"),
        extension,
        cells.read("", key_of, cells.text("deputy"), "deputy") if cells.text("deputy") else "",
        state,
    )


def _role(actor: Actor, text: str) -> str:
    check_role(actor, text or "member")
    return text or "member"


def _language(text: str) -> str:
    check_language(text or "en")
    return text or "en"


def _state(text: str) -> str:
    if text not in {"", ACTIVE, INACTIVE}:
        raise BadValue(f'found "{text}" in state; expected {ACTIVE} or {INACTIVE}')
    return text or ACTIVE


def _extension(text: str, state: str) -> str:
    if names.extension(text) and state == INACTIVE:
        raise BadValue(f'found "{text}" in extension; somebody who has left can have none, leave it empty')
    return text


def _check_against_each_other(rows: list[Row], problems: Problems) -> None:
    lines: dict[str, int] = {}
    extensions: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.address and (first := lines.setdefault(row.address, row.line)) != row.line:
            problems.add(row.line, f"{row.address} stands in line {first} already")
        if row.extension and row.context_id:
            first = extensions.setdefault((row.context_id, row.extension), row.line)
            if first != row.line:
                problems.add(row.line, f"extension {row.extension} is given in line {first} already")


async def _check_against_the_directory(
    store: Store, actor: Actor, rows: list[Row], problems: Problems, progress: Progress
) -> dict[str, str]:
    """Ids of the deputies who are in the directory."""
    by_address: dict[str, Row] = {}
    for row in rows:
        if row.address:
            by_address.setdefault(row.address, row)
    total = len(by_address)
    taken = await look_up(
        store, select(person.c.address), person.c.address, by_address, lambda done: progress("checking", done, total)
    )
    for found in taken:
        problems.add(by_address[found.address].line, is_a_person_already(found.address))
    asked = {row.context_id for row in rows if row.extension and row.context_id}
    query = select(person.c.context_id, person.c.extension, person.c.address).where(person.c.extension != "")
    held = [found for context_id in asked for found in await store.read(query.where(person.c.context_id == context_id))]
    holders = {(found.context_id, found.extension): found.address for found in held}
    for row in rows:
        if row.extension and (row.context_id, row.extension) in holders:
            holder = holders[row.context_id, row.extension]
            problems.add(row.line, f"extension {row.extension} is {holder}'s")
    return await _deputies(store, actor, rows, by_address, problems)


async def _deputies(
    store: Store, actor: Actor, rows: list[Row], by_address: dict[str, Row], problems: Problems
) -> dict[str, str]:
    outside = {row.deputy for row in rows if row.deputy and row.deputy not in by_address}
    query = (
        select(person.c.id, person.c.address, context.c.organisation_id)
        .join_from(person, context, person.c.context_id == context.c.id)
        .where(visible_person(actor), person.c.state == ACTIVE)
    )
    deputies = {row.address: row for row in await look_up(store, query, person.c.address, outside)}
    for row in rows:
        if not row.deputy:
            continue
        deputy = by_address.get(row.deputy) or deputies.get(row.deputy)
        if row.deputy == row.address:
            problems.add(row.line, f"{row.address} cannot be their own deputy")
        elif deputy is None or _elsewhere(row, deputy):
            problems.add(row.line, f"the deputy {row.deputy} is nobody active of the organisation")
    return {address: row.id for address, row in deputies.items()}


def _elsewhere(row: Row, deputy: Any) -> bool:
    """Whether they are of different organisations; nobody knows where a line's place cannot be read."""
    return "" not in {row.organisation_id, deputy.organisation_id} and row.organisation_id != deputy.organisation_id
