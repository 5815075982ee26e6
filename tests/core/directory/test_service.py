"""Who takes mail, by the directory: what is said at RCPT, where a copy goes, and how soon a change is seen."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from gateway.directory.cache import STALE_SECONDS, Version
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddAlias, AddMailbox, ChangeMailbox, EndAlias
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import AddOrganisation, ChangeOrganisation, SetFallback, SwitchPlugin
from gateway.directory.people import AddPerson
from gateway.directory.service import DirectoryService
from gateway.directory.static import StaticDirectory
from gateway.directory.tables import person
from gateway.errors import StoreUnavailable
from gateway.hooks.loader import load_plugins
from gateway.hooks.runner import Call
from gateway.mail.address import Address
from gateway.mail.reply import Reply
from gateway.routing.plan import DeliverStep
from gateway.routing.route import Discard, Refuse
from tests.core.directory.conftest import Kept
from tests.core.hooks.test_loader import NoDns
from tests.hooks.walk import OUTBOUND, Walk, call, chain, config, returns, services, session, steps


async def walk_with(kept: Kept, *calls: Call, tables: str = "") -> Walk:
    """A gateway on this directory; example.test and small.test stand in its configuration."""
    settings = config(tables)
    directory = DirectoryService(StaticDirectory(settings.hosted, settings.server.hostname), kept.store)
    await directory.start()
    return Walk(settings, chain(*calls), directory)


async def rcpt(walk: Walk, address: str, *, role: str = "inbound") -> Reply:
    transaction, _ = await walk.mail(came_by=session(role))  # type: ignore[arg-type]
    return await walk.rcpt(transaction, address)


async def routed(walk: Walk, address: str, *, role: str = "filter") -> list[tuple[str, str]]:
    """(final address or reply, next hop) of each step for one recipient that is accepted."""
    transaction, _ = await walk.mail(came_by=session(role))  # type: ignore[arg-type]
    assert (await walk.rcpt(transaction, address)).is_accept
    told = []
    for step in steps((await walk.data(transaction)).plan):
        if isinstance(step, DeliverStep):
            told.append((str(step.to), step.via))
        elif isinstance(step, Refuse):
            told.append((str(step.reply), ""))
    return told


async def leave(kept: Kept, *addresses: str) -> None:
    """As if these people had left."""
    for address in addresses:
        row = update(person).where(person.c.address == address).values(state="inactive")
        engine = kept.store._writer._engine
        with engine.begin() as connection:
            connection.execute(row)


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        ("anna@acme.test", "250 2.1.5"),
        ("ANNA@Acme.Test.", "250 2.1.5"),
        ("anna+lists@acme.test", "250 2.1.5"),
        ("info@acme.test", "250 2.1.5"),
        ("info+lists@acme.test", "250 2.1.5"),
        ("postmaster@acme.test", "250 2.1.5"),
        ("nobody@acme.test", "550 5.1.1"),
        ("+lists@acme.test", "550 5.1.1"),
        ("anna@example.test", "250 2.1.5"),
        ("nobody@example.test", "550 5.1.1"),
        ("somebody@elsewhere.test", "550 5.7.1"),
    ],
)
async def test_what_is_said_at_rcpt(town: Kept, address: str, reply: str) -> None:
    assert str(await rcpt(await walk_with(town), address)).startswith(reply)


async def test_an_international_domain_has_one_form(town: Kept) -> None:
    await town.do(TrustDomain("Bücher.test", organisation="acme"))
    await town.do(AddMailbox("anna@bücher.test", "acme", "sales", "shared"))
    walk = await walk_with(town)
    for domain in ("bücher.test", "BÜCHER.test", "xn--bcher-kva.test"):
        assert (await rcpt(walk, f"anna@{domain}")).is_accept


async def test_a_domain_that_is_neither_verified_nor_trusted_is_as_any_foreign_one(town: Kept) -> None:
    await town.do(TrustDomain("acme.test", trusted=False))
    walk = await walk_with(town)
    foreign = await rcpt(walk, "somebody@elsewhere.test")
    told = await rcpt(walk, "anna@acme.test")
    assert (told.code, told.enhanced, told.text) == (foreign.code, foreign.enhanced, foreign.text)


@pytest.mark.parametrize(
    ("address", "goes_to"),
    [
        ("anna@acme.test", [("anna@acme.test", "mail")]),
        ("Anna+lists@acme.test", [("Anna+lists@acme.test", "mail")]),
        ("info@acme.test", [("team@acme.test", "mail")]),
        ("INFO+lists@acme.test", [("team+lists@acme.test", "mail")]),
    ],
)
async def test_where_a_copy_goes(town: Kept, address: str, goes_to: list[tuple[str, str]]) -> None:
    assert await routed(await walk_with(town), address) == goes_to


async def test_a_mailbox_may_have_a_next_hop_of_its_own(town: Kept) -> None:
    await town.do(ChangeMailbox("bo@acme.test", {"next_hop": "postfix"}))
    assert await routed(await walk_with(town), "bo@acme.test") == [("bo@acme.test", "postfix")]
    await town.do(ChangeMailbox("bo@acme.test", {"next_hop": "gone"}))
    assert [told[:9] for told, _ in await routed(await walk_with(town), "bo@acme.test")] == ["451 4.3.5"]


async def test_a_mailbox_that_receives_nothing(town: Kept) -> None:
    await town.do(ChangeMailbox("team@acme.test", {"receives": 0}))
    walk = await walk_with(town)
    for address in ("team@acme.test", "info@acme.test", "team+x@acme.test"):
        assert str(await rcpt(walk, address)).startswith("550 5.2.1")
    # A plugin that leads there is refused as well.
    redirecting = call("route_recipient", returns(None))
    assert (await rcpt(await walk_with(town, redirecting), "team@acme.test")).code == 550


async def test_mail_of_somebody_who_has_left(town: Kept) -> None:
    """The deputy, else the other members, else the context's fallback, else nobody; never somebody who has left."""
    await town.do(AddPerson("dora@acme.test", "acme", "plant", "Dora Eck"))
    await town.do(AddMailbox("dora@acme.test", "acme", "plant", owner="dora@acme.test"))
    await leave(town, "bo@acme.test")
    assert str(await rcpt(await walk_with(town), "bo@acme.test")).startswith("550 5.2.1")

    await town.do(AddMailbox("plant@acme.test", "acme", "plant", "shared"))
    await town.do(SetFallback("acme", "plant", "plant@acme.test"))
    assert await routed(await walk_with(town), "bo@acme.test") == [("plant@acme.test", "mail")]

    await town.do(AddMember("bo@acme.test", "dora@acme.test", Rights()))
    await town.do(AddMember("bo@acme.test", "anna@acme.test", Rights()))
    expected = [("dora@acme.test", "mail"), ("anna@acme.test", "mail")]
    assert await routed(await walk_with(town), "bo@acme.test") == expected

    await leave(town, "dora@acme.test")
    assert await routed(await walk_with(town), "bo@acme.test") == [("anna@acme.test", "mail")]

    await leave(town, "anna@acme.test")
    assert await routed(await walk_with(town), "bo@acme.test") == [("plant@acme.test", "mail")]


