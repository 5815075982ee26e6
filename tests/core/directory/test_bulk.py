"""Imports: all errors at once with their lines, all or nothing whatever happens, and exports that fit them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.bulk import importing
from gateway.directory.bulk.exporting import mailbox_rows, people_rows
from gateway.directory.bulk.files import MOST_SHOWN, BadFile, Problems, guarded, read_lines, unguarded, write_rows
from gateway.directory.bulk.importing import CHUNK, SILENT_SECONDS, Checked, Chunk, carry_in, undo_interrupted
from gateway.directory.bulk.mailboxes_file import COLUMNS as MAILBOX_COLUMNS
from gateway.directory.bulk.mailboxes_file import check_mailboxes
from gateway.directory.bulk.people_file import COLUMNS as PEOPLE_COLUMNS
from gateway.directory.bulk.people_file import check_people
from gateway.directory.change import Command, Done, carry_out
from gateway.directory.dangling import audit
from gateway.directory.ending import EndContext
from gateway.directory.errors import BadValue, Conflict
from gateway.directory.leaving import DeactivatePerson, SetDeputy
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import AddContext, ChangeOrganisation
from gateway.directory.people import AddPerson, ChangePerson
from gateway.directory.tables import address, audit_entry, directory_import, mailbox, membership, person
from gateway.store.store import Store
from tests.core.directory.conftest import OPERATOR, TOWN, Kept

Told = list[tuple[str, int, int]]


async def check(
    town: Kept, tmp_path: Path, text: str, *, people: bool = False, who: str = "", told: Told | None = None
) -> Checked:
    file = tmp_path / "file.csv"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    actor = await actor_of(town.store, who) if who else OPERATOR
    problems = Problems()

    def progress(phase: str, done: int, total: int) -> None:
        if told is not None:
            told.append((phase, done, total))

    if people:
        lines = read_lines(file, PEOPLE_COLUMNS, ("address",), problems)
        return await check_people(town.store, actor, "file.csv", lines, problems, progress)
    lines = read_lines(file, MAILBOX_COLUMNS, ("address",), problems)
    return await check_mailboxes(town.store, actor, "file.csv", lines, problems, progress, next_hops=("mail",))


async def bring(town: Kept, checked: Checked, told: Told | None = None) -> str:
    def progress(phase: str, done: int, total: int) -> None:
        if told is not None:
            told.append((phase, done, total))

    return await carry_in(town.store, OPERATOR, checked, lambda: town.now, progress)


async def count(town: Kept, table: Any) -> int:
    return int((await town.rows(select(func.count().label("n")).select_from(table)))[0]["n"])


def many(number: int, start: int = 0) -> str:
    rows = "".join(f"box{n}@acme.test,a{n}@acme.test\n" for n in range(start, start + number))
    return f"address,context,aliases\n{rows}".replace("test,a", "test,sales,a")


MAILBOX_HEADER = "address,context,aliases,owner,members,vip,kind,max_message_bytes,next_hop,receives,organisation"
WRONG_MAILBOXES: list[tuple[str, list[str]]] = [
    ("nobody,sales,,,,,,,,,", ["is no mail address: an address needs a local part"]),
    ("b1@acme.test,lab,,,,,,,,,", ['there is no context "lab"; acme has: plant, sales']),
    ("b2@acme.test,,,,,,,,,,", ["no context is named; acme has: plant, sales"]),
    ("b3@nowhere.test,sales,,,,,,,,,", ['there is no domain "nowhere.test"; add it first']),
    ("team@acme.test,sales,,,,,,,,,", ["team@acme.test is an address already"]),
    ("b4@acme.test,sales,info@acme.test,,,,,,,,", ["info@acme.test is an address already"]),
    ("b5@acme.test,sales,x@other.test,,,,,,,,", ['there is no domain "other.test"; it is none of acme']),
    ("b6@acme.test,sales,,eva@acme.test,,,,,,,", ["owner: eva@acme.test is nobody active of acme"]),
    ("b7@acme.test,sales,,cleo@other.test,,,,,,,", ["owner: cleo@other.test is nobody active of acme"]),
    ("b8@acme.test,sales,,,bo@acme.test=write,,,,,,", ['found the right "write" in members']),
    ("b9@acme.test,sales,,,bo@acme.test bo@acme.test=read,,,,,,", ["members: somebody is named twice"]),
    ("c1@acme.test,sales,,,,maybe,,,,,", ['found "maybe" in vip; expected yes or no']),
    ("c2@acme.test,sales", ["found 2 fields; the first line names 11 columns"]),
    ('c3@acme.test,"sales"y,,,,,,,,,', ["no row of CSV"]),
    ("c4\udcfc@acme.test,sales,,,,,,,,,", ["the row is not UTF-8"]),
    ("c5@other.test,main,,,,,,,,,", ["no owner is named, and other/main has no active administrator to give it to"]),
    (
        "mz@acme.test,sales,,,,2,private,abc,nowhere,perhaps,",
        ['found "perhaps" in receives', 'found "2" in vip', 'found "private" in kind', 'found "abc" in max_message_by',
         "there is no [next_hop.nowhere]"],
    ),
    (
        "d1@nowhere.test,lab,no-alias d2@acme.test=,no-owner,no-one eva@acme.test,maybe,,,,,acme",
        ['there is no domain "nowhere.test"', 'there is no context "lab"', '"no-alias" is no mail address',
         '"d2@acme.test=" is no mail address', 'members: "no-one" is no mail', "owner:", "vip",
         "members: eva@acme.test is nobody active"],
    ),
    ("no-address,lab,,,,,odd,,,,acme", ["is no mail address", 'there is no context "lab"', 'found "odd" in kind']),
    ("d3@acme.test,lab,,,,,,,,,nix", ['there is no organisation "nix"']),
    ("d4@other.test,lab,,,,,,,,,acme", ['there is no domain "other.test"; it is none', 'there is no context "lab"']),
    ("mz@acme.test,sales,,,,,,,,,", ["mz@acme.test stands in line 18 already"]),
    ("d5@acme.test,sales,mz@acme.test b1@acme.test,,,,,,,,", ["mz@acme.test stands in line 18", "b1@acme.test stands"]),
    ("d3@acme.test,sales,,,,,,,,,", ["d3@acme.test stands in line 21 already"]),
    ("d6@acme.test,plant,,no-owner,,,,,,,", ["owner:"]),
    ("d7@other.test,main,,,,,,,,,", ["no owner is named, and other/main has no active administrator to give it to"]),
    ("d8@other.test,main,,no-owner,,,,,,,", ["owner:"]),
]  # fmt: skip
PEOPLE_HEADER = "address,role,extension,deputy,state,language,name,context"
WRONG_PEOPLE: list[tuple[str, list[str]]] = [
    ("bo@acme.test,,,,,,,sales", ["bo@acme.test is a person already"]),
    ("x@acme.test,chief,,,,,,sales", ['"chief" is no role']),
    ("x1@acme.test,,12345,,,,,sales", ['"12345" is no extension']),
    ("x2@acme.test,,7,,,,,sales", ["extension 7 is anna@acme.test's"]),
    ("x3@acme.test,,8,,,,,sales", []),
    ("x4@acme.test,,8,,,,,sales", ["extension 8 is given in line 6 already"]),
    ("x3@acme.test,,,,,,,sales", ["x3@acme.test stands in line 6 already"]),
    ("x5@acme.test,,,nobody@acme.test,,,,sales", ["the deputy nobody@acme.test is nobody active of the organisation"]),
    ("x6@acme.test,,,cleo@other.test,,,,sales", ["the deputy cleo@other.test is nobody active of the organisation"]),
    ("x7@acme.test,,,x7@acme.test,,,,sales", ["x7@acme.test cannot be their own deputy"]),
    ("x8@acme.test,,,,asleep,,,sales", ['found "asleep" in state']),
    (
        "x9@acme.test,chief,12345,no-one,asleep,fr,,lab",
        ['there is no context "lab"', 'found "asleep" in state', '"12345" is no extension', '"chief" is no role',
         '"fr" is no language', "deputy:"],
    ),
    ("x9@acme.test,,,,,,,sales", ["x9@acme.test stands in line 13 already"]),
    ("no-address,chief,,nobody@acme.test,,,,sales", ["no mail address", '"chief" is no role', "the deputy nobody@"]),
    ("x3@acme.test,,7,nobody@acme.test,,,,sales", ["in line 6", "7 is given in", "7 is anna@", "the deputy nobody@"]),
    ("y1@acme.test,,9,,inactive,,,sales", ['found "9" in extension; somebody who has left can have none']),
    ("y2@acme.test,,,x9@acme.test,,,,sales", []),
]  # fmt: skip


async def told_for(town: Kept, tmp_path: Path, header: str, rows: Sequence[str], *, people: bool) -> list[list[str]]:
    """What is said of each row, in order."""
    with pytest.raises(BadFile) as refusal:
        await check(town, tmp_path, "\n".join([header, *rows]), people=people)
    problems = refusal.value.problems
    shown = str(refusal.value).splitlines()
    assert [line.partition(": ")[0] for line in shown[:-1]] == [f"file.csv:{problem.line}" for problem in problems]
    assert shown[-1] == f"nothing was imported: {len(problems)} errors in file.csv"
    return [[problem.text for problem in problems if problem.line == line] for line in range(2, len(rows) + 2)]


@pytest.mark.parametrize(
    ("header", "rows", "people"),
    [(MAILBOX_HEADER, WRONG_MAILBOXES, False), (PEOPLE_HEADER, WRONG_PEOPLE, True)],
    ids=["mailboxes", "people"],
)
async def test_every_error_of_a_file_is_told_at_once_with_its_line(
    town: Kept, tmp_path: Path, header: str, rows: list[tuple[str, list[str]]], people: bool
) -> None:
    await town.do(ChangePerson("anna@acme.test", {"extension": "7"}))
    told = await told_for(town, tmp_path, header, [row for row, _ in rows], people=people)
    for (row, expected), texts in zip(rows, told, strict=True):
        missing = [text for text in expected if not any(text in each for each in texts)]
        assert (row, missing, len(texts)) == (row, [], len(expected)), texts


async def test_of_very_many_errors_all_are_counted_and_the_first_are_kept(town: Kept, tmp_path: Path) -> None:
    rows = "".join(f"b{n}@acme.test,lab,maybe\n" for n in range(3 * MOST_SHOWN))
    with pytest.raises(BadFile) as refusal:
        await check(town, tmp_path, f"address,context,vip\n{rows}b0@acme.test,sales,\n")
    assert [problem.line for problem in refusal.value.problems] == [2 + n // 2 for n in range(MOST_SHOWN)]
    told = str(refusal.value).splitlines()
    assert told[-2:] == [
        f"... and {5 * MOST_SHOWN + 1} more",
        f"nothing was imported: {6 * MOST_SHOWN + 1} errors in file.csv",
    ]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("", "there is no line with names of columns"),
        ("address,colour", 'found the column "colour"; expected some of: organisation, context, address'),
        ("context", "there is no column address"),
        ("address,address", "there are two columns address"),
    ],
)
async def test_a_wrong_first_line_says_what_is_expected(town: Kept, tmp_path: Path, header: str, text: str) -> None:
    with pytest.raises(BadValue) as refusal:
        await check(town, tmp_path, header + "\n")
    assert text in str(refusal.value)


async def test_semicolons_a_byte_order_mark_and_lines_within_cells(town: Kept, tmp_path: Path) -> None:
    text = '\ufeffAddress;Context;Display_Name\r\nx@acme.test;sales;"A; B"\r\n\r\ny@acme.test;sales;"two\nlines"\r\n'
    with pytest.raises(BadFile) as refusal:
        await check(town, tmp_path, text + "z;sales;\r\n")
    assert [problem.line for problem in refusal.value.problems] == [4, 6]


async def test_the_plan_holds_for_imports(town: Kept, tmp_path: Path) -> None:
    plan = {"plan_own_mailboxes": 2, "plan_shared_mailboxes": 1, "plan_members": 1, "plan_aliases": 1}
    await town.do(ChangeOrganisation("acme", plan))
    await town.do(AddMember("team@acme.test", "anna@acme.test", Rights()))
    rows = (
        "address,context,owner,aliases,members\n"
        "b1@acme.test,plant,bo@acme.test,,\n"
        "b2@acme.test,plant,bo@acme.test,,\n"
        "b3@acme.test,plant,,b4@acme.test b5@acme.test,\n"
        "b6@acme.test,plant,bo@acme.test,,anna@acme.test\n"
        "b7@acme.test,plant,,,bo@acme.test anna@acme.test\n"
    )
    with pytest.raises(BadFile) as refusal:
        await check(town, tmp_path, rows)
    told = [(problem.line, problem.text.partition(";")[0]) for problem in refusal.value.problems]
    assert told == [
        (3, "mailboxes of bo@acme.test: the plan of acme allows 2, there are 2"),
        (4, "aliases of b3@acme.test: the plan of acme allows 1, there are 1"),
        (5, "mailboxes of bo@acme.test: the plan of acme allows 2, there are 3"),
        (5, "mailboxes shared with anna@acme.test: the plan of acme allows 1, there are 1"),
        (6, "members of b7@acme.test: the plan of acme allows 1, there are 1"),
        (6, "mailboxes shared with anna@acme.test: the plan of acme allows 1, there are 2"),
    ]


async def test_what_is_imported_is_there_with_its_audit(town: Kept, tmp_path: Path) -> None:
    told: Told = []
    checked = await check(town, tmp_path, many(CHUNK + 5), told=told)
    import_id = await bring(town, checked, told)
    assert await count(town, mailbox) == 4 + CHUNK + 5
    assert await count(town, address) == 5 + 2 * (CHUNK + 5)
    assert [each for each in told if each[0] == "writing"] == [
        ("writing", CHUNK, CHUNK + 5),
        ("writing", CHUNK + 5, CHUNK + 5),
    ]
    assert ("checking", 2 * (CHUNK + 5), 2 * (CHUNK + 5)) in told
    entries = await town.rows(select(audit_entry).where(audit_entry.c.noun_id == import_id))
    named = [name for entry in entries for name in json.loads(entry["after"])["addresses"]]
    assert named == [f"box{number}@acme.test" for number in range(CHUNK + 5)]
    [anna] = await town.rows(select(person.c.id).where(person.c.address == "anna@acme.test"))
    owners = {row["owner_id"] for row in await town.rows(select(mailbox).where(mailbox.c.address.startswith("box")))}
    assert owners == {anna["id"]}


async def test_the_first_active_administrator_of_the_context_gets_what_has_no_owner(town: Kept, tmp_path: Path) -> None:
    for command in (
        AddPerson("dora@acme.test", "acme", "plant", role="context_admin"),
        AddPerson("eva@acme.test", "acme", "plant", role="context_admin"),
    ):
        await town.do(command)
        town.now += 1
    await town.do(DeactivatePerson("dora@acme.test"))
    await bring(town, await check(town, tmp_path, "address,context\nx@acme.test,plant\n"))
    [owner] = await town.rows(
        select(person.c.address)
        .join_from(mailbox, person, mailbox.c.owner_id == person.c.id)
        .where(mailbox.c.address == "x@acme.test")
    )
    assert owner["address"] == "eva@acme.test"
    assert "x@acme.test" not in [finding.name for finding in await audit(town.store, OPERATOR)]


class Failing:
    """A checked file whose chunk from row `at` on brings what is there already, or whatever `error` is."""

    noun = "mailbox"

    def __init__(self, checked: Checked, at: int, error: BaseException | None = None) -> None:
        self._checked = checked
        self._at = at
        self._error = error

    def __len__(self) -> int:
        return len(self._checked)

    def chunk(self, import_id: str, first: int, count: int, now: float) -> Chunk:
        chunk = self._checked.chunk(import_id, first, count, now)
        if first < self._at:
            return chunk
        if self._error is not None:
            raise self._error
        taken = {"key": "team@acme.test", "domain": "acme.test", "kind": "main", "created_at": now}
        [(table, boxes), *_] = chunk.rows
        return replace(chunk, rows=[(table, boxes), (address, [{**taken, "mailbox_id": boxes[0]["id"]}])])


async def everything(town: Kept) -> list[int]:
    return [await count(town, table) for table in (person, mailbox, address, membership)]


@pytest.mark.parametrize("error", [None, RuntimeError("broken"), asyncio.CancelledError()], ids=repr)
async def test_an_import_that_fails_on_the_way_leaves_nothing(
    town: Kept, tmp_path: Path, error: BaseException | None
) -> None:
    before = await everything(town)
    checked = await check(town, tmp_path, many(3 * CHUNK))
    told: Told = []
    expected: type[BaseException] = Conflict if error is None else type(error)
    with pytest.raises(expected):
        await bring(town, Failing(checked, 2 * CHUNK, error), told)
    assert await everything(town) == before
    assert [each for each in told if each[0] == "taking back"] == [
        ("taking back", CHUNK, 2 * CHUNK),
        ("taking back", 2 * CHUNK, 2 * CHUNK),
    ]
    assert [row["state"] for row in await town.rows(select(directory_import))] == ["undone"]
    await bring(town, await check(town, tmp_path, many(3 * CHUNK)))


async def interrupted(town: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import whose process died after two chunks."""

    async def dies(*arguments: object) -> None:
        raise SystemError("killed")

    checked = await check(town, tmp_path, many(3 * CHUNK))
    with monkeypatch.context() as patched:
        patched.setattr(importing, "undo", dies)
        with pytest.raises(SystemError):
            await bring(town, Failing(checked, 2 * CHUNK, RuntimeError("broken")))


