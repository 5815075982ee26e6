"""Mailboxes as a CSV file, with their aliases and members: what must be so, and the rows that come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, func, select

from gateway.directory import names
from gateway.directory.actor import Actor
from gateway.directory.bulk.files import BadFile, Line, Problems
from gateway.directory.bulk.importing import Chunk, Progress, row_id
from gateway.directory.bulk.known import NOWHERE, Cells, KnownContext, KnownPlaces, flag, key_of, known_places, look_up
from gateway.directory.bulk.rights import refused_addresses, refused_owners
from gateway.directory.dangling import first_administrator
from gateway.directory.errors import BadValue, NotFound, OverPlan
from gateway.directory.mailboxes import ALIAS, KINDS, MAIN
from gateway.directory.members import Rights
from gateway.directory.people import ACTIVE
from gateway.directory.plans import limit_of
from gateway.directory.tables import address, context, mailbox, membership, person
from gateway.directory.visibility import visible_person
from gateway.store.store import Store

COLUMNS = (
    "organisation", "context", "address", "kind", "owner", "display_name", "receives", "vip", "max_message_bytes",
    "next_hop", "aliases", "members",
)  # fmt: skip
REQUIRED = ("address",)
RIGHTS = ("read", "send_as", "send_on_behalf", "manage")


class Row(NamedTuple):
    """A line, as far as it can be read: a wrong cell counts as left out, the address as empty, the place as `NOWHERE`.

    `owner` is empty where nobody is named, and None where the cell is wrong.
    """

    line: int
    where: KnownContext
    address: str
    kind: str
    owner: str | None
    display_name: str
    receives: int
    vip: int
    max_message_bytes: int | None
    next_hop: str
    aliases: tuple[str, ...]
    members: tuple[tuple[str, tuple[int, ...]], ...]
    """Address of the person, and 0 or 1 for each of `RIGHTS`."""


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """A checked file."""

    rows: list[Row]
    people: Mapping[str, str]
    """Ids by address."""
    heirs: Mapping[str, str]
    """By context: id of whoever gets what has no owner."""
    noun: str = "mailbox"

    def __len__(self) -> int:
        return len(self.rows)

    def chunk(self, import_id: str, first: int, count: int, now: float) -> Chunk:
        boxes: list[dict[str, Any]] = []
        addresses: list[dict[str, Any]] = []
        members: list[dict[str, Any]] = []
        by_organisation: dict[str, list[str]] = {}
        part = self.rows[first : first + count]
        for number, row in enumerate(part, first):
            identity = row_id(import_id, number)
            boxes.append(
                {
                    "id": identity,
                    "context_id": row.where.id,
                    "address": row.address,
                    "kind": row.kind,
                    "owner_id": self.people[row.owner] if row.owner else self.heirs[row.where.id],
                    "display_name": row.display_name,
                    "receives": row.receives,
                    "vip": row.vip,
                    "max_message_bytes": row.max_message_bytes,
                    "next_hop": row.next_hop,
                    "created_at": now,
                }
            )
            addresses += [
                {"key": key, "domain": key.rpartition("@")[2], "mailbox_id": identity, "kind": kind, "created_at": now}
                for key, kind in ((row.address, MAIN), *((alias, ALIAS) for alias in row.aliases))
            ]
            members += [
                {
                    "id": f"{identity}-{place}",
                    "mailbox_id": identity,
                    "person_id": self.people[who],
                    **{f"can_{right}": value for right, value in zip(RIGHTS, rights, strict=True)},
                    "since": now,
                }
                for place, (who, rights) in enumerate(row.members)
            ]
            by_organisation.setdefault(row.where.organisation.id, []).append(row.address)
        needed = frozenset(
            [*(box["owner_id"] for box in boxes), *(member["person_id"] for member in members)]
        )  # fmt: skip
        tables = [(mailbox, boxes), (address, addresses), (membership, members)]
        return Chunk(len(part), tables, by_organisation, needed)


async def check_mailboxes(
    store: Store, actor: Actor, file: str, lines: Iterable[Line], problems: Problems, progress: Progress,
    default: tuple[str, str] = ("", ""), next_hops: Iterable[str] = (),
) -> Mailboxes:  # fmt: skip
    """Raises `BadFile` with everything that is wrong; `problems` are those that reading the lines finds."""
    places = await known_places(store, actor, default)
    hops = frozenset(next_hops)
    rows = [_row(places, Cells(line, problems), hops) for line in lines]
    await _check_addresses(store, rows, problems, progress)
    people = await _check_people(store, actor, rows, problems)
    if not actor.is_operator:
        refused = refused_owners(actor, ((row.line, row.owner) for row in rows if row.owner), people)
        wanted = {key: (row.line, row.owner or "") for row in rows for key in (row.address, *row.aliases) if key}
        refused += await refused_addresses(store, actor, wanted)
        for each in refused:
            problems.add(*each)
    heirs = await _heirs(store, rows, problems)
    await _check_plans(store, rows, people, problems)
    if problems:
        raise BadFile(file, problems)
    return Mailboxes(rows, {key: row.id for key, row in people.items()}, heirs)


def _row(places: KnownPlaces, cells: Cells, next_hops: frozenset[str]) -> Row:
    main = cells.read(None, names.address, cells.text("address"))
    where = places.place_of(cells, main)
    aliases = [cells.read("", _alias, places, where, text) for text in cells.text("aliases").split()]
    members = [cells.read(None, _member, text) for text in cells.text("members").split()]
    return Row(
        cells.line.number,
        where,
        "" if main is None else main.key,
        cells.read("", _kind, cells.text("kind")),
        cells.read(None, key_of, cells.text("owner"), "owner") if cells.text("owner") else "",
        cells.read("", names.line, cells.text("display_name"), "the display name"),
        int(cells.read(True, flag, cells.text("receives"), "receives", True)),
        int(cells.read(False, flag, cells.text("vip"), "vip", False)),
        cells.read(None, _bytes, cells.text("max_message_bytes")),
        cells.read("", _next_hop, cells.text("next_hop"), next_hops),
        tuple(alias for alias in aliases if alias),
        tuple(member for member in members if member is not None),
    )


def _kind(text: str) -> str:
    kind = text or "personal"
    if kind not in KINDS:
        raise BadValue(f'found "{kind}" in kind; expected {" or ".join(KINDS)}')
    return kind


def _next_hop(name: str, next_hops: frozenset[str]) -> str:
    if name and name not in next_hops:
        raise BadValue(f"there is no [next_hop.{name}]; the configuration has: {', '.join(sorted(next_hops))}")
    return name


def _alias(places: KnownPlaces, where: KnownContext, text: str) -> str:
    parsed = names.address(text)
    if where is not NOWHERE and places.domains.get(parsed.domain) != where.organisation.id:
        raise NotFound("domain", parsed.domain, hint=f"it is none of {where.organisation.name}")
    return parsed.key


def _member(text: str) -> tuple[str, tuple[int, ...]]:
    """`bo@acme.test` (may read) or `bo@acme.test=read+send_as`."""
    who, _, rights = text.partition("=")
    given = rights.split("+") if rights else ["read"]
    if unknown := [right for right in given if right not in RIGHTS]:
        raise BadValue(
            f'found the right "{unknown[0]}" in members; expected some of {", ".join(RIGHTS)}, with + between'
        )
    wanted = Rights(**{right: right in given for right in RIGHTS})
    return key_of(who, "members"), tuple(wanted.columns().values())


def _bytes(text: str) -> int | None:
    if text in {"", "unlimited"}:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise BadValue(f'found "{text}" in max_message_bytes; expected a number of bytes, or nothing')
    return int(text)


async def _check_addresses(store: Store, rows: list[Row], problems: Problems, progress: Progress) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        for key in (*([row.address] if row.address else []), *row.aliases):
            if key in lines:
                problems.add(row.line, f"{key} stands in line {lines[key]} already")
            else:
                lines[key] = row.line
    taken = await look_up(
        store, select(address.c.key), address.c.key, lines, lambda done: progress("checking", done, len(lines))
    )
    for found in taken:
        problems.add(lines[found.key], f"{found.key} is an address already")


async def _check_people(
    store: Store, actor: Actor, rows: list[Row], problems: Problems
) -> dict[str, Any]:  # fmt: skip
    """Everybody who is named, by address; whoever is not there is a problem for each line."""
    wanted = {row.owner for row in rows if row.owner} | {who for row in rows for who, _ in row.members}
    query = (
        select(person.c.id, person.c.address, person.c.role, context.c.organisation_id)
        .join_from(person, context, person.c.context_id == context.c.id)
        .where(visible_person(actor), person.c.state == ACTIVE)
    )
    people = {row.address: row for row in await look_up(store, query, person.c.address, wanted)}
    for row in rows:
        named = [("owner", row.owner)] if row.owner else []
        members = [who for who, _ in row.members]
        for column, who in (*named, *(("members", each) for each in members)):
            found = people.get(who)
            if row.where is NOWHERE:
                if found is None:
                    problems.add(row.line, f"{column}: {who} is nobody active")
            elif found is None or found.organisation_id != row.where.organisation.id:
                problems.add(row.line, f"{column}: {who} is nobody active of {row.where.organisation.name}")
        if len(set(members)) < len(members):
            problems.add(row.line, "members: somebody is named twice")
    return people


async def _heirs(store: Store, rows: list[Row], problems: Problems) -> dict[str, str]:
    """Who gets mailboxes without an owner, by context. Their plan is not asked: they hand them over."""
    heirs: dict[str, str] = {}
    for row in rows:
        if row.owner != "" or row.where is NOWHERE:
            continue
        where = row.where
        if where.id not in heirs:
            heir = await first_administrator(store, where.id, where.organisation.id)
            heirs[where.id] = "" if heir is None else heir.id
        if not heirs[where.id]:
            text = f"no owner is named, and {where.organisation.name}/{where.name} has no active administrator"
            problems.add(row.line, f"{text} to give it to")
    return heirs


async def _check_plans(store: Store, rows: list[Row], people: Mapping[str, Any], problems: Problems) -> None:
    owned, shared = await _present(store, rows, people)
    for row in rows:
        if row.where is NOWHERE:
            continue
        owner = row.where.organisation
        wanted = [("aliases", f"aliases of {row.address}", 0, len(row.aliases))]
        others = [who for who, _ in row.members if who != row.owner]
        wanted.append(("members", f"members of {row.address}", 0, len(others)))
        if row.owner and row.kind == "personal":
            wanted.append(("own-mailboxes", f"mailboxes of {row.owner}", owned[row.owner], 1))
            owned[row.owner] += 1
        for who in others:
            wanted.append(("shared-mailboxes", f"mailboxes shared with {who}", shared[who], 1))
            shared[who] += 1
        for setting, what, present, more in wanted:
            limit = limit_of(owner, setting)
            if limit is not None and more and present + more > limit:
                reached = present if present >= limit else present + more - 1
                problems.add(row.line, str(OverPlan(what, limit, reached, owner.name, setting)))
        largest = owner.plan_message_bytes
        if largest is not None and (row.max_message_bytes or 0) > largest:
            text = f"max_message_bytes: found {row.max_message_bytes}; the plan of {owner.name} allows {largest}"
            problems.add(row.line, text)


async def _present(store: Store, rows: list[Row], people: Mapping[str, Any]) -> tuple[Counter[str], Counter[str]]:
    """How many mailboxes people own, and how many are shared with them, where some plan asks."""
    plans = {row.where.organisation.id: row.where.organisation for row in rows if row.where is not NOWHERE}.values()
    owned: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    address_of = {row.id: key for key, row in people.items()}
    if any(plan.plan_own_mailboxes is not None for plan in plans):
        mine = and_(mailbox.c.ended_at.is_(None), mailbox.c.kind == "personal")
        query = select(mailbox.c.owner_id, func.count().label("n")).where(mine).group_by(mailbox.c.owner_id)
        for found in await look_up(store, query, mailbox.c.owner_id, address_of):
            owned[address_of[found.owner_id]] = found.n
    if any(plan.plan_shared_mailboxes is not None for plan in plans):
        query = (
            select(membership.c.person_id, func.count().label("n"))
            .join_from(membership, mailbox, membership.c.mailbox_id == mailbox.c.id)
            .where(membership.c.until.is_(None), mailbox.c.owner_id.is_distinct_from(membership.c.person_id))
            .group_by(membership.c.person_id)
        )
        for found in await look_up(store, query, membership.c.person_id, address_of):
            shared[address_of[found.person_id]] = found.n
    return owned, shared
