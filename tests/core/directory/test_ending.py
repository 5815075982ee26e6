"""Contexts and organisations end when they are empty: what keeps them, what goes with them, and what stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from gateway.directory.bulk.known import NOWHERE, known_places
from gateway.directory.change import Command
from gateway.directory.dangling import audit
from gateway.directory.ending import MOST_NAMED, EndContext, EndOrganisation
from gateway.directory.errors import BadValue, Conflict
from gateway.directory.leaving import ActivatePerson, DeactivatePerson
from gateway.directory.listing import contexts, mailboxes, people
from gateway.directory.mailboxes import AddMailbox, EndMailbox, GiveMailbox
from gateway.directory.organisations import (
    AddContext,
    AddOrganisation,
    ChangeContext,
    ChangeOrganisation,
    SetFallback,
    ShowPeopleTo,
    SwitchPlugin,
)
from gateway.directory.people import AddPerson, MovePerson
from gateway.directory.places import context_meant, organisation_meant
from gateway.directory.tables import context, context_plugin, context_visibility, domain, person
from gateway.store.store import Write
from tests.core.directory.conftest import NOON, OPERATOR, Kept

EMPTIED: tuple[Command[Any], ...] = (DeactivatePerson("bo@acme.test"), EndMailbox("bo@acme.test"))
"""What empties acme/plant."""

BO = (
    "1 active person: bo@acme.test (stellwerk user deactivate ADDRESS, or stellwerk user change ADDRESS --context NAME)"
)
BOX = "1 mailbox: {} (stellwerk mailbox end ADDRESS)"
FALLBACK = "1 fallback of another context: acme/sales (stellwerk context fallback NAME none)"
MANY = [f"p{n:02}@acme.test" for n in range(MOST_NAMED + 2)]
KEPT: list[tuple[list[Command[Any]], list[str]]] = [
    ([], [BO, BOX.format("bo@acme.test")]),
    ([DeactivatePerson("bo@acme.test")], [BOX.format("bo@acme.test")]),
    ([EndMailbox("bo@acme.test")], [BO]),
    (
        [GiveMailbox("bo@acme.test", "anna@acme.test"), DeactivatePerson("bo@acme.test")],
        [BOX.format("bo@acme.test")],
    ),
    (
        # The fallback of sales goes with its owner to plant.
        [SetFallback("acme", "sales", "anna@acme.test"), MovePerson("anna@acme.test", "plant"), *EMPTIED],
        [BO.replace("bo@", "anna@"), BOX.format("anna@acme.test"), FALLBACK],
    ),
    (
        [*EMPTIED, *(AddPerson(address, "acme", "plant") for address in MANY)],
        [BO.replace("1 active person: bo@acme.test", f"12 active people: {', '.join(MANY[:MOST_NAMED])} and 2 more")],
    ),
]


@pytest.mark.parametrize(("commands", "left"), KEPT)
async def test_what_is_in_a_context_keeps_it(town: Kept, commands: Sequence[Command[Any]], left: list[str]) -> None:
    for command in commands:
        await town.do(command)
    with pytest.raises(Conflict) as refusal:
        await town.do(EndContext("acme", "plant"))
    assert str(refusal.value) == f"acme/plant cannot end yet: {'; '.join(left)}"


async def ended(town: Kept) -> None:
    for command in EMPTIED:
        await town.do(command)
    await town.do(EndContext("acme", "plant"))


async def test_what_only_links_a_context_goes_with_it_and_stands_in_the_audit(town: Kept) -> None:
    links: list[Command[Any]] = [
        ShowPeopleTo("acme", "plant", "sales"),
        ShowPeopleTo("acme", "sales", "plant"),
        SwitchPlugin("acme", "plant", "probe", False, ("probe",)),
    ]
    for command in (*links, *EMPTIED):
        await town.do(command)
    done = await town.tell(EndContext("acme", "plant"))
    assert sorted((entry["action"], entry["name"]) for entry in done.audit) == [
        ("context.end", "acme/plant"),
        ("context_plugin.end", "acme/plant probe"),
        ("context_visibility.end", "acme/plant sees sales"),
        ("context_visibility.end", "acme/sales sees plant"),
    ]
    assert await town.rows(select(context_visibility)) == []
    assert await town.rows(select(context_plugin)) == []


AFTERWARDS: list[Command[Any]] = [
    EndContext("acme", "plant"),
    ChangeContext("acme", "plant", "Works"),
    AddPerson("eva@acme.test", "acme", "plant"),
    AddMailbox("eva@acme.test", "acme", "plant", "shared"),
    MovePerson("anna@acme.test", "plant"),
    ShowPeopleTo("acme", "sales", "plant"),
    SwitchPlugin("acme", "plant", "probe", False, ("probe",)),
    SetFallback("acme", "plant", ""),
]


@pytest.mark.parametrize("command", AFTERWARDS, ids=lambda command: type(command).__name__)
async def test_nothing_is_put_into_a_context_that_has_ended(town: Kept, command: Command[Any]) -> None:
    await ended(town)
    with pytest.raises(Conflict, match="the context acme/plant has ended; stellwerk context show acme/plant says when"):
        await town.do(command)


async def test_a_name_is_not_given_away_again(town: Kept) -> None:
    await ended(town)
    with pytest.raises(Conflict, match='there was a context of acme "plant", which has ended'):
        await town.do(AddContext("acme", "plant"))


async def test_who_was_in_it_stays_answerable_and_comes_back_into_another(town: Kept) -> None:
    await ended(town)
    place = await context_meant(town.store, OPERATOR, "acme/plant")
    assert [row["address"] for row in await people(town.store, OPERATOR, place)] == ["bo@acme.test"]
    assert [row["address"] for row in await mailboxes(town.store, OPERATOR, place, ended=True)] == ["bo@acme.test"]
    assert [row["ended_at"] for row in await contexts(town.store, OPERATOR, "acme", ended=True)] == [NOON, None]
    with pytest.raises(
        Conflict, match="was of acme/plant, which has ended; move them first: stellwerk user change bo@"
    ):
        await town.do(ActivatePerson("bo@acme.test"))
    await town.do(MovePerson("bo@acme.test", "sales"))
    await town.do(ActivatePerson("bo@acme.test"))


async def test_what_has_ended_is_meant_only_when_it_is_named(town: Kept) -> None:
    with pytest.raises(BadValue, match="acme has several contexts"):
        await context_meant(town.store, OPERATOR, organisation_named="acme")
    await ended(town)
    assert (await context_meant(town.store, OPERATOR, organisation_named="acme")).context == "sales"
    places = await known_places(town.store, OPERATOR, ("", ""))
    assert [name for _, name in places.contexts] == ["main", "sales"]
    assert NOWHERE not in places.contexts.values()


async def given_up(town: Kept, name: str) -> None:
    statement = update(domain).where(domain.c.name == name).values(state="released")

    def run(connection: Connection, payloads: Sequence[Any], /) -> Sequence[None]:
        connection.execute(statement)
        return [None] * len(payloads)

    await town.store.write([Write(run, None)])


async def without_people(town: Kept) -> None:
    await town.do(DeactivatePerson("cleo@other.test"))
    await town.do(EndMailbox("cleo@other.test"))
    await town.do(EndContext("other", "main"))


async def test_an_organisation_with_a_domain_cannot_end_and_one_that_gave_it_up_can(town: Kept) -> None:
    await without_people(town)
    with pytest.raises(Conflict) as refusal:
        await town.do(EndOrganisation("other"))
    assert str(refusal.value) == (
        "other cannot end yet: 1 domain: other.test (stellwerk domain list --organisation other)"
    )
    await given_up(town, "other.test")
    await town.do(EndOrganisation("other"))
    assert (await organisation_meant(town.store, OPERATOR)).organisation == "acme"
    assert (await organisation_meant(town.store, OPERATOR, "other")).organisation == "other"
    places = await known_places(town.store, OPERATOR, ("", ""))
    assert list(places.organisations) == ["acme"]


async def test_somebody_active_in_a_context_that_has_ended_keeps_the_organisation(town: Kept) -> None:
    await without_people(town)
    [cleo] = await town.rows(select(person.c.id).where(person.c.address == "cleo@other.test"))
    await town.undo(person, cleo["id"], state="active")
    with pytest.raises(Conflict, match=r"1 active person: cleo@other\.test"):
        await town.do(EndOrganisation("other"))


async def test_the_contact_of_an_organisation_that_has_ended_is_no_finding(town: Kept) -> None:
    await town.do(AddOrganisation("firm", contact_address="bo@acme.test"))
    await town.do(DeactivatePerson("bo@acme.test"))
    assert "firm" in [finding.name for finding in await audit(town.store, OPERATOR)]
    await town.do(EndOrganisation("firm"))
    assert "firm" not in [finding.name for finding in await audit(town.store, OPERATOR)]
    with pytest.raises(Conflict, match="the organisation firm has ended"):
        await town.do(ChangeOrganisation("firm", {"title": "Firm"}))


async def test_a_context_that_falls_back_on_its_own_mailbox_has_no_fallback_afterwards(town: Kept) -> None:
    await town.do(SetFallback("acme", "plant", "bo@acme.test"))
    await ended(town)
    assert await town.rows(select(context.c.fallback_mailbox_id).where(context.c.name == "plant")) == [
        {"fallback_mailbox_id": None}
    ]
