"""Leaving: what lets somebody in is dead at once, nothing of what was is forgotten, and all that is left is found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import select

from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.change import Command
from gateway.directory.dangling import CHECKS, Finding, audit
from gateway.directory.errors import BadValue, Conflict, DirectoryError, NotAllowed, NotFound
from gateway.directory.leaving import ActivatePerson, DeactivatePerson, SetDeputy
from gateway.directory.listing import members
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, GiveMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import ChangeOrganisation, SetFallback
from gateway.directory.people import AddAppPassword, AddPerson, ChangePerson, SetPassword
from gateway.directory.succession import Known, Someone, successor, successors
from gateway.directory.tables import app_password, mailbox, membership, person
from tests.core.directory.conftest import NOON, OPERATOR, Kept


async def test_leaving_kills_what_lets_somebody_in_and_keeps_what_was(town: Kept) -> None:
    for command in (
        SetPassword("bo@acme.test", "$argon2id$1"),
        AddAppPassword("bo@acme.test", "phone", "$argon2id$2"),
        ChangePerson("bo@acme.test", {"extension": "12"}),
        AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)),
    ):
        await town.do(command)
    town.now += 60
    await town.do(DeactivatePerson("bo@acme.test", deputy="anna@acme.test"))
    [bo] = await town.rows(select(person).where(person.c.address == "bo@acme.test"))
    [anna] = await town.rows(select(person.c.id).where(person.c.address == "anna@acme.test"))
    assert (bo["state"], bo["password"], bo["extension"], bo["deputy_id"]) == ("inactive", "", "", anna["id"])
    assert (bo["credential_version"], bo["deactivated_at"]) == (3, NOON + 60)
    assert await town.rows(select(app_password.c.password, app_password.c.ended_at)) == [
        {"password": "", "ended_at": NOON + 60}
    ]
    [kept] = await town.rows(select(membership))
    assert (kept["can_send_as"], kept["since"], kept["until"]) == (1, NOON, NOON + 60)
    await town.do(AddPerson("x@acme.test", "acme", "plant", extension="12"))


async def test_who_had_access_then_includes_people_who_were_removed_since(town: Kept) -> None:
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights()))
    town.now += 100
    await town.do(DeactivatePerson("bo@acme.test"))

    async def then(at: float | None) -> list[str]:
        return [row["person"] for row in await members(town.store, OPERATOR, mailbox_address="info@acme.test", at=at)]

    assert [await then(at) for at in (NOON - 1, NOON, NOON + 99, NOON + 100, None)] == [
        [], ["bo@acme.test"], ["bo@acme.test"], [], [],
    ]  # fmt: skip


async def test_somebody_who_comes_back_has_neither_password_nor_memberships(town: Kept) -> None:
    await town.do(SetPassword("bo@acme.test", "$argon2id$1"))
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights()))
    await town.do(DeactivatePerson("bo@acme.test"))
    await town.do(ActivatePerson("bo@acme.test"))
    [bo] = await town.rows(select(person).where(person.c.address == "bo@acme.test"))
    assert (bo["state"], bo["password"], bo["deactivated_at"]) == ("active", "", None)
    assert await members(town.store, OPERATOR, mailbox_address="team@acme.test") == []


@pytest.mark.parametrize(
    ("commands", "error", "text"),
    [
        ([ActivatePerson("bo@acme.test")], Conflict, "bo@acme.test is active"),
        ([DeactivatePerson("bo@acme.test"), DeactivatePerson("bo@acme.test")], Conflict, "has left already"),
        ([DeactivatePerson("bo@acme.test", "bo@acme.test")], BadValue, "cannot be their own deputy"),
        ([DeactivatePerson("bo@acme.test", "cleo@other.test")], NotFound, 'no person "cleo@other.test"'),
        ([DeactivatePerson("bo@acme.test"), SetDeputy("anna@acme.test", "bo@acme.test")], Conflict, "has left"),
        ([DeactivatePerson("bo@acme.test"), SetPassword("bo@acme.test", "$x")], Conflict, "user activate"),
        ([DeactivatePerson("bo@acme.test"), GiveMailbox("team@acme.test", "bo@acme.test")], Conflict, "has left"),
        (
            [DeactivatePerson("bo@acme.test"), AddMember("team@acme.test", "bo@acme.test", Rights())],
            Conflict,
            "has left",
        ),
    ],
)
async def test_what_is_refused_and_how(
    town: Kept, commands: Sequence[Command[object]], error: type[DirectoryError], text: str
) -> None:
    *before, last = commands
    for command in before:
        await town.do(command)
    with pytest.raises(error, match=text):
        await town.do(last)


async def test_nobody_acts_as_somebody_who_has_left(town: Kept) -> None:
    assert (await actor_of(town.store, "Bo@ACME.test")).role == "member"
    await town.do(DeactivatePerson("bo@acme.test"))
    with pytest.raises(NotAllowed, match=r"bo@acme\.test has left"):
        await actor_of(town.store, "bo@acme.test")


async def seed(town: Kept) -> None:
    """Everything that can name bo, who leaves at the end."""
    for command in (
        ChangeOrganisation("acme", {"contact_address": "bo@acme.test"}),
        SetDeputy("anna@acme.test", "bo@acme.test"),
        SetFallback("acme", "plant", "bo@acme.test"),
        AddAlias("chief@acme.test", "bo@acme.test"),
        GiveMailbox("team@acme.test", "bo@acme.test"),
        AddMember("team@acme.test", "bo@acme.test", Rights()),
        AddAppPassword("bo@acme.test", "phone", "$x"),
        DeactivatePerson("bo@acme.test"),
    ):
        await town.do(command)
    # What leaving ends itself, as if it had come in another way.
    [open_one] = await town.rows(select(membership.c.id))
    await town.undo(membership, open_one["id"], until=None)
    [live] = await town.rows(select(app_password.c.id))
    await town.undo(app_password, live["id"], ended_at=None)


async def test_the_audit_finds_every_reference_with_the_command_that_mends_it(town: Kept) -> None:
    await seed(town)
    found = await audit(town.store, OPERATOR)
    assert {finding.noun for finding in found} == {
        "mailbox", "alias", "context", "deputy", "member", "app password", "organisation",
    }  # fmt: skip
    assert len(CHECKS) == 7
    assert {finding.person for finding in found} == {"bo@acme.test"}
    assert [finding.command for finding in found if finding.noun == "mailbox"] == [
        "stellwerk mailbox set bo@acme.test --owner anna@acme.test",
        "stellwerk mailbox set team@acme.test --owner anna@acme.test",
    ]
    [alias] = [finding for finding in found if finding.noun == "alias"]
    assert alias == Finding(
        "alias", "chief@acme.test", "bo@acme.test",
        "it leads to the mailbox bo@acme.test of bo@acme.test, who has left", "stellwerk alias end chief@acme.test",
    )  # fmt: skip
    assert await audit(town.store, OPERATOR, "anna@acme.test") == []


async def test_a_mailbox_that_never_had_an_owner_is_found(town: Kept) -> None:
    assert [(finding.name, finding.text) for finding in await audit(town.store, OPERATOR)] == [
        ("team@acme.test", "it has no owner")
    ]


async def test_the_audit_stays_within_what_somebody_administers(town: Kept) -> None:
    await seed(town)
    [ids] = await town.rows(select(person.c.context_id).where(person.c.address == "anna@acme.test"))
    admin = Actor("dora@acme.test", "context_admin", "p1", "o1", ids["context_id"])
    assert [finding.name for finding in await audit(town.store, admin)] == ["team@acme.test", "anna@acme.test"]
    cleo = await actor_of(town.store, "cleo@other.test")
    with pytest.raises(NotAllowed):
        await audit(town.store, cleo)


THERE = {"anna": Someone("anna", True, "anna@x.test"), "eva": Someone("eva", True, "eva@x.test")}
GONE = Someone("bo", False, "", "anna")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (Known("anna", THERE), ()),
        (Known("bo", THERE | {"bo": GONE}), ("anna@x.test",)),
        (Known("bo", {"bo": GONE, "anna": Someone("anna", False, "", "eva"), "eva": THERE["eva"]}), ("eva@x.test",)),
        (Known("bo", {"bo": GONE, "anna": Someone("anna", False, "", "bo")}, fallback="f@x.test"), ("f@x.test",)),
        (Known("bo", {"bo": GONE, "anna": Someone("anna", True)}, (), "f@x.test"), ("f@x.test",)),
        (Known("bo", THERE | {"bo": Someone("bo", False)}, ("eva", "anna")), ("eva@x.test", "anna@x.test")),
        (Known("bo", {"bo": Someone("bo", False), "eva": Someone("eva", False)}, ("eva",), "f@x.test"), ("f@x.test",)),
        (Known("bo", {"bo": Someone("bo", False)}), ()),
        (Known(None, THERE, ("eva",)), ("eva@x.test",)),
    ],
    ids=[
        "an active owner", "the deputy", "the deputy's deputy", "a circle", "a deputy without a mailbox",
        "the members", "members who left as well", "nobody", "no owner",
    ],
)  # fmt: skip
def test_who_takes_the_mail(known: Known, expected: tuple[str, ...]) -> None:
    assert successor(known) == expected


async def test_who_takes_the_mail_is_read_from_the_directory(town: Kept) -> None:
    for command in (
        AddPerson("eva@acme.test", "acme", "plant"),
        AddMailbox("eva@acme.test", "acme", "plant", owner="eva@acme.test"),
        AddMember("bo@acme.test", "eva@acme.test", Rights()),
        AddMember("bo@acme.test", "anna@acme.test", Rights(read=False, send_as=True)),
        AddMailbox("desk@acme.test", "acme", "plant", "shared"),
        SetFallback("acme", "plant", "desk@acme.test"),
    ):
        await town.do(command)
    [box] = await town.rows(select(mailbox.c.id).where(mailbox.c.address == "bo@acme.test"))
    assert await successors(town.store, box["id"]) == ()
    await town.do(DeactivatePerson("bo@acme.test"))
    assert await successors(town.store, box["id"]) == ("eva@acme.test",)
    await town.do(SetDeputy("bo@acme.test", "anna@acme.test"))
    assert await successors(town.store, box["id"]) == ("anna@acme.test",)
    await town.do(DeactivatePerson("eva@acme.test"))
    await town.do(SetDeputy("bo@acme.test", ""))
    assert await successors(town.store, box["id"]) == ("desk@acme.test",)
    await town.do(ChangeMailbox("desk@acme.test", {"receives": 0}))
    assert await successors(town.store, box["id"]) == ()
    assert await successors(town.store, "no such mailbox") == ()
