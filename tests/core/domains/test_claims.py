"""Claims in the store: who may make one, what becomes of tokens, and that one organisation at most has a name."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from gateway.directory.actor import Actor
from gateway.directory.change import Command
from gateway.directory.domains import HOLDERS, TrustDomain
from gateway.directory.errors import DirectoryError
from gateway.directory.mailboxes import AddMailbox, EndMailbox
from gateway.directory.organisations import AddContext, AddOrganisation, ChangeOrganisation
from gateway.directory.tables import address, domain, sealed_address
from gateway.domains.claims import ApproveDomain, ClaimDomain, GiveUpDomain, LookNow, NewToken, SuspendDomain
from gateway.domains.facts import DAY, HOUR, Observation, Seen
from gateway.domains.looks import STALE, RecordLook, record_look
from gateway.domains.states import Event
from tests.core.directory.conftest import Kept
from tests.core.domains.claiming import NAME, OWNER, claimed, look, row, state, tokens

OWN = frozenset({"mx1.gateway.test"})


async def test_a_claim_is_pending_with_a_token_and_a_contact(kept: Kept) -> None:
    await claimed(kept, "acme")
    found = await row(kept, "acme")
    assert (found["state"], found["serial"], found["contacts"], len(found["token"])) == ("pending", 1, OWNER[0], 32)
    assert found["takes_mail_until"] == 0.0
    assert found["next_look_at"] == kept.now


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (ClaimDomain(NAME, "acme"), "needs a contact outside"),
        (ClaimDomain(NAME, "acme", ["owner@customer.test"]), "is in customer.test itself"),
        (ClaimDomain(NAME, "acme", ["owner@mail.customer.test"]), "is in customer.test itself"),
        (ClaimDomain(NAME, "acme", ["owner"]), "no mail address"),
        (ClaimDomain("co.uk", "acme", OWNER), "public suffix"),
        (ClaimDomain("gateway.test", "acme", OWNER, own_names=OWN), "the gateway's own"),
        (ClaimDomain("mine.test", "acme", OWNER), "acme already, it is pending"),
        (NewToken("nowhere.test"), "there is no domain"),
        (NewToken("free.test"), "there is nothing to prove"),
        (ApproveDomain("mine.test"), "waits for nobody"),
        (SuspendDomain("mine.test"), "only a domain in service is suspended"),
        (TrustDomain("free.test", organisation="rival"), "belongs to acme"),
        (AddMailbox("a@mine.test", "acme", "main", "shared"), "gets addresses once its owner has proven it"),
    ],
)
async def test_what_is_refused_says_why(kept: Kept, command: Command[object], why: str) -> None:
    for each in (AddOrganisation("acme"), AddOrganisation("rival"), AddContext("acme", "main")):
        await kept.do(each)
    await kept.do(TrustDomain("free.test", organisation="acme"))
    await claimed(kept, "acme", name="mine.test")
    with pytest.raises(DirectoryError, match=why):
        await kept.do(command)


async def test_the_organisations_contact_does_where_none_is_named(kept: Kept) -> None:
    await kept.do(AddOrganisation("acme"))
    await kept.do(ChangeOrganisation("acme", {"contact_address": "eva@home.test"}))
    await kept.do(ClaimDomain(NAME, "acme"))
    assert (await row(kept, "acme"))["contacts"] == "eva@home.test"


async def test_members_claim_nothing_and_nobody_learns_of_others(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    whose = (await row(kept, "other"))["organisation_id"]
    admin = Actor("cleo", "organisation_admin", "p", whose)
    member = Actor("dora", "member", "q", whose)
    with pytest.raises(DirectoryError, match="may not add a domain"):
        await kept.do(ClaimDomain("mine.test", "other", OWNER), member)
    assert await kept.do(NewToken(NAME), admin) == 2
    assert await tokens(kept, "acme") == {1: (False, False)}


async def test_names_that_somebody_must_look_at_wait_and_go_on_when_approved(kept: Kept) -> None:
    await claimed(kept, "acme", name="github.io")
    waiting = await row(kept, "acme", "github.io")
    assert (waiting["hold"], waiting["next_look_at"]) == ("private_suffix", None)
    kept.now += 5 * DAY
    await kept.do(ApproveDomain("github.io"))
    approved = await row(kept, "acme", "github.io")
    assert (approved["hold"], approved["next_look_at"], approved["token_issued_at"]) == ("", kept.now, kept.now)


async def test_below_a_tree_of_somebody_else_an_operator_decides(kept: Kept) -> None:
    await kept.do(AddOrganisation("acme"))
    await kept.do(ClaimDomain(NAME, "acme", OWNER, "tree"))
    await look(kept, "acme", "pass")
    await claimed(kept, "other", "acme", name="sub.customer.test")
    assert (await row(kept, "other", "sub.customer.test"))["hold"] == "parent_owned_by_other"
    assert (await row(kept, "acme", "sub.customer.test"))["hold"] == ""


async def test_a_serial_is_never_used_again_and_what_is_revoked_stays_so(kept: Kept) -> None:
    await claimed(kept, "acme")
    first = (await row(kept, "acme"))["token"]
    await kept.do(NewToken(NAME))
    assert await tokens(kept, "acme") == {1: (False, True), 2: (False, False)}
    await look(kept, "acme", "pass")
    await kept.do(NewToken(NAME))  # the one in use stays until the new one is seen
    assert await tokens(kept, "acme") == {1: (False, True), 2: (True, False), 3: (False, False)}
    told = await look(kept, "acme", "pass")
    assert Event("token") in told.events
    assert await tokens(kept, "acme") == {1: (False, True), 2: (True, True), 3: (True, False)}
    await kept.do(GiveUpDomain(NAME))
    assert await state(kept, "acme") == "released"
    await kept.do(ClaimDomain(NAME, "acme", OWNER))
    again = await row(kept, "acme")
    assert (again["state"], again["serial"]) == ("pending", 4)
    assert again["token"] != first


async def test_a_look_that_somebody_overtook_counts_for_nothing(kept: Kept) -> None:
    await claimed(kept, "acme")
    before = await row(kept, "acme")
    await kept.do(NewToken(NAME))
    seen = Observation(kept.now, "pass", "pass", before["token_issued_at"], sure=True)
    assert await record_look(kept.store, RecordLook(before["id"], before["version"], seen, 1)) == STALE
    assert await state(kept, "acme") == "pending"


async def test_of_two_looks_at_the_same_time_one_counts(kept: Kept) -> None:
    await claimed(kept, "acme")
    before = await row(kept, "acme")
    asked = RecordLook(before["id"], before["version"], Observation(kept.now + 1, "fail", "fail"))
    both = await asyncio.gather(record_look(kept.store, asked), record_look(kept.store, asked))
    assert sorted(each.counted for each in both) == [False, True]


async def test_a_second_proof_while_the_holders_token_stands_is_a_dispute(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass", "pass")
    told = await look(kept, "other", "pass")
    assert [event.kind for event in told.events] == ["disputed"]
    assert [await state(kept, each) for each in ("acme", "other")] == ["active", "pending"]
    assert (await row(kept, "acme"))["takes_mail_until"] is None
    await kept.do(AddContext("acme", "main"))
    with pytest.raises(DirectoryError, match="others claim it too; put a fresh token into DNS"):
        await kept.do(AddMailbox(f"a@{NAME}", "acme", "main", "shared"))
    kept.now += 8 * DAY
    await look(kept, "other", "temp")  # nothing is known: nothing is taken
    assert await state(kept, "acme") == "active"
    await look(kept, "other", "pass")
    assert [await state(kept, each) for each in ("acme", "other")] == ["released", "verified"]
    assert await tokens(kept, "acme") == {1: (True, True)}


async def test_in_a_disputed_domain_administrators_change_nothing_and_operators_may(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass", "pass")
    await kept.do(AddContext("acme", "main"))
    await kept.do(AddMailbox(f"a@{NAME}", "acme", "main", "shared"))
    await look(kept, "other", "pass")
    admin = Actor("anna", "organisation_admin", "p", (await row(kept, "acme"))["organisation_id"])
    with pytest.raises(DirectoryError, match="is frozen"):
        await kept.do(EndMailbox(f"a@{NAME}"), admin)
    await kept.do(EndMailbox(f"a@{NAME}"))


async def test_a_holder_who_proves_a_fresh_token_ends_the_dispute(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass", "pass")
    await look(kept, "other", "pass")
    kept.now += 1
    await kept.do(NewToken(NAME))
    await look(kept, "acme", "pass", "pass")
    await look(kept, "other", "pass")
    assert [await state(kept, each) for each in ("acme", "other")] == ["active", "expired"]
    assert (await row(kept, "acme"))["disputed_at"] is None
    assert await tokens(kept, "other") == {1: (True, True)}


async def test_a_dispute_ends_with_the_claim_that_raised_it(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass", "pass")
    await look(kept, "other", "pass")
    for _ in range(3):
        kept.now += 25 * HOUR
        await look(kept, "other", "fail")
    assert [(await row(kept, each))["disputed_at"] for each in ("acme", "other")] == [None, None]
    assert await state(kept, "acme") == "active"


async def test_a_trusted_domain_is_an_operators_word_and_not_taken(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await kept.do(TrustDomain(NAME, organisation="acme"))
    told = await look(kept, "other", "pass")
    kept.now += 30 * DAY
    await look(kept, "other", "pass")
    assert [event.kind for event in told.events] == ["disputed"]
    assert [await state(kept, each) for each in ("acme", "other")] == ["trusted", "pending"]


async def test_who_gets_a_suspended_name_gets_it_empty_and_the_old_owner_gets_it_back_full(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    await look(kept, "acme", "pass", "pass")
    await kept.do(AddContext("acme", "main"))
    await kept.do(AddMailbox(f"a@{NAME}", "acme", "main", "shared"))
    await kept.do(SuspendDomain(NAME))
    await look(kept, "other", "pass")
    assert [await state(kept, each) for each in ("acme", "other")] == ["released", "verified"]
    assert await kept.rows(select(address)) == []
    assert [each["key"] for each in await kept.rows(select(sealed_address))] == [f"a@{NAME}"]
    await kept.do(GiveUpDomain(NAME, "other"))
    await kept.do(ClaimDomain(NAME, "acme", OWNER))
    await look(kept, "acme", "pass")
    assert [each["key"] for each in await kept.rows(select(address))] == [f"a@{NAME}"]
    assert await kept.rows(select(sealed_address)) == []


async def test_a_suspension_ends_with_a_fresh_token_and_not_with_the_old_one(kept: Kept) -> None:
    await claimed(kept, "acme")
    await look(kept, "acme", "pass", "pass")
    kept.now += DAY
    await kept.do(SuspendDomain(NAME))
    await look(kept, "acme", "pass", "pass")
    assert await state(kept, "acme") == "suspended"
    kept.now += DAY
    await kept.do(NewToken(NAME))
    told = await look(kept, "acme", "pass", "pass")
    assert (await state(kept, "acme"), told.events[0]) == ("active", Event("reinstated"))


async def test_a_look_may_be_asked_for_every_ten_seconds_and_sixty_times_an_hour(kept: Kept) -> None:
    await claimed(kept, "acme")
    await look(kept, "acme", "fail")
    later = (await row(kept, "acme"))["next_look_at"]
    with pytest.raises(DirectoryError, match="try again in 10 s"):
        await kept.do(LookNow(NAME))
    kept.now += 10
    await kept.do(LookNow(NAME))
    assert (await row(kept, "acme"))["next_look_at"] == kept.now < later
    for _ in range(59):
        await kept.do(LookNow(NAME))
    with pytest.raises(DirectoryError, match="often in this hour"):
        await kept.do(LookNow(NAME))


EXAMPLES = count()
"""The store is the same for all examples of a test: each has a name of its own."""
STEP = st.one_of(
    st.tuples(
        st.just("look"),
        st.sampled_from(["acme", "other", "third"]),
        st.sampled_from(["pass", "fail", "temp"]),
        st.booleans(),
    ),
    st.tuples(
        st.sampled_from(["token", "claim", "give up", "suspend", "trust", "distrust"]),
        st.sampled_from(["acme", "other"]),
    ),
    st.tuples(st.just("wait"), st.floats(0, 10 * DAY)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, min_size=5, max_size=25))
async def test_never_do_two_hold_a_name(kept: Kept, steps: list[tuple[str, str, Seen, bool]]) -> None:
    """Whatever three organisations and an operator do, and whatever is seen meanwhile: on the store itself."""
    name = f"example{next(EXAMPLES)}.test"
    await claimed(kept, "acme", "other", "third", name=name)
    for step in steps:
        await _do(kept, name, step)
        held = select(func.count()).where(domain.c.name == name, domain.c.state.in_(HOLDERS))
        assert (await kept.rows(held))[0]["count_1"] <= 1


async def _do(kept: Kept, name: str, step: tuple[str, str, Seen, bool]) -> None:
    what, who = step[0], step[1]
    if what == "wait":
        kept.now += float(who)
        return
    if what == "look":
        await look(kept, who, step[2], "pass" if step[3] else "fail", sure=step[3], name=name)
        return
    commands: dict[str, Command[object]] = {
        "token": NewToken(name, who),
        "claim": ClaimDomain(name, who, OWNER),
        "give up": GiveUpDomain(name, who),
        "suspend": SuspendDomain(name),
        "trust": TrustDomain(name, organisation=who),
        "distrust": TrustDomain(name, trusted=False),
    }
    try:
        await kept.do(commands[what])
    except DirectoryError:
        return