async def test_an_interrupted_import_is_taken_back_by_the_next(
    town: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await everything(town)
    await interrupted(town, tmp_path, monkeypatch)
    # What people did with it in the meantime does not stand in the way.
    await town.do(AddMember("box1@acme.test", "bo@acme.test", Rights()))
    await town.do(AddAlias("further@acme.test", "box1@acme.test"))
    checked = await check(town, tmp_path, many(2, start=1_000_000))
    with pytest.raises(Conflict, match=r"is at work \(300 of 450 rows\); wait for its end"):
        await bring(town, checked)
    town.now += SILENT_SECONDS
    assert await undo_interrupted(town.store, OPERATOR, lambda: town.now, lambda *told: None) == 1
    assert await everything(town) == before
    await bring(town, checked)
    assert [row["state"] for row in await town.rows(select(directory_import))] == ["undone", "done"]


async def test_an_import_that_was_taken_for_dead_does_not_go_on(
    town: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await everything(town)

    reached, go_on = asyncio.Event(), asyncio.Event()

    async def held(store: Store, actor: Actor, command: Any, clock: Callable[[], float]) -> Done[Any]:
        done = await carry_out(store, actor, command, clock)
        if not reached.is_set() and type(command).__name__ == "_WriteChunk":
            reached.set()
            await go_on.wait()
        return done

    checked = await check(town, tmp_path, many(3 * CHUNK))
    with monkeypatch.context() as patched:
        patched.setattr(importing, "carry_out", held)
        running = asyncio.create_task(bring(town, checked))
        await reached.wait()
    await undo_interrupted(town.store, OPERATOR, lambda: town.now + SILENT_SECONDS, lambda *told: None)
    go_on.set()
    with pytest.raises(Conflict, match="taken for dead"):
        await running
    assert await everything(town) == before


@pytest.mark.parametrize("people", [True, False])
async def test_nothing_is_imported_into_a_context_that_has_ended_meanwhile(
    town: Kept, tmp_path: Path, people: bool
) -> None:
    await town.do(AddContext("acme", "lab"))
    file = "address,context,owner\neva@acme.test,lab,anna@acme.test\n"
    checked = await check(town, tmp_path, file.replace(",owner", "").replace(",anna@acme.test", "") if people else file,
                          people=people)  # fmt: skip
    await town.do(EndContext("acme", "lab"))
    with pytest.raises(Conflict, match="nothing was imported: the context lab has ended since the file was checked"):
        await bring(town, checked)


async def test_an_administrator_imports_into_what_is_theirs(town: Kept, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="there is no domain"):
        await check(town, tmp_path, "address,context\nx@other.test,main\n", who="anna@acme.test")
    with pytest.raises(BadFile, match="may not import into acme/plant"):
        await check(town, tmp_path, "address,context\nx@acme.test,plant\n", who="bo@acme.test")
    await town.do(ChangePerson("bo@acme.test", {"role": "context_admin"}))
    text = "address,context,role\nx@acme.test,plant,operator\n"
    with pytest.raises(BadFile, match="may not make somebody operator"):
        await check(town, tmp_path, text, who="bo@acme.test", people=True)
    assert len(await check(town, tmp_path, "address,context\nx@acme.test,plant\n", who="bo@acme.test")) == 1


async def exported(town: Kept) -> tuple[str, str]:
    people, boxes = io.StringIO(newline=""), io.StringIO(newline="")
    write_rows(people, PEOPLE_COLUMNS, (await people_rows(town.store, OPERATOR, None)).rows)
    write_rows(boxes, MAILBOX_COLUMNS, (await mailbox_rows(town.store, OPERATOR, None)).rows)
    return people.getvalue(), boxes.getvalue()


async def test_an_export_fills_an_empty_installation(town: Kept, tmp_path: Path, another: Callable[[], Kept]) -> None:
    command: Command[Any]
    for command in (
        ChangePerson("bo@acme.test", {"phone": "+49 30 1", "extension": "12", "name": "=Bo"}),
        SetDeputy("bo@acme.test", "anna@acme.test"),
        SetDeputy("anna@acme.test", "bo@acme.test"),
        AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)),
        AddMember("anna@acme.test", "bo@acme.test", Rights()),
        ChangeMailbox("team@acme.test", {"vip": 1, "receives": 0, "max_message_bytes": 1000, "next_hop": "mail"}),
        AddPerson("gone@acme.test", "acme", "plant", 'Gone "G", Mr'),
        DeactivatePerson("gone@acme.test"),
    ):
        await town.do(command)
    people, boxes = await exported(town)
    assert ",'=Bo," in people
    assert ",'+49 30 1," in people
    empty = another()
    for command in TOWN[:7]:
        await empty.do(command)
    await bring(empty, await check(empty, tmp_path, people, people=True))
    await bring(empty, await check(empty, tmp_path, boxes))
    # What had no owner has one now.
    assert await exported(empty) == (people, boxes.replace("shared,,", "shared,anna@acme.test,"))


