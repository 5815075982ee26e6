"""Who may log in at the gateway of the dialogues."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from gateway.directory.actor import command_line
from gateway.directory.change import Command, carry_out
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.passwords import hash_password
from gateway.directory.people import AddPerson, SetPassword
from gateway.store.store import Store
from gateway.store.upgrade import CORE, upgrade

PASSWORD = "sesame"


def commands() -> list[Command[Any]]:
    """anna, bo and cleo of acme.test with the password "sesame"; dora has none. new.test is not trusted."""
    known = hash_password(PASSWORD)
    found: list[Command[Any]] = [
        AddOrganisation("acme"),
        AddContext("acme", "main"),
        TrustDomain("acme.test", organisation="acme"),
        TrustDomain("new.test", organisation="acme"),
    ]
    for name in ("anna", "bo", "cleo", "dora"):
        address = f"{name}@acme.test"
        found += [AddPerson(address, "acme", "main"), AddMailbox(address, "acme", "main", owner=address)]
        if name != "dora":
            found.append(SetPassword(address, known))
    found.append(AddMailbox("anna@new.test", "acme", "main", owner="anna@acme.test"))
    return [*found, TrustDomain("new.test", trusted=False)]


async def fill(database: Path) -> None:
    """Make the gateway's database before it starts."""
    database.parent.mkdir(mode=0o700, parents=True)
    url = f"sqlite:///{database}"
    await asyncio.to_thread(upgrade, url, [CORE])
    store = Store.open(url)
    try:
        for command in commands():
            await carry_out(store, command_line("tests"), command, time.time)
    finally:
        await asyncio.to_thread(store.close)
