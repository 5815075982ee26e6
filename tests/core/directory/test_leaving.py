"""Leaving: what lets somebody in is dead at once, nothing of what was is forgotten, and all that is left is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import select

from gateway.directory import named_outside
from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.change import Command
from gateway.directory.dangling import CHECKS, audit
from gateway.directory.errors import BadValue, Conflict, DirectoryError, NotAllowed, NotFound
from gateway.directory.findings import Finding
from gateway.directory.leaving import ActivatePerson, DeactivatePerson, SetDeputy
from gateway.directory.listing import members
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, EndMailbox, GiveMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import ChangeOrganisation, SetFallback
from gateway.directory.people import AddAppPassword, AddPerson, ChangePerson, SetPassword
from gateway.directory.succession import Known, Someone, successor, successors
from gateway.directory.tables import app_password, mailbox, membership, person
from gateway.hooks.named import Setting
from gateway.jobs.outbox import Finish, add_write, finish
from gateway.mail.address import Address
from gateway.routing.effects import Job
from gateway.store.store import Write
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


def job(identity: str, payload: Mapping[str, object], key: str, kind: str, named: str) -> Write:
    return add_write(identity, Job(kind, payload, key, "core" if kind == "send_mail" else "crm"), NOON)


JOBS: list[tuple[str, Mapping[str, object], str, str, str]] = [
    ("j1", {"sender": "", "recipients": ["x@far.test", "Bo+news@ACME.test"]}, "", "send_mail", "bo@acme.test"),
    ("j2", {"contact": {"mail": "Bo Dahl <bo@acme.test>"}}, "", "sync", "bo@acme.test"),
    ("j3", {"who": 7}, "contact:bo@acme.test", "sync", "bo@acme.test"),
    ("j4", {"bo@acme.test": True}, "", "sync", "bo@acme.test"),
    ("j5", {"recipients": ["chief@acme.test"]}, "", "send_mail", "chief@acme.test"),
    ("j6", {"recipients": ["robo@acme.test", "bo@acme.test.example", "anna@acme.test"]}, "", "send_mail", ""),
]
"""A job, and the address of bo that it names."""


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
    await town.store.write([job(*values) for values in JOBS])
    await town.store.write([Write(finish, Finish("j2", NOON, "gone", dead=True))])


def settings(*addresses: str) -> list[Setting]:
    """Addresses that stand in a configuration, one a line."""
    return [
        Setting(Address.parse(each), "plugin.forwarding", 'rule "a" sends mail to', "stellwerk.toml", line)
        for line, each in enumerate(addresses, 1)
    ]


async def test_the_audit_finds_every_reference_with_the_command_that_mends_it(town: Kept) -> None:
    await seed(town)
    found = await audit(town.store, OPERATOR, settings=settings("bo@acme.test"))
    assert {finding.noun for finding in found} == {
        "mailbox", "alias", "context", "deputy", "member", "app password", "organisation", "job", "setting",
    }  # fmt: skip
    assert len(CHECKS) == 8
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


async def test_open_and_dead_jobs_that_name_somebody_who_has_left_are_found(
    town: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed(town)
    await town.store.write([Write(finish, Finish("j4", NOON))])
    for at_once in (500, 2):
        monkeypatch.setattr(named_outside, "JOBS_AT_ONCE", at_once)
        found = [finding for finding in await audit(town.store, OPERATOR) if finding.noun == "job"]
        named = {identity: whose for identity, *_, whose in JOBS if whose and identity != "j4"}
        assert [finding.name for finding in found] == list(named)
        assert all(named[finding.name] in finding.text for finding in found)
    assert [(finding.text, finding.command) for finding in found[:2]] == [
        ("the job core.send_mail waits and names bo@acme.test, who has left", "stellwerk jobs drop j1"),
        ("the job crm.sync is dead and names bo@acme.test, who has left", "stellwerk jobs drop j2"),
    ]
    assert found[-1].text.endswith("names chief@acme.test, an address of bo@acme.test, who has left")


async def test_settings_that_name_somebody_who_has_left_are_found_by_all_of_their_addresses(town: Kept) -> None:
    await seed(town)
    named = settings("x@far.test", "Bo@acme.test", "anna@acme.test", "chief+a@acme.test", "team@acme.test")
    found = [finding for finding in await audit(town.store, OPERATOR, settings=named) if finding.noun == "setting"]
    assert found == [
        Finding(
            "setting", "stellwerk.toml:2", "bo@acme.test",
            '[plugin.forwarding] rule "a" sends mail to bo@acme.test, who has left; '
            "take it out of that line",
            "${EDITOR:-vi} +2 stellwerk.toml && stellwerk config check --config stellwerk.toml "
            "&& systemctl reload stellwerk",
        ),
        Finding(
            "setting", "stellwerk.toml:4", "bo@acme.test",
            '[plugin.forwarding] rule "a" sends mail to chief+a@acme.test, an address of bo@acme.test, who has left; '
            "take it out of that line",
            "${EDITOR:-vi} +4 stellwerk.toml && stellwerk config check --config stellwerk.toml "
            "&& systemctl reload stellwerk",
        ),
    ]  # fmt: skip
    assert [finding.noun for finding in await audit(town.store, OPERATOR, "anna@acme.test", named)] == []
    cleo = Actor("cleo@other.test", "organisation_admin", "p9", "o9", "c9")
    assert await audit(town.store, cleo, settings=named) == []


async def test_an_address_that_somebody_else_has_by_now_is_theirs(town: Kept) -> None:
    """A mailbox that was handed on, and an address that was given away again after its mailbox had ended."""
    await town.do(AddMailbox("old@acme.test", "acme", "plant", owner="bo@acme.test"))
    await town.do(DeactivatePerson("bo@acme.test"))
    named = settings("bo@acme.test", "old@acme.test")

    async def found() -> list[str]:
        return [each.name for each in await audit(town.store, OPERATOR, settings=named) if each.noun == "setting"]

    assert await found() == ["stellwerk.toml:1", "stellwerk.toml:2"]
    await town.do(GiveMailbox("bo@acme.test", "anna@acme.test"))
    await town.do(EndMailbox("old@acme.test"))
    assert await found() == ["stellwerk.toml:2"]
    await town.do(AddAlias("old@acme.test", "team@acme.test"))
    assert await found() == []


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