async def test_people_who_left_and_follow_each_other_are_no_loop(town: Kept) -> None:
    await town.do(SetFallback("acme", "plant", "bo@acme.test"))
    await leave(town, "bo@acme.test")
    assert str(await rcpt(await walk_with(town), "bo@acme.test")).startswith("550 5.2.1")


async def test_the_postmaster_of_a_domain_is_the_contact_of_its_organisation(town: Kept) -> None:
    assert await routed(await walk_with(town), "postmaster@acme.test") == [("postmaster@acme.test", "mail")]
    await town.do(ChangeOrganisation("acme", {"contact_address": "anna@acme.test"}))
    assert await routed(await walk_with(town), "postmaster@acme.test") == [("anna@acme.test", "mail")]
    await town.do(AddAlias("postmaster@acme.test", "bo@acme.test"))
    assert await routed(await walk_with(town), "postmaster@acme.test") == [("bo@acme.test", "mail")]


async def test_a_plugin_that_a_context_switched_off_is_not_asked_about_its_mailboxes(town: Kept) -> None:
    refusing = call("smtp_rcpt_check", returns((Reply(550, "5.7.1", "no"),)))
    assert (await rcpt(await walk_with(town, refusing), "bo@acme.test")).code == 550
    await town.do(SwitchPlugin("acme", "plant", "probe", False, ("probe",)))
    walk = await walk_with(town, refusing)
    assert (await rcpt(walk, "bo@acme.test")).code == 250
    assert (await rcpt(walk, "anna@acme.test")).code == 550


async def test_a_route_that_a_context_switched_off_is_told(town: Kept) -> None:
    walk = await walk_with(town, call("route_recipient", returns(Discard("by rule"))))
    await town.do(SwitchPlugin("acme", "plant", "probe", False, ("probe",)))
    await walk.directory.version.look()
    transaction, _ = await walk.mail()
    for address in ("bo@acme.test", "anna@acme.test"):
        assert (await walk.rcpt(transaction, address)).is_accept
    planned = await walk.data(transaction)
    assert [type(step) for step in steps(planned.plan)] == [DeliverStep, Discard]
    off = {"event": "switched off", "plugin": "probe", "context": "acme/plant", "recipient": "bo@acme.test"}
    assert [event for event in walk.events if event.get("event") == "switched off"] == [off]


