"""Settings of people and mailboxes, and the five limits of a plan: what is kept, what is refused, in which words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from gateway.directory.actors import actor_of
from gateway.directory.change import Command, Together
from gateway.directory.dates import moment
from gateway.directory.errors import BadValue, Conflict, DirectoryError, NotAllowed, NotFound, OverPlan
from gateway.directory.generated import chosen_password, new_password
from gateway.directory.intake import AddIntake, EndIntake
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, GiveMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import ChangeOrganisation, ShowPeopleTo
from gateway.directory.out_of_office import EndOutOfOffice, SetOutOfOffice
from gateway.directory.passwords import hash_password
from gateway.directory.people import ChangePerson, MovePerson, SetPassword
from gateway.directory.tables import address, context, mailbox, organisation, out_of_office, person
from tests.core.directory.conftest import NOON, Kept

OWN = ("gw.example.test",)

PLANS: list[tuple[dict[str, int], Command[object], str]] = [
    (
        {"plan_own_mailboxes": 1},
        GiveMailbox("anna@acme.test", "bo@acme.test"),
        (
            "mailboxes of bo@acme.test: the plan of acme allows 1, there are 1; end one, or raise it: "
            "stellwerk organisation plan acme --own-mailboxes 2"
        ),
    ),
    (
        {"plan_own_mailboxes": 1},
        AddMailbox("bo.2@acme.test", "acme", "plant", owner="bo@acme.test"),
        "mailboxes of bo@acme.test: the plan of acme allows 1, there are 1",
    ),
    (
        {"plan_shared_mailboxes": 0},
        AddMember("team@acme.test", "bo@acme.test", Rights()),
        "mailboxes shared with bo@acme.test: the plan of acme allows 0, there are 0",
    ),
    (
        {"plan_members": 0},
        AddMember("team@acme.test", "bo@acme.test", Rights()),
        "members of team@acme.test: the plan of acme allows 0, there are 0",
    ),
    (
        {"plan_aliases": 1},
        AddAlias("post@acme.test", "team@acme.test"),
        "aliases of team@acme.test: the plan of acme allows 1, there are 1",
    ),
    (
        {"plan_message_bytes": 1000},
        ChangeMailbox("team@acme.test", {"max_message_bytes": 2000}),
        (
            "largest message of team@acme.test, 2000 bytes: the plan of acme allows 1000, it has no limit of its own "
            "now; choose a smaller one, or raise it: stellwerk organisation plan acme --message-bytes 2000"
        ),
    ),
]


@pytest.mark.parametrize(("plan", "command", "text"), PLANS, ids=[text.partition(":")[0] for *_, text in PLANS])
async def test_a_plan_names_its_limit_and_the_present_number(
    town: Kept, plan: dict[str, int], command: Command[object], text: str
) -> None:
    await town.do(ChangeOrganisation("acme", plan))
    with pytest.raises(OverPlan) as refusal:
        await town.do(command)
    assert str(refusal.value).startswith(text)
    await town.do(ChangeOrganisation("acme", dict.fromkeys(plan)))
    await town.do(command)


async def test_a_larger_limit_than_the_plan_s_is_told_with_the_present_one(town: Kept) -> None:
    await town.do(ChangeMailbox("team@acme.test", {"max_message_bytes": 500}))
    await town.do(ChangeOrganisation("acme", {"plan_message_bytes": 1000}))
    with pytest.raises(OverPlan, match="allows 1000, it is 500 now; choose a smaller one"):
        await town.do(ChangeMailbox("team@acme.test", {"max_message_bytes": 2000}))


async def test_a_person_moves_with_their_own_mailboxes(town: Kept) -> None:
    await town.do(ChangePerson("anna@acme.test", {"extension": "7"}))
    await town.do(ChangePerson("bo@acme.test", {"extension": "7"}))
    assert await town.do(MovePerson("bo@acme.test", "sales")) is True
    assert await town.do(MovePerson("bo@acme.test", "sales")) is False
    [bo] = await town.rows(
        select(context.c.name, person.c.extension)
        .join_from(person, context, person.c.context_id == context.c.id)
        .where(person.c.address == "bo@acme.test")
    )
    assert bo == {"name": "sales", "extension": ""}
    places = await town.rows(
        select(context.c.name)
        .join_from(mailbox, context, mailbox.c.context_id == context.c.id)
        .where(mailbox.c.address == "bo@acme.test")
    )
    assert places == [{"name": "sales"}]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"phone": "12", "language": "de", "name": "Bo"}, None),
        ({"role": "context_admin"}, NotAllowed),
        ({"extension": "12"}, NotAllowed),
        ({"language": "fr"}, BadValue),
        ({"name": "two\nlines"}, BadValue),
    ],
)
async def test_what_people_may_change_of_themselves(
    town: Kept, values: dict[str, str], error: type[DirectoryError] | None
) -> None:
    bo = await actor_of(town.store, "bo@acme.test")
    if error is None:
        assert await town.do(ChangePerson("bo@acme.test", values), bo) is True
        return
    with pytest.raises(error):
        await town.do(ChangePerson("bo@acme.test", values), bo)


async def test_nobody_meets_people_of_a_context_that_is_not_shown_to_theirs(town: Kept) -> None:
    await town.do(ChangePerson("bo@acme.test", {"role": "context_admin"}))
    bo = await actor_of(town.store, "bo@acme.test")
    share = AddMember("bo@acme.test", "anna@acme.test", Rights())
    with pytest.raises(NotFound, match='no person "anna@acme'):
        await town.do(share, bo)
    await town.do(ShowPeopleTo("acme", "plant", "sales"))
    await town.do(share, bo)
    with pytest.raises(NotAllowed):
        await town.do(ChangePerson("anna@acme.test", {"phone": "1"}), bo)


async def test_a_member_with_the_right_to_manage_may_not_choose_the_next_hop(town: Kept) -> None:
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(manage=True)))
    bo = await actor_of(town.store, "bo@acme.test")
    await town.do(ChangeMailbox("team@acme.test", {"vip": 1}), bo)
    with pytest.raises(NotAllowed, match="change where its mail goes"):
        await town.do(ChangeMailbox("team@acme.test", {"next_hop": "elsewhere"}), bo)


async def test_an_out_of_office_text_is_set_changed_and_ended(town: Kept) -> None:
    assert await town.do(SetOutOfOffice("bo@acme.test", " Away\r\nuntil May ", "Away", None, NOON + 60)) is True
    assert await town.do(SetOutOfOffice("bo@acme.test", "Away\nuntil May", "Away", None, NOON + 60)) is False
    assert await town.do(SetOutOfOffice("bo@acme.test", "Back soon")) is True
    [row] = await town.rows(select(out_of_office))
    assert (row["text"], row["subject"], row["begins"], row["ends"]) == ("Back soon", "", None, None)
    await town.do(EndOutOfOffice("bo@acme.test"))
    assert await town.rows(select(out_of_office)) == []


async def test_an_intake_address_is_on_the_gateways_own_domain_and_cannot_be_guessed(town: Kept) -> None:
    key = await town.do(AddIntake("team@acme.test", "GW.example.test", OWN, label="k7xw2"))
    assert key == "team-k7xw2@gw.example.test"
    [row] = await town.rows(select(address).where(address.c.kind == "intake"))
    assert (row["key"], row["domain"]) == (key, "gw.example.test")
    labels = {AddIntake("team@acme.test", "gw.example.test", OWN).label for _ in range(20)}
    assert (len(labels), {len(label) for label in labels}) == (20, {10})
    await town.do(EndIntake("team@acme.test"))
    assert await town.rows(select(address).where(address.c.kind == "intake")) == []


REFUSALS: list[tuple[Command[object], type[DirectoryError], str]] = [
    (AddIntake("team@acme.test", "acme.test", OWN), BadValue, "acme.test is none of the gateway's own domains"),
    (AddIntake("team@acme.test", "acme.test", ("acme.test",)), Conflict, "acme.test belongs to an organisation"),
    (
        Together((AddIntake("team@acme.test", OWN[0], OWN), AddIntake("team@acme.test", OWN[0], OWN))),
        Conflict,
        "team@acme.test has the intake address team-",
    ),
    (EndIntake("team@acme.test"), NotFound, 'no intake address of "team@acme.test"'),
    (EndOutOfOffice("bo@acme.test"), NotFound, 'no out-of-office text of "bo@acme.test"'),
    (SetOutOfOffice("bo@acme.test", " "), BadValue, "the out-of-office text is empty"),
    (SetOutOfOffice("bo@acme.test", "a\x1b[0m"), BadValue, "holds control characters"),
    (SetOutOfOffice("bo@acme.test", "x" * 10_001), BadValue, "has 10001 characters; expected at most 10000"),
    (SetOutOfOffice("bo@acme.test", "x", "", 5.0, 5.0), BadValue, "would end before it begins"),
    (SetOutOfOffice("bo@acme.test", "x", "", None, NOON), BadValue, "would end in the past"),
    (ChangeOrganisation("acme", {"contact_address": "nobody"}), BadValue, '"nobody" is no mail address'),
    (ChangeOrganisation("acme", {"plan_aliases": -1}), BadValue, "a plan's limit is a number from 0 on"),
    (MovePerson("bo@acme.test", "main"), NotFound, 'there is no context "main"; acme has: '),
]


@pytest.mark.parametrize(("command", "error", "text"), REFUSALS, ids=[text for *_, text in REFUSALS])
async def test_what_is_refused_and_how(
    town: Kept, command: Command[object], error: type[DirectoryError], text: str
) -> None:
    before = await town.rows(select(organisation))
    with pytest.raises(error) as refusal:
        await town.do(command)
    assert text in str(refusal.value)
    assert await town.rows(select(organisation)) == before
    assert await town.rows(select(address).where(address.c.kind == "intake")) == []


async def test_a_new_password_ends_every_session(town: Kept) -> None:
    hashed = hash_password("correct horse battery")
    await town.do(SetPassword("bo@acme.test", hashed))
    [row] = await town.rows(select(person).where(person.c.address == "bo@acme.test"))
    assert (row["password"], row["credential_version"]) == (hashed, 2)
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_a_made_password_is_long_and_unambiguous() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(each.replace("-", "")) == 20 and not set(each) & set("l1o0IO") for each in made)
    assert all(chosen_password(each) == each for each in made)


@pytest.mark.parametrize("text", ["short", "x" * 201, "correct\thorse battery"])
def test_a_password_that_cannot_be(text: str) -> None:
    with pytest.raises(BadValue):
        chosen_password(text)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("2026-12-24T18:00+01:00", False, datetime(2026, 12, 24, 17, tzinfo=UTC)),
        ("2026-12-24T18:00Z", True, datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24", False, datetime(2026, 12, 24).astimezone()),
        ("2026-12-24", True, datetime(2026, 12, 25).astimezone()),
    ],
)
def test_dates(text: str, end: bool, expected: datetime) -> None:
    assert moment(text, end=end) == expected.timestamp()


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "24.12.2026"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(BadValue, match="is no date"):
        moment(text)
