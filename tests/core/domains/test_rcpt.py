"""What a sender is told in each state of a domain, from memory, and what Postfix is."""

from __future__ import annotations

import pytest

from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.service import DirectoryService
from gateway.directory.static import StaticDirectory
from gateway.domains.claims import SuspendDomain
from gateway.domains.facts import DAY
from gateway.errors import StoreUnavailable
from gateway.mail.address import Address
from gateway.mail.envelope import Recipient
from gateway.postfix_maps.answers import MapAnswers
from gateway.postfix_maps.listing import list_maps
from gateway.routing.route import Refuse
from tests.core.directory.conftest import Kept
from tests.core.domains.claiming import NAME, claimed, look, state
from tests.hooks.walk import OUTBOUND, Walk, chain, config, session, steps

ANNA = f"anna@{NAME}"
FOREIGN = "550 5.7.1 relaying denied"
TAKEN = "250 2.1.5 recipient ok"
LATELY = "451 4.3.0 mail for this domain is not taken now, try again later"
SUSPENDED = "550 5.2.1 mail for this domain is not taken here"


async def directory_of(kept: Kept) -> DirectoryService:
    settings = config("")
    service = DirectoryService(StaticDirectory(settings.hosted, settings.server.hostname), kept.store, lambda: kept.now)
    await service.start()
    return service


async def told(kept: Kept, role: str = "inbound", address: str = ANNA) -> str:
    """The reply to RCPT, by a process that has seen the last change."""
    walk = Walk(config(OUTBOUND if role == "filter" else ""), chain(), await directory_of(kept))
    transaction, _ = await walk.mail(came_by=session(role))  # type: ignore[arg-type]
    return str(await walk.rcpt(transaction, address))


async def with_a_mailbox(kept: Kept) -> None:
    """acme has proven the domain, without an MX of ours yet, and there is a mailbox in it."""
    await claimed(kept, "acme")
    await look(kept, "acme", "pass")
    await kept.do(AddContext("acme", "main"))
    await kept.do(AddMailbox(ANNA, "acme", "main", "shared"))


async def test_every_state_has_its_answer(kept: Kept) -> None:
    await claimed(kept, "acme")
    assert (await state(kept, "acme"), await told(kept)) == ("pending", FOREIGN)
    await look(kept, "acme", "pass")
    await kept.do(AddContext("acme", "main"))
    await kept.do(AddMailbox(ANNA, "acme", "main", "shared"))
    assert (await state(kept, "acme"), await told(kept)) == ("verified", TAKEN)
    await look(kept, "acme", "pass", "pass")
    assert (await state(kept, "acme"), await told(kept)) == ("active", TAKEN)
    for _ in range(3):
        kept.now += DAY
        await look(kept, "acme", "pass", "fail")
    assert (await state(kept, "acme"), await told(kept)) == ("parked", TAKEN)
    for _ in range(3):
        kept.now += DAY
        await look(kept, "acme", "fail", "fail")
    assert (await state(kept, "acme"), await told(kept)) == ("grace", TAKEN)
    kept.now += 7 * DAY
    await look(kept, "acme", "fail", "fail")
    assert (await state(kept, "acme"), await told(kept)) == ("suspended", LATELY)
    kept.now += 5 * DAY
    assert (await state(kept, "acme"), await told(kept)) == ("suspended", SUSPENDED)
    kept.now += 25 * DAY
    await look(kept, "acme", "fail", "fail")
    assert (await state(kept, "acme"), await told(kept)) == ("released", FOREIGN)


async def test_a_domain_without_our_mx_takes_mail_for_14_days(kept: Kept) -> None:
    await with_a_mailbox(kept)
    kept.now += 14 * DAY
    assert (await state(kept, "acme"), await told(kept)) == ("verified", FOREIGN)


async def test_a_suspended_domain_is_refused_to_whoever_asks_and_whatever_the_address(kept: Kept) -> None:
    await with_a_mailbox(kept)
    await kept.do(SuspendDomain(NAME))
    assert {await told(kept, role) for role in ("inbound", "filter", "proxy")} == {LATELY}
    assert await told(kept, address=f"nobody@{NAME}") == LATELY


async def test_nobody_sees_from_outside_that_a_name_is_claimed(kept: Kept) -> None:
    await claimed(kept, "acme", "other")
    assert await told(kept) == await told(kept, address="anna@elsewhere.test")


async def test_a_claim_of_others_changes_nothing_for_the_holder(kept: Kept) -> None:
    await kept.do(AddOrganisation("acme"))
    await kept.do(AddContext("acme", "main"))
    await kept.do(TrustDomain(NAME, organisation="acme"))
    await kept.do(AddMailbox(ANNA, "acme", "main", "shared"))
    await claimed(kept, "other")
    assert await told(kept) == TAKEN


async def test_the_maps_of_postfix_defer_a_suspended_domain_and_then_know_nobody_in_it(kept: Kept) -> None:
    await with_a_mailbox(kept)
    await kept.do(SuspendDomain(NAME))
    service = await directory_of(kept)
    maps = MapAnswers(service, kept.store)
    assert await maps.answer("domains", NAME) == NAME
    with pytest.raises(StoreUnavailable, match="try again later"):
        await maps.answer("recipients", ANNA)
    kept.now += 5 * DAY
    assert (await maps.answer("domains", NAME), await maps.answer("recipients", ANNA)) == (NAME, None)
    listed = await list_maps(config(""), service, kept.store)
    assert NAME not in listed["domains"]


async def test_whoever_looks_once_a_second_has_seen_it(kept: Kept) -> None:
    await with_a_mailbox(kept)
    service = await directory_of(kept)
    assert service.hosts(NAME)
    await kept.do(SuspendDomain(NAME))
    assert service.hosts(NAME)
    await service.version.look()
    assert not service.hosts(NAME)
    assert str(service.refusal(NAME)) == LATELY


async def test_a_look_that_changes_nothing_leaves_the_caches_alone(kept: Kept) -> None:
    await with_a_mailbox(kept)
    service = await directory_of(kept)
    number = service.version.number
    await look(kept, "acme", "pass", "fail")
    await look(kept, "acme", "temp", "temp")
    await service.version.look()
    assert service.version.number == number


async def test_mail_that_is_led_into_a_suspended_domain_does_not_go_out_and_come_back(kept: Kept) -> None:
    await with_a_mailbox(kept)
    await kept.do(SuspendDomain(NAME))
    walk = Walk(config(OUTBOUND), chain(), await directory_of(kept))
    transaction, _ = await walk.mail(came_by=session("filter"))
    transaction.accept(Recipient(Address.parse(ANNA)))  # as if a plugin had led it here
    (step,) = steps((await walk.data(transaction)).plan)
    assert isinstance(step, Refuse)
    assert str(step.reply) == LATELY