async def test_an_export_names_nobody_who_is_not_seen_and_loses_nothing_in_silence(town: Kept) -> None:
    """A row without the owner or a member would be imported as if there were none."""
    command: Command[Any]
    for command in (
        AddPerson("dora@acme.test", "acme", "sales", role="context_admin"),
        AddPerson("eva@acme.test", "acme", "sales"),
        SetDeputy("eva@acme.test", "bo@acme.test"),
        AddMailbox("owned@acme.test", "acme", "sales", "shared", "bo@acme.test"),
        AddMailbox("ours@acme.test", "acme", "sales", "shared", "dora@acme.test"),
        AddMember("ours@acme.test", "bo@acme.test", Rights()),
        AddMember("team@acme.test", "bo@acme.test", Rights()),
    ):
        await town.do(command)
    dora = await actor_of(town.store, "dora@acme.test")
    boxes, people = await mailbox_rows(town.store, dora, None), await people_rows(town.store, dora, None)
    # Bo is of another context, but who works in a mailbox sees who else does.
    assert [(row["address"], row["owner"], row["members"]) for row in boxes.rows] == [
        ("anna@acme.test", "anna@acme.test", ""),
        ("ours@acme.test", "dora@acme.test", "bo@acme.test=read"),
    ]
    [told] = boxes.left_out
    assert told == (
        "2 mailboxes were left out: an owner or member is of a context that you do not see; an administrator of the "
        "organisation exports all"
    )
    assert [(row["address"], row["deputy"]) for row in people.rows] == [
        ("anna@acme.test", ""),
        ("dora@acme.test", ""),
        ("eva@acme.test", ""),
    ]
    assert people.left_out == ("1 deputy was left out: of a context that you do not see",)
    anna = await actor_of(town.store, "anna@acme.test")
    everything = await mailbox_rows(town.store, anna, None)
    assert (len(everything.rows), everything.left_out) == (5, ())


@pytest.mark.parametrize("cell", ["", "plain", "=1+1", "+49", "-", "@x", "'=1", "''=1", "'quoted'", "\tx", "a=b"])
def test_no_cell_is_a_formula_and_every_cell_comes_back(cell: str) -> None:
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t"))
    assert unguarded(guarded(cell)) == cell.strip() or cell.startswith("\t")


def test_every_column_of_an_export_is_one_of_the_import() -> None:
    columns: Sequence[Sequence[str]] = (PEOPLE_COLUMNS, MAILBOX_COLUMNS)
    assert all("address" in each and len(set(each)) == len(each) for each in columns)
