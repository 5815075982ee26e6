"""What names people who have left outside of the directory's own tables: settings of the configuration, and jobs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select

from gateway.directory.actor import Actor
from gateway.directory.findings import Finding, stellwerk
from gateway.directory.people import INACTIVE
from gateway.directory.tables import address, mailbox, person
from gateway.directory.visibility import administered_context
from gateway.mail.address import Address, AddressError
from gateway.store.schema import job
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.hooks.named import Setting

JOBS_AT_ONCE = 500
_LIKE_AN_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:\\]+@[^\s<>()\[\]\"',;:\\]+")


async def settings(store: Store, actor: Actor, named: Iterable[Setting]) -> list[Finding]:
    """Settings that name an address of somebody who has left, each with the line to change."""
    leavers = await _addresses_of_leavers(store, actor)
    found = []
    for setting in named:
        whose = leavers.get(_key(setting.address))
        if whose is not None:
            name = f"{setting.file}:{setting.line}" if setting.line else f"[{setting.key}]"
            text = f"[{setting.key}] {setting.what} {_told(setting.address.key, whose)}; take it out of that line"
            found.append(Finding("setting", name, whose, text, _edited(setting)))
    return found


async def jobs(store: Store, actor: Actor) -> list[Finding]:
    """Jobs of the outbox, open or dead, whose key or payload has an address of somebody who has left."""
    leavers = await _addresses_of_leavers(store, actor)
    found: list[Finding] = []
    if not leavers:
        return found
    columns = job.c.id, job.c.owner, job.c.kind, job.c.key, job.c.payload, job.c.state
    query = select(*columns).where(job.c.state != "done").order_by(job.c.id).limit(JOBS_AT_ONCE)
    rows = await store.read(query)
    while rows:
        for row in rows:
            named = {key: leavers[key] for key in _addresses_of_job(row) if key in leavers}
            for whose in dict.fromkeys(named.values()):
                theirs = ", ".join(key for key, each in named.items() if each == whose)
                dead = "is dead" if row.state == "dead" else "waits"
                text = f"the job {row.owner}.{row.kind} {dead} and names {_told(theirs, whose)}"
                found.append(Finding("job", row.id, whose, text, stellwerk("jobs", "drop", row.id)))
        rows = await store.read(query.where(job.c.id > rows[-1].id))
    return found


async def _addresses_of_leavers(store: Store, actor: Actor) -> Mapping[str, str]:
    """Addresses of people who have left, and of the personal mailboxes they own, by normal form: whose they are.

    An address that leads to somebody else's mailbox by now is theirs, whoever had it before.
    """
    gone = and_(person.c.state == INACTIVE, administered_context(actor, person.c.context_id))
    theirs = and_(gone, mailbox.c.kind == "personal")
    logins = select(person.c.address.label("key"), person.c.address.label("person")).where(gone)
    ended = select(mailbox.c.address.label("key"), person.c.address.label("person")).join_from(
        mailbox, person, person.c.id == mailbox.c.owner_id
    )
    live = (
        select(address.c.key, person.c.address.label("person"))
        .join_from(address, mailbox, mailbox.c.id == address.c.mailbox_id)
        .join(person, person.c.id == mailbox.c.owner_id)
    )
    found = {
        row.key: row.person
        for query in (logins, ended.where(theirs, mailbox.c.ended_at.is_not(None)))
        for row in await store.read(query)
    }
    keys = sorted(found)
    for first in range(0, len(keys), JOBS_AT_ONCE):
        for row in await store.read(select(address.c.key).where(address.c.key.in_(keys[first : first + JOBS_AT_ONCE]))):
            del found[row.key]
    return found | {row.key: row.person for row in await store.read(live.where(theirs))}


def _addresses_of_job(row: Any) -> Iterator[str]:
    """The normal forms of all that looks like an address in a job's key and payload, without subaddresses."""
    for text in (row.key or "", *_texts(json.loads(row.payload))):
        for piece in _LIKE_AN_ADDRESS.findall(text):
            try:
                yield _key(Address.parse(piece))
            except AddressError:
                continue


def _key(named: Address) -> str:
    """Its normal form, without a subaddress."""
    return Address(named.local.partition("+")[0] or named.local, named.domain).key


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _told(named: str, whose: str) -> str:
    return f"{named}, who has left" if named == whose else f"{named}, an address of {whose}, who has left"


def _edited(setting: Setting) -> str:
    """What an administrator types: the line in an editor, then what checks it and takes it over."""
    if not setting.file:
        return stellwerk("config", "check")
    file = shlex.quote(setting.file)
    line = f"+{setting.line} " if setting.line else ""
    return f"${{EDITOR:-vi}} {line}{file} && stellwerk config check --config {file} && systemctl reload stellwerk"
