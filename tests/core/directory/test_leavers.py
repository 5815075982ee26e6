"""Whoever has left gets no mail, however deputies, members and fallbacks are arranged."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.members import AddMember, Rights
from gateway.directory.organisations import AddContext, AddOrganisation, SetFallback
from gateway.directory.people import AddPerson
from gateway.directory.tables import person
from gateway.mail.address import Address
from gateway.mail.envelope import Recipient
from gateway.routing.plan import DeliverStep
from gateway.store.store import Store, Write
from gateway.store.upgrade import CORE, upgrade
from tests.core.directory.conftest import Kept
from tests.core.directory.test_service import walk_with

NAMES = ("a", "b", "c", "d")
WHO = st.sampled_from(NAMES)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    left=st.sets(WHO, min_size=1),
    deputies=st.dictionaries(WHO, WHO, max_size=4),
    members=st.sets(st.tuples(WHO, WHO), max_size=6),
    fallback=st.sampled_from(("", "team", *NAMES)),
)
def test_no_copy_ends_with_somebody_who_has_left(
    left: set[str], deputies: dict[str, str], members: set[tuple[str, str]], fallback: str
) -> None:
    ends = asyncio.run(_ends(left, deputies, members, fallback))
    assert set(ends) == set(NAMES)
    for name, found in ends.items():
        assert not found & {f"{gone}@acme.test" for gone in left}
        if name not in left:
            assert found == {f"{name}@acme.test"}


async def _ends(
    left: set[str], deputies: dict[str, str], members: set[tuple[str, str]], fallback: str
) -> dict[str, set[str]]:
    """Where mail for each of the people ends: addresses, or nothing where it is refused."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory)}/store.db"
        upgrade(url, [CORE])
        kept = Kept(Store.open(url), url)
        try:
            await _arrange(kept, members, fallback)
            await kept.store.write([Write(_leave, (left, deputies))])
            walk = await walk_with(kept)
            found: dict[str, set[str]] = {}
            for name in NAMES:
                transaction, _ = await walk.mail()
                transaction.accept(Recipient(Address(name, "acme.test")))  # as if RCPT had come before they left
                plan = (await walk.data(transaction)).plan
                assert plan is not None
                steps = [planned.step for recipient in plan.recipients for planned in recipient.steps]
                found[name] = {str(step.to) for step in steps if isinstance(step, DeliverStep)}
            return found
        finally:
            await asyncio.to_thread(kept.store.close)


async def _arrange(kept: Kept, members: set[tuple[str, str]], fallback: str) -> None:
    commands: list[Any] = [
        AddOrganisation("acme"),
        AddContext("acme", "main"),
        TrustDomain("acme.test", organisation="acme"),
        AddMailbox("team@acme.test", "acme", "main", "shared"),
    ]
    for name in NAMES:
        address = f"{name}@acme.test"
        commands += [AddPerson(address, "acme", "main"), AddMailbox(address, "acme", "main", owner=address)]
    commands += [AddMember(f"{box}@acme.test", f"{who}@acme.test", Rights()) for box, who in sorted(members)]
    if fallback:
        commands.append(SetFallback("acme", "main", f"{fallback}@acme.test"))
    for command in commands:
        await kept.do(command)


def _leave(connection: Any, payloads: Any, /) -> list[None]:
    for left, deputies in payloads:
        ids = {row.address[0]: row.id for row in connection.execute(person.select())}
        for name in NAMES:
            values: dict[str, Any] = {"deputy_id": ids.get(deputies.get(name, ""))}
            if name in left:
                values["state"] = "inactive"
            connection.execute(update(person).where(person.c.id == ids[name]).values(**values))
    return [None] * len(payloads)