async def test_the_strictest_limit_counts(town: Kept) -> None:
    await town.do(ChangeMailbox("bo@acme.test", {"max_message_bytes": 2000}))
    await town.do(ChangeOrganisation("acme", {"plan_message_bytes": 1000}))
    directory = (await walk_with(town)).directory
    boxes = [await directory.mailbox(Address.parse(text)) for text in ("bo@acme.test", "cleo@other.test")]
    assert [box and box.max_message_bytes for box in boxes] == [1000, None]


async def test_a_change_is_seen_with_the_next_look_and_what_is_known_is_not_asked_again(town: Kept) -> None:
    walk = await walk_with(town)
    directory = walk.directory
    for _ in range(3):
        assert str(await rcpt(walk, "new@acme.test")).startswith("550 5.1.1")
        assert (await rcpt(walk, "info@acme.test")).is_accept
    assert directory._mailboxes.misses == 2
    await town.do(AddAlias("new@acme.test", "team@acme.test"))
    await town.do(EndAlias("info@acme.test"))
    await directory.version.look()
    assert (await rcpt(walk, "new@acme.test")).is_accept
    assert str(await rcpt(walk, "info@acme.test")).startswith("550 5.1.1")


async def test_a_new_domain_is_seen_with_the_next_look(kept: Kept) -> None:
    walk = await walk_with(kept)
    await kept.do(AddOrganisation("acme"))
    await kept.do(TrustDomain("acme.test", organisation="acme"))
    assert str(await rcpt(walk, "x@acme.test")).startswith("550 5.7.1")
    await walk.directory.version.look()
    assert str(await rcpt(walk, "x@acme.test")).startswith("550 5.1.1")


async def test_mail_for_elsewhere_is_relayed_behind_postfix_only(town: Kept) -> None:
    walk = await walk_with(town, tables=OUTBOUND)
    assert await routed(walk, "x@elsewhere.test") == [("x@elsewhere.test", "postfix")]
    assert str(await rcpt(walk, "x@elsewhere.test")).startswith("550 5.7.1")


class Lost:
    """A store that does not answer."""

    async def read(self, query: object, params: object = None) -> list[object]:
        raise StoreUnavailable("the store is not available: gone")


async def test_trouble_of_the_directory_is_for_now(town: Kept) -> None:
    walk = await walk_with(town)
    walk.directory._store = Lost()
    assert str(await rcpt(walk, "anna@acme.test")).startswith("451 4.3.0")
    assert str(await rcpt(walk, "nobody@acme.test")).startswith("451 4.3.0")
    assert str(await rcpt(walk, "anna@example.test")).startswith("250 2.1.5")


async def test_a_version_is_fresh_for_a_second(town: Kept) -> None:
    now = 100.0
    version = Version(town.store, lambda: now)
    assert not version.is_fresh
    await version.look()
    now += STALE_SECONDS
    assert version.is_fresh
    now += 0.1
    assert not version.is_fresh
    version._store = Lost()
    with pytest.raises(StoreUnavailable):
        await version.look()
    assert not version.is_fresh


async def test_size_limit_keeps_a_mailbox_s_own_limit(town: Kept) -> None:
    """Announced at RCPT, and real at the end of data; an alias has the limit of its mailbox."""
    await town.do(ChangeMailbox("team@acme.test", {"max_message_bytes": 1000}))
    settings = config("", ["size_limit"])
    directory = DirectoryService(StaticDirectory(settings.hosted, settings.server.hostname), town.store)
    await directory.start()
    found = load_plugins(settings, services(directory, NoDns()))
    walk = Walk(settings, found.runner, directory)
    try:
        transaction, _ = await walk.mail(size=1001)
        refused = await walk.rcpt(transaction, "info@acme.test")
        assert str(refused).startswith("552 5.3.4 the message is too big: 1001 octets announced, at most 1000 are")
        assert (await walk.rcpt(transaction, "anna@acme.test")).is_accept
        assert (await walk.rcpt((await walk.mail(size=1000))[0], "info@acme.test")).is_accept

        plan = (await walk.send(b"Subject: x\r\n\r\n" + b"x" * 1000, "info@acme.test", "anna@acme.test")).plan
        refused_step, delivered = steps(plan)
        assert isinstance(refused_step, Refuse)
        assert str(refused_step.reply).startswith(
            "552 5.3.4 the message is too big: 1014 octets, at most 1000 are taken"
        )
        assert isinstance(delivered, DeliverStep)
        assert str(delivered.to) == "anna@acme.test"
    finally:
        found.close()
