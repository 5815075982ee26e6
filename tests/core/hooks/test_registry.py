"""What a plugin may declare, and under which names."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from gateway.hooks.registry import Registry


async def healthy() -> str | None:
    return None


def table(name: str) -> Table:
    return Table(name, MetaData(), Column("id", Integer, primary_key=True))


def test_what_was_declared_is_kept() -> None:
    registry = Registry("crm")
    contacts = table("crm_contacts")
    registry.tag("known", "the sender is a contact")
    registry.job("sync", "tell the CRM")
    registry.table(contacts)
    registry.migrations("stellwerk_plugins.crm.migrations")
    registry.check("reachable", healthy)
    registry.note("contacts are read once an hour")
    declared = registry.declared
    assert declared.notes == ["contacts are read once an hour"]
    assert declared.tags == {"known": "the sender is a contact"}
    assert declared.job_kinds == {"sync": "tell the CRM"}
    assert declared.tables == {"crm_contacts": contacts}
    assert declared.migrations == "stellwerk_plugins.crm.migrations"
    assert declared.checks == {"reachable": healthy}


@pytest.mark.parametrize("name", ["", "Known", "1st", "a-b", "a.b", "a b", "_a", "a\n", "ä"])
def test_malformed_names(name: str) -> None:
    registry = Registry("crm")
    with pytest.raises(ValueError, match="lower-case letters"):
        registry.tag(name, "")
    with pytest.raises(ValueError, match="lower-case letters"):
        registry.job(name, "")
    with pytest.raises(ValueError, match="lower-case letters"):
        registry.check(name, healthy)


def test_a_name_is_declared_once() -> None:
    registry = Registry("crm")
    registry.tag("known", "")
    registry.job("known", "another kind of name")
    with pytest.raises(ValueError, match="'known' is declared twice"):
        registry.tag("known", "")


@pytest.mark.parametrize("name", ["contacts", "crm", "crmcontacts", "other_contacts", "journal_entry"])
def test_a_table_carries_its_plugins_name(name: str) -> None:
    with pytest.raises(ValueError, match="begin with crm_"):
        Registry("crm").table(table(name))
