"""What listings show to whom: nobody of a context that is not shown appears as owner or deputy."""

from __future__ import annotations

import pytest

from gateway.directory import listing
from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.errors import NotFound
from gateway.directory.leaving import SetDeputy
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import ShowPeopleTo
from gateway.directory.people import AddPerson
from tests.core.directory.conftest import OPERATOR, Kept

HIDDEN = listing.NOT_SEEN


@pytest.fixture
async def sales(town: Kept) -> Kept:
    """eva works in sales, where bo of plant owns the mailbox `shop` and is eva's deputy."""
    for command in (
        AddPerson("eva@acme.test", "acme", "sales", "Eva"),
        AddMailbox("shop@acme.test", "acme", "sales", "shared", owner="bo@acme.test"),
        SetDeputy("eva@acme.test", "bo@acme.test"),
    ):
        await town.do(command)
    return town


async def shown(kept: Kept, actor: Actor) -> tuple[object, object]:
    """The owner of shop and eva's deputy, as the actor is told."""
    [box] = [row for row in await listing.mailboxes(kept.store, actor) if row["address"] == "shop@acme.test"]
    [eva] = [row for row in await listing.people(kept.store, actor) if row["address"] == "eva@acme.test"]
    return box["owner"], eva["deputy"]


async def test_people_of_another_context_are_not_named(sales: Kept) -> None:
    eva = await actor_of(sales.store, "eva@acme.test")
    assert await shown(sales, eva) == (HIDDEN, HIDDEN)
    assert await shown(sales, OPERATOR) == ("bo@acme.test", "bo@acme.test")
    assert await shown(sales, await actor_of(sales.store, "anna@acme.test")) == ("bo@acme.test", "bo@acme.test")
    with pytest.raises(NotFound):
        await listing.mailboxes(sales.store, eva, owner="bo@acme.test")
    await sales.do(ShowPeopleTo("acme", "sales", "plant"))
    assert await shown(sales, eva) == ("bo@acme.test", "bo@acme.test")


async def test_whoever_works_in_a_mailbox_sees_whose_it_is(sales: Kept) -> None:
    await sales.do(AddMember("shop@acme.test", "eva@acme.test", Rights()))
    assert await shown(sales, await actor_of(sales.store, "eva@acme.test")) == ("bo@acme.test", HIDDEN)
    ownerless = [row["owner"] for row in await listing.mailboxes(sales.store, OPERATOR) if row["kind"] == "shared"]
    assert sorted(map(str, ownerless)) == ["None", "bo@acme.test"]
