"""What is stored about a person can be handed out whole, and forgotten without losing what happened."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from gateway.directory.actors import actor_of
from gateway.directory.change import Command
from gateway.directory.erasing import Erased, erase
from gateway.directory.errors import Conflict, DirectoryError, NotAllowed, NotFound
from gateway.directory.leaving import ActivatePerson, DeactivatePerson
from gateway.directory.listing import members
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, EndAlias, EndMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import ChangeOrganisation
from gateway.directory.out_of_office import SetOutOfOffice
from gateway.directory.people import AddAppPassword, AddPerson, ChangePerson, SetPassword
from gateway.directory.personal_data import personal_data
from gateway.directory.tables import audit_entry, mailbox, person
from gateway.store.schema import metadata
from tests.core.directory.conftest import OPERATOR, Kept

LIFE: tuple[Command[object], ...] = (
    ChangePerson("bo@acme.test", {"phone": "+49 30 777", "extension": "12"}),
    SetPassword("bo@acme.test", "$argon2id$hash"),
    AddAppPassword("bo@acme.test", "phone of Bo Dahl", "$argon2id$hash"),
    AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)),
    AddAlias("chief.dahl@acme.test", "bo@acme.test"),
    ChangeMailbox("bo@acme.test", {"display_name": "Bo Dahl, Acme"}),
    SetOutOfOffice("bo@acme.test", "Bo Dahl is away."),
    ChangeOrganisation("acme", {"contact_address": "bo@acme.test", "contact_name": "Bo Dahl"}),
    AddPerson("jumbo@acme.test", "acme", "plant"),
    AddMailbox("jumbo@acme.test", "acme", "plant", owner="jumbo@acme.test"),
)
LEAVING: tuple[Command[object], ...] = (
    DeactivatePerson("bo@acme.test"),
    EndAlias("chief.dahl@acme.test"),
    EndMailbox("bo@acme.test"),
)


async def live(town: Kept) -> None:
    bo = await actor_of(town.store, "bo@acme.test")
    for command in LIFE:
        await town.do(command)
    await town.do(ChangePerson("bo@acme.test", {"name": "Bo Dahl II"}), bo)


async def forget(town: Kept, *, dry_run: bool = False) -> Erased:
    return await erase(town.store, OPERATOR, "bo@acme.test", lambda: town.now, dry_run=dry_run)


async def test_everything_about_a_person_is_handed_out_and_no_secret(town: Kept) -> None:
    await live(town)
    data = await personal_data(town.store, await actor_of(town.store, "bo@acme.test"), "bo@acme.test")
    assert (data["person"]["phone"], data["person"]["password"]) == ("+49 30 777", True)
    assert [row["address"] for row in data["mailboxes"]] == ["bo@acme.test"]
    assert [row["key"] for row in data["addresses"]] == ["bo@acme.test", "chief.dahl@acme.test"]
    assert [row["mailbox"] for row in data["memberships"]] == ["team@acme.test"]
    assert [row["text"] for row in data["out_of_office"]] == ["Bo Dahl is away."]
    assert [row["name"] for row in data["contact_of"]] == ["acme"]
    assert {"person.add", "person.password", "membership.add"} <= {entry["action"] for entry in data["audit"]}
    assert "argon2id" not in json.dumps(data)


@pytest.mark.parametrize(
    ("who", "error"), [("anna@acme.test", None), ("jumbo@acme.test", NotAllowed), ("cleo@other.test", NotFound)]
)
async def test_who_may_have_it(town: Kept, who: str, error: type[DirectoryError] | None) -> None:
    await live(town)
    actor = await actor_of(town.store, who)
    if error is None:
        assert (await personal_data(town.store, actor, "bo@acme.test"))["person"]["name"] == "Bo Dahl II"
        return
    with pytest.raises(error):
        await personal_data(town.store, actor, "bo@acme.test")


async def everything(town: Kept) -> str:
    """All that the database holds, as text."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    return "\n".join([repr(await town.rows(select(table))) for table in tables])


async def test_nothing_names_the_person_any_more_and_what_happened_stays(town: Kept) -> None:
    await live(town)
    since = town.now
    for command in LEAVING:
        town.now += 1
        await town.do(command)
    entries = len(await town.rows(select(audit_entry.c.id)))
    assert "Bo Dahl" in await everything(town)
    tried = await forget(town, dry_run=True)
    done = await forget(town)
    assert done == tried
    assert done.entries > 10
    dump = await everything(town)
    for trace in ("bo@acme.test", "Bo Dahl", "777", "chief.dahl"):
        assert trace not in dump.replace("jumbo@acme.test", "")
    assert "jumbo@acme.test" in dump
    assert len(await town.rows(select(audit_entry.c.id))) == entries + 1
    [then] = await members(town.store, OPERATOR, mailbox_address="team@acme.test", at=since)
    assert (then["person"], then["rights"]) == (done.pseudonym, ["read", "send_as"])
    actors = {row["actor"] for row in await town.rows(select(audit_entry.c.actor))}
    assert actors == {"tests (command line)", done.pseudonym}


@pytest.mark.parametrize(
    ("commands", "text"),
    [
        ((), "is active; let them leave first: stellwerk user deactivate bo@acme.test"),
        (LEAVING[:1], "bo@acme.test owns bo@acme.test still; give them to somebody"),
        ((*LEAVING, AddAlias("bo@acme.test", "team@acme.test")), "takes mail still; end that address first"),
    ],
)
async def test_what_stands_in_the_way(town: Kept, commands: tuple[Command[object], ...], text: str) -> None:
    await live(town)
    for command in commands:
        await town.do(command)
    with pytest.raises(Conflict) as refusal:
        await forget(town)
    assert text in str(refusal.value)


async def test_an_address_that_somebody_else_has_now_is_theirs(town: Kept) -> None:
    for command in (*LIFE, *LEAVING, AddAlias("chief.dahl@acme.test", "team@acme.test")):
        await town.do(command)
    await forget(town)
    live_ones = await town.rows(select(audit_entry.c.name).where(audit_entry.c.action == "address.add"))
    assert "chief.dahl@acme.test" in {row["name"] for row in live_ones}


async def test_nobody_comes_back_from_being_erased(town: Kept) -> None:
    for command in LEAVING[:1] + LEAVING[2:]:
        await town.do(command)
    done = await forget(town)
    with pytest.raises(Conflict, match="was erased"):
        await town.do(ActivatePerson(done.pseudonym))
    with pytest.raises(NotFound):
        await forget(town)
    assert done.pseudonym in {row["address"] for row in await town.rows(select(mailbox.c.address))}
    assert done.pseudonym in {row["address"] for row in await town.rows(select(person.c.address))}
