"""Address books: who is in them, and the three formats down to their escaping."""

from __future__ import annotations

import base64
import csv
import io

import pytest

from gateway.directory.actors import actor_of
from gateway.directory.addressbook import Entry, entries
from gateway.directory.addressbook_formats import comma_separated, folded, ldif, vcard
from gateway.directory.errors import NotFound
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.organisations import ShowPeopleTo
from gateway.directory.people import ChangePerson
from gateway.directory.places import context_meant
from tests.core.directory.conftest import OPERATOR, Kept


async def names_in(town: Kept, context: str, who: str = "") -> list[str]:
    actor = await actor_of(town.store, who) if who else OPERATOR
    place = await context_meant(town.store, OPERATOR, context)
    return [entry.name for entry in await entries(town.store, actor, place)]


async def test_two_contexts_of_one_domain_see_each_other_only_where_that_is_switched_on(town: Kept) -> None:
    assert await names_in(town, "acme/sales") == ["Acme Sales", "Anna Berg"]
    assert await names_in(town, "acme/plant") == ["Bo Dahl"]
    await town.do(ShowPeopleTo("acme", "plant", "sales"))
    assert await names_in(town, "acme/plant") == ["Acme Sales", "Anna Berg", "Bo Dahl"]
    assert await names_in(town, "acme/sales") == ["Acme Sales", "Anna Berg"]
    await town.do(DeactivatePerson("bo@acme.test"))
    assert await names_in(town, "acme/plant") == ["Acme Sales", "Anna Berg"]


async def test_who_may_export_one(town: Kept) -> None:
    assert await names_in(town, "acme/plant", "bo@acme.test") == ["Bo Dahl"]
    assert await names_in(town, "acme/plant", "anna@acme.test") == ["Bo Dahl"]
    for context, who in (("acme/sales", "bo@acme.test"), ("acme/sales", "cleo@other.test")):
        with pytest.raises(NotFound):
            await names_in(town, context, who)


async def test_what_an_entry_holds(town: Kept) -> None:
    await town.do(ChangePerson("bo@acme.test", {"phone": "+49 30 1", "extension": "12"}))
    [bo] = await entries(town.store, OPERATOR, await context_meant(town.store, OPERATOR, "acme/plant"))
    assert bo.to_json() | {"id": ""} == {
        "id": "", "kind": "person", "name": "Bo Dahl", "addresses": ["bo@acme.test"], "phone": "+49 30 1",
        "extension": "12", "organisation": "Acme Ltd", "context": "plant",
    }  # fmt: skip


def entry(name: str, phone: str = "", *addresses: str) -> Entry:
    return Entry("1", "person", name, addresses or ("bo@acme.test",), phone, "12", "Acme, Ltd; Co", "plant")


def test_a_card_is_escaped() -> None:
    assert vcard([entry("Dahl; Bo, \\ Jr.", "+49 30 1", "bo@acme.test", "b2@acme.test")]) == (
        "BEGIN:VCARD\r\n"
        "VERSION:4.0\r\n"
        "UID;VALUE=text:1\r\n"
        "KIND:individual\r\n"
        "FN:Dahl\\; Bo\\, \\\\ Jr.\r\n"
        "EMAIL;PREF=1:bo@acme.test\r\n"
        "EMAIL;PREF=2:b2@acme.test\r\n"
        "TEL;VALUE=text;TYPE=work:+49 30 1\r\n"
        "TEL;VALUE=text;TYPE=x-extension:12\r\n"
        "ORG:Acme\\, Ltd\\; Co;plant\r\n"
        "END:VCARD\r\n"
    )


@pytest.mark.parametrize(
    "line", ["", "x" * 75, "x" * 76, "FN:" + "ü" * 200, "FN:" + "😀" * 60, "a" * 74 + "ß" + "b" * 300]
)
def test_a_folded_line_is_at_most_75_octets_and_cuts_no_character(line: str) -> None:
    pieces = folded(line).split("\r\n")
    assert all(len(piece.encode()) <= 75 for piece in pieces)
    assert pieces[0] + "".join(piece[1:] for piece in pieces[1:]) == line
    assert all(piece.startswith(" ") for piece in pieces[1:])


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", 'Bo "B" Dahl', "a,b"])
def test_no_cell_of_a_csv_is_a_formula(name: str) -> None:
    [header, row] = csv.reader(io.StringIO(comma_separated([entry(name, "+49")]), newline=""))
    assert header[0] == "name"
    assert row[0] in {name, f"'{name}"}
    assert not row[0].startswith(("=", "+", "-", "@"))
    assert row[3] == "'+49"


@pytest.mark.parametrize(
    ("name", "coded"),
    [
        ("Bo Dahl", False),
        ("Jürgen", True),
        (" Bo", True),
        (":Bo", True),
        ("<Bo", True),
        ("Bo ", True),
        ("Bo: x<y", False),
    ],
)
def test_ldif_codes_what_it_must(name: str, coded: bool) -> None:
    text = ldif([entry(name)])
    expected = f"cn:: {base64.b64encode(name.encode()).decode()}" if coded else f"cn: {name}"
    assert expected in text.splitlines()


def test_an_ldif_record() -> None:
    lines = ldif([entry("Bo Dahl", "+49 30 1")]).split("\n")
    assert lines[:4] == ["version: 1", "", "dn: mail=bo@acme.test,ou=plant,o=Acme\\, Ltd\\; Co", "objectClass: top"]
    assert {"sn: Dahl", "mail: bo@acme.test", "telephoneNumber: +49 30 1", "o: Acme, Ltd; Co"} <= set(lines)


def test_long_ldif_lines_are_folded() -> None:
    text = ldif([entry("x" * 200)])
    assert max(map(len, text.split("\n"))) <= 75
    assert "cn: " + "x" * 200 in text.replace("\n ", "")
