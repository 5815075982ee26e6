"""Nobody administers who may do more than they: not their mailbox either, nor an address of theirs, by any command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.bulk.files import BadFile, Problems, read_lines
from gateway.directory.bulk.mailboxes_file import COLUMNS as MAILBOX_COLUMNS
from gateway.directory.bulk.mailboxes_file import check_mailboxes
from gateway.directory.bulk.people_file import COLUMNS as PEOPLE_COLUMNS
from gateway.directory.bulk.people_file import check_people
from gateway.directory.change import Command
from gateway.directory.errors import NotAllowed
from gateway.directory.intake import AddIntake, EndIntake
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.listing import app_passwords
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, EndAlias, EndMailbox, GiveMailbox
from gateway.directory.members import AddMember, EndMember, Rights
from gateway.directory.out_of_office import EndOutOfOffice, SetOutOfOffice
from gateway.directory.people import AddAppPassword, AddPerson, ChangePerson, SetPassword
from gateway.directory.personal_data import personal_data
from gateway.directory.relay import RelayAccount, SetRelay
from tests.core.directory.conftest import Kept

ANNA, BO, DORA, TEAM, BOARD = (f"{name}@acme.test" for name in ("anna", "bo", "dora", "team", "board"))
OWN = "gw.example.test"
RELAY = RelayAccount("smtp.relay.test:587", "acme", "canary")


@pytest.fixture
async def dora(town: Kept) -> Actor:
    """A context administrator of sales, where anna, an organisation administrator, is too.

    Anna has an alias, an intake address, an out-of-office text, a member, an app password and a shared mailbox; hans
    logs in without a mailbox and may do more than dora, ida of plant is nobody whom she administers.
    """
    for command in (
        AddPerson(DORA, "acme", "sales", "Dora Eck", "context_admin"),
        AddMailbox(DORA, "acme", "sales", owner=DORA),
        AddPerson("hans@acme.test", "acme", "sales", "Hans Ihl", "organisation_admin"),
        AddPerson("ida@acme.test", "acme", "plant", "Ida Jung"),
        AddPerson("kim@acme.test", "acme", "sales", "Kim Lau"),
        AddAlias("anna.berg@acme.test", ANNA),
        AddIntake(ANNA, OWN, (OWN,)),
        SetOutOfOffice(ANNA, "Away"),
        AddMember(ANNA, BO, Rights()),
        AddMember(TEAM, ANNA, Rights(manage=True)),
        AddAppPassword(ANNA, "phone", "$argon2id$x"),
        AddMailbox(BOARD, "acme", "sales", "shared", owner=ANNA),
    ):
        await town.do(command)
    return await actor_of(town.store, DORA)


REFUSED: list[tuple[str, Command[Any]]] = [
    ("settings", ChangeMailbox(ANNA, {"display_name": "Dora"})),
    ("next hop", ChangeMailbox(ANNA, {"next_hop": "mail"})),
    ("by an alias", ChangeMailbox("anna.berg@acme.test", {"receives": 0})),
    ("owner", GiveMailbox(ANNA, DORA)),
    ("no owner", GiveMailbox(ANNA, "")),
    ("end", EndMailbox(ANNA)),
    ("alias", AddAlias("a@acme.test", ANNA)),
    ("end of an alias", EndAlias("anna.berg@acme.test")),
    ("member", AddMember(ANNA, DORA, Rights(send_as=True))),
    ("end of a member", EndMember(ANNA, BO)),
    ("out of office", SetOutOfOffice(ANNA, "Ask Dora")),
    ("end of out of office", EndOutOfOffice(ANNA)),
    ("intake", AddIntake(ANNA, OWN, (OWN,))),
    ("end of intake", EndIntake(ANNA)),
    ("relay", SetRelay(ANNA, RELAY)),
    ("end of relay", SetRelay(ANNA, None)),
    ("shared mailbox with such an owner", AddMember(BOARD, DORA, Rights(send_as=True))),
    ("mailbox in their name", AddMailbox("x@acme.test", "acme", "sales", owner=ANNA)),
    ("password", SetPassword(ANNA, "$argon2id$y")),
    ("extension", ChangePerson(ANNA, {"extension": "12"})),
]


@pytest.mark.parametrize("command", [command for _, command in REFUSED], ids=[name for name, _ in REFUSED])
async def test_what_belongs_to_somebody_who_may_do_more_is_not_changed(
    town: Kept, dora: Actor, command: Command[Any]
) -> None:
    with pytest.raises(NotAllowed) as refusal:
        await town.do(command, dora)
    assert str(refusal.value).startswith("dora@acme.test (context_admin) may not ")
    assert str(refusal.value).endswith(" for anna@acme.test (organisation_admin)")


ADDRESSES: list[tuple[str, Command[Any], str]] = [
    ("mailbox of a superior", AddMailbox("hans@acme.test", "acme", "sales", owner=DORA), "for hans@acme.test"),
    ("shared mailbox", AddMailbox("hans@acme.test", "acme", "sales", "shared"), "for hans@acme.test"),
    ("alias of a superior", AddAlias("hans@acme.test", DORA), "for hans@acme.test"),
    ("alias of another context", AddAlias("ida@acme.test", DORA), "(ida@acme.test); an administrator of the"),
    ("login of a superior's mailbox", AddPerson(BOARD, "acme", "sales"), "for anna@acme.test (organisation_admin)"),
    ("login of a superior's alias", AddPerson("anna.berg@acme.test", "acme", "sales"), "for anna@acme.test"),
]


@pytest.mark.parametrize(("command", "text"), [each for _, *each in ADDRESSES], ids=[name for name, *_ in ADDRESSES])
async def test_an_address_of_somebody_whom_one_does_not_administer_is_not_taken_either(
    town: Kept, dora: Actor, command: Command[Any], text: str
) -> None:
    with pytest.raises(NotAllowed) as refusal:
        await town.do(command, dora)
    assert text in str(refusal.value)


ALLOWED: list[tuple[str, Command[Any], str]] = [
    ("a shared mailbox with a member who may do more", ChangeMailbox(TEAM, {"vip": 1}), DORA),
    ("its members", EndMember(TEAM, ANNA), DORA),
    ("somebody's own mailbox", AddAlias("d@acme.test", DORA), DORA),
    ("handing over to somebody who may do more", GiveMailbox(TEAM, ANNA), DORA),
    ("the mailbox of a member's login", AddMailbox("kim@acme.test", "acme", "sales", owner=DORA), DORA),
    ("a login for a mailbox of the context", AddPerson(TEAM, "acme", "sales"), DORA),
    ("an organisation's administrator", GiveMailbox(ANNA, DORA), ANNA),
    ("the owner", SetRelay(ANNA, RELAY), ANNA),
]


@pytest.mark.parametrize(("command", "who"), [each for _, *each in ALLOWED], ids=[name for name, *_ in ALLOWED])
async def test_what_an_administrator_still_may(town: Kept, dora: Actor, command: Command[Any], who: str) -> None:
    assert await town.do(command, await actor_of(town.store, who)) is not False


async def test_an_organisation_s_administrator_changes_nothing_of_an_operator_s(town: Kept, dora: Actor) -> None:
    await town.do(AddPerson("root@acme.test", "acme", "sales", "Root", "operator"))
    await town.do(AddMailbox("root@acme.test", "acme", "sales", owner="root@acme.test"))
    with pytest.raises(NotAllowed, match=r"\(organisation_admin\) may not .* for root@acme.test \(operator\)$"):
        await town.do(AddMember("root@acme.test", ANNA, Rights()), await actor_of(town.store, ANNA))


async def test_the_mailbox_of_somebody_who_has_left_is_handed_over_by_those_above_them(town: Kept, dora: Actor) -> None:
    await town.do(DeactivatePerson(ANNA))
    with pytest.raises(NotAllowed):
        await town.do(GiveMailbox(ANNA, DORA), dora)
    assert await town.do(GiveMailbox(ANNA, DORA), await actor_of(town.store, "hans@acme.test"))


async def test_a_member_who_was_given_the_right_to_manage_still_may(town: Kept, dora: Actor) -> None:
    await town.do(AddMember(ANNA, DORA, Rights(manage=True)))
    assert await town.do(ChangeMailbox(ANNA, {"vip": 1}), dora) is True
    with pytest.raises(NotAllowed):
        await town.do(GiveMailbox(ANNA, DORA), dora)


async def test_what_is_stored_about_somebody_who_may_do_more_is_not_handed_out(town: Kept, dora: Actor) -> None:
    with pytest.raises(NotAllowed) as refusal:
        await personal_data(town.store, dora, ANNA)
    assert str(refusal.value) == (
        "dora@acme.test (context_admin) may not export what is stored for anna@acme.test (organisation_admin)"
    )
    assert await app_passwords(town.store, dora, ANNA) == []
    assert (await personal_data(town.store, dora, "kim@acme.test"))["person"]["name"] == "Kim Lau"
    assert (await personal_data(town.store, await actor_of(town.store, ANNA), ANNA))["app_passwords"] != []


FILES = [
    ("mailboxes", "x@acme.test,anna@acme.test,,", "owner: dora@acme.test (context_admin) may not add mailboxes for"),
    ("mailboxes", "x@acme.test,anna@acme.test,,dora@acme.test=send_as", "for anna@acme.test (organisation_admin)"),
    ("mailboxes", "hans@acme.test,dora@acme.test,,", "for hans@acme.test (organisation_admin)"),
    ("mailboxes", "x@acme.test,dora@acme.test,hans@acme.test,", "for hans@acme.test (organisation_admin)"),
    ("mailboxes", "ida@acme.test,dora@acme.test,,", "(ida@acme.test); an administrator of the organisation may"),
    ("mailboxes", "kim@acme.test,kim@acme.test,k@acme.test,", ""),
    ("people", "board@acme.test,member", "for anna@acme.test (organisation_admin)"),
    ("people", "anna.berg@acme.test,member", "for anna@acme.test (organisation_admin)"),
    ("people", "bo.2@acme.test,organisation_admin", "may not make somebody organisation_admin"),
    ("people", "team@acme.test,member", ""),
]


@pytest.mark.parametrize(("noun", "row", "text"), FILES, ids=[f"{noun} {row}" for noun, row, _ in FILES])
async def test_a_file_brings_no_more_than_commands_do(
    town: Kept, dora: Actor, tmp_path: Path, noun: str, row: str, text: str
) -> None:
    file = tmp_path / "file.csv"
    header = "address,owner,aliases,members" if noun == "mailboxes" else "address,role"
    file.write_text(f"{header}\n{row}\n")
    problems = Problems()
    columns = MAILBOX_COLUMNS if noun == "mailboxes" else PEOPLE_COLUMNS
    lines = read_lines(file, columns, ("address",), problems)
    check: Any = check_mailboxes if noun == "mailboxes" else check_people

    async def checked() -> int:
        return len(await check(town.store, dora, "file.csv", lines, problems, lambda *_: None))

    if not text:
        assert await checked() == 1
        return
    with pytest.raises(BadFile) as refused:
        await checked()
    assert [(problem.line, text in problem.text) for problem in refused.value.problems] == [(2, True)]
