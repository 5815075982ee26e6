"""Changes to the directory of a gateway that runs: by the same commands, from another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.directory.actor import command_line
from gateway.directory.change import Command, carry_out
from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddMailbox
from gateway.directory.organisations import AddContext, AddOrganisation
from gateway.directory.people import AddPerson
from gateway.store.store import Store

DOMAIN = "acme.test"


def town(*people: str) -> list[Command[Any]]:
    """Organisation acme with acme.test, and there these people (local parts) with a mailbox each; and team, shared."""
    commands: list[Command[Any]] = [
        AddOrganisation("acme"),
        AddContext("acme", "main"),
        TrustDomain(DOMAIN, organisation="acme"),
        AddMailbox(f"team@{DOMAIN}", "acme", "main", "shared"),
    ]
    for name in people:
        commands += person(name)
    return commands


def person(name: str) -> list[Command[Any]]:
    """Somebody new in acme.test, with a mailbox."""
    address = f"{name}@{DOMAIN}"
    return [AddPerson(address, "acme", "main", name.title()), AddMailbox(address, "acme", "main", owner=address)]


async def change(url: str, commands: Sequence[Command[Any]]) -> list[Any]:
    """Carry out the commands one after the other on the store at `url`; what each returns."""
    store = Store.open(url)
    try:
        return [(await carry_out(store, command_line("tests"), command, time.time)).result for command in commands]
    finally:
        await asyncio.to_thread(store.close)


def sqlite_url(directory: Path) -> str:
    """The store of a gateway that keeps its state in `directory/state`."""
    return f"sqlite:///{directory}/state/stellwerk.db"
