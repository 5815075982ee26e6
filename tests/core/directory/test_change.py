"""Changes of the directory: one transaction each, an audit entry for every row, and trying without doing."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import func, select

from gateway.directory.actor import Actor
from gateway.directory.errors import Conflict, DirectoryError, NotAllowed, NotFound, OverPlan
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, EndAlias, EndMailbox
from gateway.directory.members import AddMember, EndMember, Rights
from gateway.directory.organisations import AddOrganisation, ChangeOrganisation
from gateway.directory.people import AddPerson, SetPassword
from gateway.directory.tables import address, audit_entry, context, directory_version, membership, organisation, person
from tests.core.directory.conftest import NOON, Kept


async def test_every_change_is_an_audit_entry_with_before_and_after(town: Kept) -> None:
    done = await town.tell(ChangeMailbox("team@acme.test", {"receives": 0, "vip": 0}))
    assert done.result is True
    [entry] = await town.rows(
        select(audit_entry).where(audit_entry.c.action == "mailbox.change", audit_entry.c.name == "team@acme.test")
    )
    assert (entry["at"], entry["actor"], entry["noun"]) == (NOON, "tests (command line)", "mailbox")
    assert (json.loads(entry["before"]), json.loads(entry["after"])) == ({"receives": 1}, {"receives": 0})


async def test_a_change_that_changes_nothing_leaves_no_entry(town: Kept) -> None:
    assert (await town.tell(ChangeMailbox("team@acme.test", {"vip": 0}))).audit == ()


async def test_a_trial_shows_the_entries_and_keeps_nothing(kept: Kept) -> None:
    done = await kept.tell(AddOrganisation("acme"), dry_run=True)
    assert [entry["action"] for entry in done.audit] == ["organisation.add"]
    assert await kept.rows(select(organisation)) == []
    assert await kept.rows(select(audit_entry)) == []
    assert await kept.rows(select(directory_version.c.number)) == [{"number": 0}]


async def test_a_refused_change_leaves_no_entry_and_spoils_no_other(kept: Kept) -> None:
    outcomes = await asyncio.gather(
        *(kept.do(AddOrganisation(name)) for name in ("acme", "Not A Name", "other", "acme")), return_exceptions=True
    )
    assert [type(each).__name__ for each in outcomes] == ["str", "BadValue", "str", "Conflict"]
    assert await kept.rows(select(func.count().label("n")).select_from(audit_entry)) == [{"n": 2}]


async def test_no_password_stands_in_the_audit(town: Kept) -> None:
    await town.do(SetPassword("bo@acme.test", "$argon2id$v=19$secret"))
    [entry] = await town.rows(select(audit_entry).where(audit_entry.c.action == "person.password"))
    assert "argon2id" not in entry["before"] + entry["after"]
    assert json.loads(entry["after"])["credential_version"] == 2


@pytest.mark.parametrize(
    ("command", "error", "text"),
    [
        (AddMailbox("anna@acme.test", "acme", "sales"), Conflict, "anna@acme.test is taken: it is the main address"),
        (AddMailbox("INFO@Acme.Test", "acme", "sales"), Conflict, "info@acme.test is taken: it is the alias"),
        (AddMailbox("x@other.test", "acme", "sales"), NotFound, 'there is no domain "other.test"; it is none of acme'),
        (AddMailbox("x@acme.test", "acme", "sale"), NotFound, 'no context "sale"; did you mean "sales"?'),
        (AddMailbox("x@acme.test", "acm", "sales"), NotFound, 'no organisation "acm"; did you mean "acme"?'),
        (AddMailbox("x@acme.test", "acme", "sales", owner="cleo@other.test"), NotFound, "no person"),
        (AddMailbox("x+y@acme.test", "acme", "sales"), DirectoryError, "is a subaddress"),
        (AddMember("team@acme.test", "cleo@other.test", Rights()), NotFound, 'no person "cleo@other.test"'),
        (EndAlias("team@acme.test"), NotFound, "it is a mailbox; end it with"),
        (EndMember("team@acme.test", "bo@acme.test"), NotFound, "no member"),
        (AddPerson("bo@acme.test", "acme", "sales"), Conflict, "is a person already"),
    ],
)
async def test_what_is_refused_and_how(town: Kept, command: object, error: type[DirectoryError], text: str) -> None:
    with pytest.raises(error) as refusal:
        await town.do(command)  # type: ignore[arg-type]
    assert text in str(refusal.value)


@pytest.mark.parametrize(
    ("role", "place", "error"),
    [
        ("member", "acme/sales", NotAllowed),
        ("member", "acme/plant", NotFound),
        ("context_admin", "acme/plant", NotFound),
        ("organisation_admin", "other/main", NotFound),
    ],
)
async def test_who_may_not(town: Kept, role: str, place: str, error: type[DirectoryError]) -> None:
    owner, _, name = place.partition("/")
    [ids] = await town.rows(
        select(context.c.id, context.c.organisation_id)
        .join_from(context, organisation)
        .where(organisation.c.name == owner, context.c.name == name)
    )
    actor = Actor("dora@acme.test", role, "p1", ids["organisation_id"], ids["id"])  # type: ignore[arg-type]
    with pytest.raises(error):
        await town.do(AddAlias("new@acme.test", "team@acme.test"), actor)


async def test_memberships_are_ended_and_never_rewritten(town: Kept) -> None:
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights()))
    town.now += 60
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)))
    town.now += 60
    await town.do(EndMember("team@acme.test", "bo@acme.test"))
    rows = await town.rows(select(membership).order_by(membership.c.since))
    assert [(row["can_send_as"], row["since"] - NOON, row["until"] - NOON) for row in rows] == [
        (0, 0, 60),
        (1, 60, 120),
    ]


async def test_a_lowered_plan_refuses_only_what_is_new(town: Kept) -> None:
    await town.do(ChangeOrganisation("acme", {"plan_own_mailboxes": 0}))
    with pytest.raises(OverPlan, match=r"mailboxes of bo@acme.test: the plan of acme allows 0, there are 1; "):
        await town.do(AddMailbox("bo.2@acme.test", "acme", "plant", owner="bo@acme.test"))
    await town.do(ChangeMailbox("bo@acme.test", {"vip": 1}))


async def test_what_is_shared_with_somebody_is_not_their_own(town: Kept) -> None:
    await town.do(ChangeOrganisation("acme", {"plan_own_mailboxes": 2, "plan_shared_mailboxes": 1}))
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights()))
    await town.do(AddMailbox("bo.2@acme.test", "acme", "plant", owner="bo@acme.test"))
    with pytest.raises(OverPlan, match=r"mailboxes shared with bo@acme.test: the plan of acme allows 1, there are 1"):
        await town.do(AddMember("anna@acme.test", "bo@acme.test", Rights()))


async def test_the_addresses_of_an_ended_mailbox_are_free(town: Kept) -> None:
    await town.do(EndMailbox("info@acme.test"))
    taken = {row["key"] for row in await town.rows(select(address))}
    assert taken == {"anna@acme.test", "bo@acme.test", "cleo@other.test"}
    await town.do(AddMailbox("info@acme.test", "acme", "plant", "shared"))


async def test_a_version_grows_with_every_change(town: Kept) -> None:
    before = (await town.rows(select(directory_version.c.number)))[0]["number"]
    await town.do(ChangeMailbox("team@acme.test", {"vip": 1}))
    assert await town.rows(select(directory_version)) == [{"kind": "changes", "number": before + 1}]


async def test_two_people_may_not_have_one_extension(town: Kept) -> None:
    await town.do(AddPerson("x1@acme.test", "acme", "sales", extension="12"))
    with pytest.raises(Conflict, match=r"extension 12 is x1@acme.test's"):
        await town.do(AddPerson("x2@acme.test", "acme", "sales", extension="12"))
    await town.do(AddPerson("x3@acme.test", "acme", "plant", extension="12"))
    assert len(await town.rows(select(person).where(person.c.extension == "12"))) == 2
