"""A mailbox's own smart host, and that nobody reads its password."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.directory.actor import Actor
from gateway.directory.actors import actor_of
from gateway.directory.cache import Version
from gateway.directory.errors import BadValue, NotAllowed, NotFound
from gateway.directory.members import AddMember, Rights
from gateway.directory.people import ChangePerson
from gateway.directory.relay import RelayAccount, RelayAccounts, SetRelay
from gateway.directory.tables import audit_entry, context, mailbox
from tests.core.directory.conftest import Kept

ACCOUNT = RelayAccount("smtp.relay.test:587", "acme", "canary-of-the-relay")


async def test_it_is_set_found_and_taken_back(town: Kept) -> None:
    assert await town.do(SetRelay("info@acme.test", ACCOUNT))
    (row,) = await town.rows(select(mailbox).where(mailbox.c.address == "team@acme.test"))
    version = Version(town.store)
    accounts = RelayAccounts(town.store, version)
    assert await accounts.find(row["id"]) == ACCOUNT
    assert not await town.do(SetRelay("team@acme.test", ACCOUNT))
    assert await town.do(SetRelay("team@acme.test", None))
    await version.look()
    assert await accounts.find(row["id"]) is None
    assert await accounts.find("nobody") is None


async def test_the_password_is_in_no_audit_entry_and_no_text(town: Kept) -> None:
    await town.do(SetRelay("team@acme.test", ACCOUNT))
    await town.do(SetRelay("team@acme.test", replace(ACCOUNT, password="canary-two")))
    await town.do(SetRelay("team@acme.test", None))
    entries = await town.rows(select(audit_entry).where(audit_entry.c.action == "mailbox.relay"))
    assert [json.loads(entry["after"]) for entry in entries] == [
        {"relay": "(secret)"},
        {"relay": "(secret)"},
        {"relay": ""},
    ]
    assert "canary" not in str(entries) + repr(ACCOUNT)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"address": "smtp.relay.test"}, "expected"),
        ({"address": "unix:/run/relay.sock"}, "expected"),
        ({"tls": "none"}, "in the clear"),
        ({"tls": "perhaps"}, "no TLS setting"),
        ({"user": " "}, "user is a name"),
        ({"user": "a\r\nb"}, "user is a name"),
        ({"password": ""}, "one line"),
        ({"password": "canary\r\nRSET"}, "one line"),
        ({"password": "canary" * 1000}, "one line"),
    ],
)
async def test_what_cannot_work_is_refused(town: Kept, values: dict[str, str], said: str) -> None:
    with pytest.raises(BadValue, match=said) as refused:
        await town.do(SetRelay("team@acme.test", replace(ACCOUNT, **values)))  # type: ignore[arg-type]
    assert "canary" not in str(refused.value)


async def test_on_this_machine_it_may_go_without_tls(town: Kept) -> None:
    assert await town.do(SetRelay("team@acme.test", replace(ACCOUNT, address="127.0.0.1:2587", tls="none")))


INTERNAL = [
    "127.0.0.1:587",
    "localhost:587",
    "LOCALHOST.:587",
    "db.localhost:587",
    "postgres:5432",
    "10.1.2.3:25",
    "192.168.1.1:25",
    "169.254.169.254:80",
    "100.64.0.1:25",
    "0.0.0.0:25",
    "127.1:25",
    "2130706433:25",
    "0x7f000001:25",
    "\uff11\uff12\uff17.0.0.1:25",
    "127\u30020\u30020\u30021:25",
    "[::1]:25",
    "[::ffff:127.0.0.1]:25",
    "[fd00::1]:25",
    "[fe80::1%eth0]:25",
    "224.0.0.1:25",
]


@pytest.mark.parametrize("address", INTERNAL)
@pytest.mark.parametrize("role", ["member", "context_admin"])
async def test_on_this_machine_or_in_a_private_network_only_those_who_answer_for_it_set_one(
    town: Kept, address: str, role: str
) -> None:
    await town.do(ChangePerson("bo@acme.test", {"role": role}))
    with pytest.raises(NotAllowed) as refused:
        await town.do(
            SetRelay("bo@acme.test", replace(ACCOUNT, address=address)), await actor_of(town.store, "bo@acme.test")
        )
    assert str(refused.value) == (
        f"bo@acme.test ({role}) may not set a relay on this machine or in a private network ({address}); operators "
        "and administrators of the organisation may"
    )


@pytest.mark.parametrize("address", ["smtp.relay.test:587", "8.8.8.8:587", "[2606:4700::1]:587", "10.relay.test:587"])
async def test_a_relay_elsewhere_is_set_by_whoever_owns_the_mailbox(town: Kept, address: str) -> None:
    bo, account = await actor_of(town.store, "bo@acme.test"), replace(ACCOUNT, address=address)
    assert await town.do(SetRelay("bo@acme.test", account), bo)


async def test_an_organisation_s_administrator_may_set_one_in_a_private_network(town: Kept) -> None:
    anna = await actor_of(town.store, "anna@acme.test")
    assert await town.do(SetRelay("bo@acme.test", replace(ACCOUNT, address="10.1.2.3:587")), anna)
    assert await town.do(SetRelay("bo@acme.test", None), await actor_of(town.store, "bo@acme.test"))


async def test_who_may_set_it(town: Kept) -> None:
    query = select(mailbox.c.owner_id, mailbox.c.context_id, context.c.organisation_id).join_from(mailbox, context)
    (row,) = await town.rows(query.where(mailbox.c.address == "bo@acme.test"))
    bo = Actor("bo", "member", row["owner_id"], row["organisation_id"], row["context_id"])
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)))
    with pytest.raises(NotAllowed):
        await town.do(SetRelay("team@acme.test", ACCOUNT), bo)
    with pytest.raises(NotFound):
        await town.do(SetRelay("cleo@other.test", ACCOUNT), bo)
    assert await town.do(SetRelay("bo@acme.test", ACCOUNT), bo)
