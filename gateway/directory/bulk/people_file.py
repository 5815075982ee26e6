"""People as a CSV file: what its columns mean, what must be so, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.bulk.files import BadFile, Line, Problem
from gateway.directory.bulk.importing import Chunk, Progress, row_id
from gateway.directory.bulk.known import KnownPlaces, key_of, known_places, look_up
from gateway.directory.bulk.rights import refused_logins
from gateway.directory.errors import BadValue, DirectoryError
from gateway.directory.people import ACTIVE, INACTIVE, check_language, check_role, is_a_person_already
from gateway.directory.tables import context, person
from gateway.directory.visibility import visible_person
from gateway.store.store import Store

COLUMNS = (
    "organisation", "context", "address", "name", "role", "language", "phone", "extension", "deputy", "state",
)  # fmt: skip
REQUIRED = ("address",)


class Row(NamedTuple):
    """A line that is right as far as it goes alone."""

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
    store: Store, actor: Actor, file: str, lines: Iterable[Line], problems: list[Problem], progress: Progress,
    default: tuple[str, str] = ("", ""),
) -> People:  # fmt: skip
    """Raises `BadFile` with everything that is wrong; `problems` are those that reading the lines finds."""
    places = await known_places(store, actor, default)
    rows: list[Row] = []
    for line in lines:
        try:
            rows.append(_row(places, line))
        except DirectoryError as error:
            problems.append(Problem(line.number, str(error)))
    _check_against_each_other(rows, problems)
    deputies = await _check_against_the_directory(store, actor, rows, problems, progress)
    if not actor.is_operator:
        refused = await refused_logins(store, actor, {row.address: row.line for row in rows})
        problems += [Problem(*each) for each in refused]
    if problems:
        raise BadFile(file, sorted(problems, key=lambda problem: problem.line))
    return People(rows, deputies)


def _row(places: KnownPlaces, line: Line) -> Row:
    values = line.values
    address = names.address(values["address"])
    where = places.place_of(values, address)
    role = values.get("role", "") or "member"
    check_role(places.actor, role)
    language = values.get("language", "") or "en"
    check_language(language)
    state = values.get("state", "") or ACTIVE
    if state not in {ACTIVE, INACTIVE}:
        raise BadValue(f'found "{state}" in state; expected {ACTIVE} or {INACTIVE}')
    extension = names.extension(values.get("extension", ""))
    if extension and state == INACTIVE:
        raise BadValue(f"{address.key} has left and can have no extension; leave it empty")
    return Row(
        line.number,
        where.id,
        where.organisation.id,
        address.key,
        names.line(values.get("name", ""), "the name"),
        role,
        language,
        names.line(values.get("phone", ""), "the phone"),
        extension,
        key_of(values["deputy"], "deputy") if values.get("deputy") else "",
        state,
    )


def _check_against_each_other(rows: list[Row], problems: list[Problem]) -> None:
    lines: dict[str, int] = {}
    extensions: dict[tuple[str, str], int] = {}
    for row in rows:
        if (first := lines.setdefault(row.address, row.line)) != row.line:
            problems.append(Problem(row.line, f"{row.address} stands in line {first} already"))
        if row.extension:
            first = extensions.setdefault((row.context_id, row.extension), row.line)
            if first != row.line:
                problems.append(Problem(row.line, f"extension {row.extension} is given in line {first} already"))


async def _check_against_the_directory(
    store: Store, actor: Actor, rows: list[Row], problems: list[Problem], progress: Progress
) -> dict[str, str]:
    """Ids of the deputies who are in the directory."""
    by_address = {row.address: row for row in rows}
    total = len(by_address)
    taken = await look_up(
        store, select(person.c.address), person.c.address, by_address, lambda done: progress("checking", done, total)
    )
    problems += [Problem(by_address[found.address].line, is_a_person_already(found.address)) for found in taken]
    wanted = {(row.context_id, row.extension): row for row in rows if row.extension}
    query = select(person.c.context_id, person.c.extension, person.c.address).where(person.c.extension != "")
    for context_id in {place for place, _ in wanted}:
        held = await store.read(query.where(person.c.context_id == context_id))
        problems += [
            Problem(wanted[context_id, found.extension].line, f"extension {found.extension} is {found.address}'s")
            for found in held
            if (context_id, found.extension) in wanted
        ]
    return await _deputies(store, actor, by_address, problems)


async def _deputies(store: Store, actor: Actor, by_address: dict[str, Row], problems: list[Problem]) -> dict[str, str]:
    rows = by_address.values()
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
            problems.append(Problem(row.line, f"{row.address} cannot be their own deputy"))
        elif deputy is None or deputy.organisation_id != row.organisation_id:
            problems.append(Problem(row.line, f"the deputy {row.deputy} is nobody active of the organisation"))
    return {address: row.id for address, row in deputies.items()}
