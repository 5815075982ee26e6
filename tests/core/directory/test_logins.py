"""What a person may do with an address."""

from __future__ import annotations

import pytest

from gateway.directory.cache import Version
from gateway.directory.domains import TrustDomain
from gateway.directory.logins import Logins
from gateway.directory.mailboxes import ChangeMailbox, EndMailbox, GiveMailbox
from gateway.directory.members import AddMember, EndMember, Rights
from gateway.directory.relay import RelayAccount, SetRelay
from gateway.mail.address import Address
from tests.core.directory.conftest import Kept


@pytest.fixture
async def shared(town: Kept) -> Kept:
    """bo may send as team@acme.test, anna on its behalf."""
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)))
    await town.do(AddMember("team@acme.test", "anna@acme.test", Rights(send_on_behalf=True)))
    return town


async def right(kept: Kept, person: str, address: str) -> str:
    logins = Logins(kept.store, Version(kept.store))
    login = await logins.find(person)
    assert login is not None
    found = await logins.address(login.identity.person_id, Address.parse(address))
    return "none" if found is None else found.right or "nothing"


@pytest.mark.parametrize(
    ("person", "address", "expected"),
    [
        ("anna@acme.test", "anna@acme.test", "own"),
        ("anna@acme.test", "ANNA@Acme.Test", "own"),
        ("anna@acme.test", "anna+lists@acme.test", "own"),
        ("anna@acme.test", "bo@acme.test", "nothing"),
        ("anna@acme.test", "cleo@other.test", "nothing"),
        ("anna@acme.test", "team@acme.test", "send_on_behalf"),
        ("anna@acme.test", "info@acme.test", "send_on_behalf"),
        ("bo@acme.test", "team@acme.test", "send_as"),
        ("bo@acme.test", "info@acme.test", "send_as"),
        ("cleo@other.test", "team@acme.test", "nothing"),
        ("bo@acme.test", "nobody@acme.test", "none"),
        ("bo@acme.test", "ceo@bank.test", "none"),
    ],
)
async def test_rights(shared: Kept, person: str, address: str, expected: str) -> None:
    assert await right(shared, person, address) == expected


async def test_an_ended_membership_gives_no_right(shared: Kept) -> None:
    await shared.do(EndMember("team@acme.test", "bo@acme.test"))
    assert await right(shared, "bo@acme.test", "team@acme.test") == "nothing"


async def test_the_owner_of_a_shared_mailbox_may_send_from_it(shared: Kept) -> None:
    await shared.do(GiveMailbox("team@acme.test", "bo@acme.test"))
    assert await right(shared, "bo@acme.test", "info@acme.test") == "own"


async def test_from_a_mailbox_that_has_ended_nobody_sends(shared: Kept) -> None:
    await shared.do(EndMailbox("bo@acme.test"))
    assert await right(shared, "bo@acme.test", "bo@acme.test") == "none"


async def test_settings_come_along_and_changes_are_seen(shared: Kept) -> None:
    version = Version(shared.store)
    logins = Logins(shared.store, version)
    login = await logins.find("bo@acme.test")
    assert login is not None
    team = Address.parse("info@acme.test")
    found = await logins.address(login.identity.person_id, team)
    assert found is not None
    assert (found.mailbox, found.display_name, found.is_personal) == ("team@acme.test", "Acme Sales", False)
    assert (found.may_send, found.has_relay) == (True, False)
    await shared.do(TrustDomain("acme.test", trusted=False))
    await shared.do(ChangeMailbox("team@acme.test", {"display_name": "Team"}))
    await shared.do(SetRelay("team@acme.test", RelayAccount("smtp.relay.test:587", "acme", "secret")))
    await version.look()
    found = await logins.address(login.identity.person_id, team)
    assert found is not None
    assert (found.display_name, found.may_send, found.has_relay) == ("Team", False, True)


async def test_no_hash_is_in_the_text_of_a_login(town: Kept) -> None:
    from gateway.directory.people import SetPassword

    await town.do(SetPassword("anna@acme.test", "$argon2id$secret"))
    login = await Logins(town.store, Version(town.store)).find("anna@acme.test")
    assert login is not None
    assert login.hashes == ("$argon2id$secret",)
    assert "secret" not in repr(login)
