"""The commands for the directory's nouns: what they change and say, for whom, and what they refuse."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, update

from gateway.directory.tables import audit_entry
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.databases import MadeOnce


@pytest.fixture
def stellwerk(
    made_once: MadeOnce, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stellwerk:
    return caller(make_town(tmp_path, made_once), capsys, monkeypatch)


def listed(stellwerk: Stellwerk, *arguments: str) -> list[dict[str, object]]:
    ran = stellwerk(*arguments, "--json")
    assert (ran.status, ran.errors) == (0, "")
    rows: list[dict[str, object]] = json.loads(ran.output)
    return rows


CHANGES = [
    ("organisation add firm --title Firm", "organisation.add firm: title Firm"),
    ("organisation change acme --contact-name Eva", "organisation.change acme: contact_name - -> Eva"),
    ("organisation plan acme --aliases 5", "organisation.plan acme: plan_aliases - -> 5"),
    ("context add lab --organisation acme", "context.add acme/lab"),
    ("context change acme/plant --title Works", "context.change acme/plant: title - -> Works"),
    ("context show-to acme/sales plant", "context_visibility.add acme/plant sees sales"),
    (
        "context plugin acme/sales size_limit on",
        "context_plugin.add acme/sales size_limit: plugin size_limit, enabled 1",
    ),
    ("context fallback acme/sales team@acme.test", "context.fallback acme/sales: fallback_mailbox - -> team@acme.test"),
    ("domain add Firm.Test --organisation acme --contact e@home.test", "domain.add firm.test"),
    ("domain distrust acme.test", "domain.distrust acme.test: state trusted -> unverified"),
    ("user add eva@acme.test --context plant --name Eva", "person.add eva@acme.test"),
    ("user change bo@acme.test --phone 12", "person.change bo@acme.test: phone - -> 12"),
    ("user change bo@acme.test --context sales", "mailbox.move bo@acme.test: context acme/plant -> acme/sales"),
    ("user change bo@acme.test --deputy anna@acme.test", "person.deputy bo@acme.test: deputy - -> anna@acme.test"),
    ("user password bo@acme.test --generate", "person.password bo@acme.test"),
    ("user app-password add bo@acme.test phone", "app_password.add bo@acme.test phone"),
    ("user deactivate bo@acme.test", "person.deactivate bo@acme.test: state active -> inactive"),
    ("mailbox add eva@acme.test --context sales --owner anna@acme.test", "owner anna@acme.test"),
    (
        "mailbox set team@acme.test --receives off --vip on",
        "mailbox.change team@acme.test: receives 1 -> 0, vip 0 -> 1",
    ),
    ("mailbox set team@acme.test --limit unlimited", "nothing to change"),
    ("mailbox set team@acme.test --next-hop store", "mailbox.change team@acme.test: next_hop - -> store"),
    ("mailbox set team@acme.test --owner anna@acme.test", "mailbox.give team@acme.test: owner - -> anna@acme.test"),
    ("mailbox out-of-office set bo@acme.test --text Away", "out_of_office.add bo@acme.test: text Away"),
    ("mailbox intake team@acme.test on", "address.add team-"),
    ("mailbox end team@acme.test", "mailbox.end team@acme.test"),
    ("member add team@acme.test bo@acme.test --send-as", "membership.add team@acme.test bo@acme.test"),
    ("alias add post@acme.test team@acme.test", "mailbox team@acme.test, kind alias"),
    ("alias end info@acme.test", "address.end info@acme.test"),
]


@pytest.mark.parametrize(("words", "told"), CHANGES, ids=[words for words, _ in CHANGES])
def test_a_change_is_told_and_can_be_tried_first(stellwerk: Stellwerk, words: str, told: str) -> None:
    before = listed(stellwerk, "directory", "log", "--last", "1000")
    tried = stellwerk(*words.split(), "--dry-run")
    assert (tried.status, tried.errors) == (0, "")
    assert told in tried.output
    assert tried.output.endswith("nothing was changed (--dry-run)\n")
    assert listed(stellwerk, "directory", "log", "--last", "1000") == before
    done = stellwerk(*words.split())
    assert (done.status, done.errors) == (0, "")
    assert told in done.output
    if told != "nothing to change":
        assert len(listed(stellwerk, "directory", "log", "--last", "1000")) > len(before)


LISTINGS = [
    ("organisation list", "name", ["acme", "other"], ["acme"]),
    ("context list", "name", ["plant", "sales", "main"], ["plant"]),
    ("domain list", "name", ["acme.test", "other.test"], ["acme.test"]),
    ("user list", "address", ["anna@acme.test", "bo@acme.test", "cleo@other.test"], ["bo@acme.test"]),
    (
        "mailbox list",
        "address",
        ["anna@acme.test", "bo@acme.test", "cleo@other.test", "team@acme.test"],
        ["bo@acme.test"],
    ),
    ("alias list", "address", ["info@acme.test"], []),
    ("member list", "person", [], []),
    ("user app-password list bo@acme.test", "id", [], []),
]


@pytest.mark.parametrize(("words", "column", "all_", "bo"), LISTINGS, ids=[words for words, *_ in LISTINGS])
def test_a_listing_shows_what_whoever_asks_may_see(
    stellwerk: Stellwerk, words: str, column: str, all_: list[str], bo: list[str]
) -> None:
    assert [row[column] for row in listed(stellwerk, *words.split())] == all_
    assert [row[column] for row in listed(stellwerk, *words.split(), "--as", "bo@acme.test")] == bo
    plain = stellwerk(*words.split())
    assert (plain.status, len(plain.output.splitlines())) == (0, len(all_))


def test_another_contexts_people_are_seen_when_that_is_switched_on(stellwerk: Stellwerk) -> None:
    stellwerk("context", "show-to", "acme/sales", "plant")
    as_bo = ("--as", "bo@acme.test")
    assert [row["address"] for row in listed(stellwerk, "user", "list", *as_bo)] == ["anna@acme.test", "bo@acme.test"]
    stellwerk("context", "hide-from", "acme/sales", "plant")
    assert [row["address"] for row in listed(stellwerk, "user", "list", *as_bo)] == ["bo@acme.test"]


REFUSALS = [
    (1, "user show cleo@other.test --as anna@acme.test", 'there is no person "cleo@other.test"'),
    (1, "mailbox show team@acme.test --as bo@acme.test", 'there is no mailbox "team@acme.test"'),
    (1, "user show nobody@acme.test", 'there is no person "nobody@acme.test"; stellwerk user list shows all'),
    (1, "domain trust acme.test --as anna@acme.test", "anna@acme.test may not trust a domain; an operator"),
    (1, "organisation plan acme --aliases 9 --as anna@acme.test", "may not change an organisation's plan"),
    (1, "user change anna@acme.test --role operator --as anna@acme.test", "may not make somebody operator"),
    (1, "user deactivate anna@acme.test --as bo@acme.test", 'there is no person "anna@acme.test"'),
    (1, "user list --as nobody@acme.test", 'there is no person "nobody@acme.test"'),
    (1, "alias add bo@acme.test team@acme.test", "bo@acme.test is taken: it is the main address of a mailbox"),
    (1, "domain distrust nix.test", 'there is no domain "nix.test"; stellwerk domain list shows all'),
    (1, "domain trust nix.test", 'there is no domain "nix.test"; add it first: stellwerk domain add NAME'),
    (1, "context show-to main acme/sales --as zed@other.test", 'no context "acme/sales"; expected one of other'),
    (1, "context show-to other/main acme/sales", 'no context "acme/sales"; expected one of other'),
    (1, "context show-to acme/sales main --as zed@other.test", 'there is no organisation "acme"'),
    (1, "user add bo@acme.test --context plant", "an address is free again only once they have left and are erased"),
    (1, "directory log --as bo@acme.test", "bo@acme.test (member) may not read the audit"),
    (1, "directory audit --as bo@acme.test", "may not audit the directory"),
    (1, "user send-credentials bo@acme.test --to bo@home.test", "names no server in [client_setup.imap]"),
    (2, "organisation change acme", "name something to change; stellwerk organisation show NAME"),
    (2, "context change acme/plant", "Missing option '--title'"),
    (1, "context change acme/plant --title x --as bo@acme.test", "bo@acme.test (member) may not change a context"),
    (1, "context end acme/plant --as bo@acme.test", "bo@acme.test (member) may not end a context"),
    (1, "context end other/main --as anna@acme.test", 'there is no organisation "other"'),
    (1, "context show acme/plants", 'there is no context "plants"; did you mean "plant"?'),
    (1, "context show sales --as bo@acme.test", 'there is no context "sales"'),
    (1, "organisation show acmes", 'there is no organisation "acmes"; did you mean "acme"?'),
    (1, "organisation end acme --as anna@acme.test", "anna@acme.test may not end an organisation; an operator"),
    (1, "organisation end other --as anna@acme.test", 'there is no organisation "other"'),
    (1, "context end acme/plant", "acme/plant cannot end yet: 1 active person: bo@acme.test (stellwerk user"),
    (1, "organisation end acme", "acme cannot end yet: 2 contexts: plant, sales (stellwerk context end acme/NAME);"),
    (1, "organisation end acme", "; 1 domain: acme.test (stellwerk domain list --organisation acme); 2 active people:"),
    (2, "user add eva@acme.test", "acme has several contexts; say which with --context: plant, sales"),
    (2, "context add lab", "there are several organisations; say which with --organisation: acme, other"),
    (2, "user add no-address --context acme/sales", '"no-address" is no mail address'),
    (2, "mailbox set team@acme.test", "name a setting to change"),
    (2, "mailbox set team@acme.test --next-hop nowhere", "there is no [next_hop.nowhere]; the configuration has: mail"),
    (2, "organisation plan acme --aliases few", '"few" is no limit; expected a whole number or "unlimited"'),
    (2, "member list --at yesterday", '"yesterday" is no date; expected for example 2026-12-24'),
    (2, "mailbox out-of-office set bo@acme.test --text x --from 2027-01-02 --to 2027-01-01", "end before it begins"),
    (2, "user password bo@acme.test", "there is no terminal to ask on; say --generate or --stdin"),
]  # fmt: skip

NO_PERSON = 'there is no person "{}"; stellwerk user list shows all'
NO_MAILBOX = 'there is no mailbox "{}"; stellwerk mailbox list shows all'
NO_ORGANISATION = 'there is no organisation "{}"; stellwerk organisation list shows all'
ASKED_ABOUT = [
    ("directory audit --person {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("member list --person {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("member list --all --person {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("member list --at 2026-03-01 --person {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("mailbox list --owner {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("mailbox list --ended --owner {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("user app-password list {}", NO_PERSON, "typo@acme.test", "cleo@other.test"),
    ("member list {}", NO_MAILBOX, "typo@acme.test", "cleo@other.test"),
    ("member list {} --all", NO_MAILBOX, "typo@acme.test", "cleo@other.test"),
    ("alias list --mailbox {}", NO_MAILBOX, "typo@acme.test", "cleo@other.test"),
    ("context list --organisation {}", NO_ORGANISATION, "nix", "other"),
    ("domain list --organisation {}", NO_ORGANISATION, "nix", "other"),
    ("user list --organisation {}", NO_ORGANISATION, "nix", "other"),
]


@pytest.mark.parametrize(("words", "text", "unknown", "hidden"), ASKED_ABOUT, ids=[words for words, *_ in ASKED_ABOUT])
def test_a_name_that_is_not_there_is_an_error_and_so_is_one_that_may_not_be_seen(
    stellwerk: Stellwerk, words: str, text: str, unknown: str, hidden: str
) -> None:
    for name, who in ((unknown, ()), (hidden, ("--as", "anna@acme.test"))):
        ran = stellwerk(*words.format(name).split(), *who)
        assert (ran.status, ran.output, ran.errors) == (1, "", f"{text.format(name)}\n")
    assert stellwerk(*words.format(hidden).split()).errors == ""


def test_who_has_left_and_what_has_ended_can_still_be_asked_about(stellwerk: Stellwerk) -> None:
    for words in (
        "member add team@acme.test bo@acme.test",
        "user deactivate bo@acme.test",
        "mailbox end bo@acme.test",
        "mailbox end team@acme.test",
    ):
        assert stellwerk(*words.split()).status == 0
    for words, column, found in (
        ("member list team@acme.test", "person", []),
        ("member list team@acme.test --all", "person", ["bo@acme.test"]),
        ("member list --person bo@acme.test", "person", []),
        ("member list --person bo@acme.test --all", "mailbox", ["team@acme.test"]),
        ("mailbox list --owner bo@acme.test", "address", []),
        ("mailbox list --owner bo@acme.test --ended", "address", ["bo@acme.test"]),
        ("alias list --mailbox team@acme.test", "address", []),
        ("directory audit --person bo@acme.test", "name", []),
    ):
        assert (words, [row[column] for row in listed(stellwerk, *words.split())]) == (words, found)


def test_a_colleague_of_another_context_is_known_by_the_mailbox_that_is_shared(stellwerk: Stellwerk) -> None:
    stellwerk("user", "add", "eva@acme.test", "--context", "acme/sales")
    asked = ("member", "list", "--person", "eva@acme.test", "--as", "bo@acme.test")
    stellwerk("member", "add", "team@acme.test", "bo@acme.test")
    assert stellwerk(*asked).status == 1
    stellwerk("member", "add", "team@acme.test", "eva@acme.test")
    assert [row["mailbox"] for row in listed(stellwerk, *asked)] == ["team@acme.test"]
    stellwerk("member", "end", "team@acme.test", "eva@acme.test")
    assert listed(stellwerk, *asked) == []


def test_a_context_and_an_organisation_are_shown(stellwerk: Stellwerk) -> None:
    for words in ("context show-to acme/sales plant", "context plugin acme/sales size_limit off"):
        stellwerk(*words.split())
    shown = json.loads(stellwerk("context", "show", "sales", "--organisation", "acme", "--json").output)
    kept = ("organisation", "name", "people", "mailboxes", "sees", "seen_by", "plugins", "ended_at")
    assert [shown[name] for name in kept] == ["acme", "sales", 1, 2, [], ["plant"], {"size_limit": False}, None]
    shown = json.loads(stellwerk("organisation", "show", "acme", "--json").output)
    there = ("title", "contexts", "domains", "people", "mailboxes", "plan_aliases", "ended_at")
    assert [shown[name] for name in there] == ["Acme Ltd", ["plant", "sales"], ["acme.test"], 2, 3, None, None]
    assert "contexts\tplant\ncontexts\tsales\n" in stellwerk("organisation", "show", "acme").output


def test_a_context_and_an_organisation_end_once_they_are_empty_and_stay_answerable(stellwerk: Stellwerk) -> None:
    for words in (
        "organisation add firm",
        "context add lab --organisation firm",
        "context plugin firm/lab size_limit off",
    ):
        assert stellwerk(*words.split()).status == 0
    tried = stellwerk("context", "end", "firm/lab", "--dry-run")
    assert tried.output == (
        "would: context_plugin.end firm/lab size_limit: plugin size_limit, enabled 0\n"
        "would: context.end firm/lab\nnothing was changed (--dry-run)\n"
    )
    assert stellwerk("organisation", "end", "firm").errors == (
        "firm cannot end yet: 1 context: lab (stellwerk context end firm/NAME)\n"
    )
    for words in ("context end firm/lab", "organisation end firm"):
        assert stellwerk(*words.split()).status == 0
    assert [row["name"] for row in listed(stellwerk, "organisation", "list")] == ["acme", "other"]
    [firm] = [row for row in listed(stellwerk, "organisation", "list", "--ended") if row["name"] == "firm"]
    [lab] = listed(stellwerk, "context", "list", "--organisation", "firm", "--ended")
    assert listed(stellwerk, "context", "list", "--organisation", "firm") == []
    assert firm["ended_at"] is not None
    assert lab["ended_at"] is not None
    assert json.loads(stellwerk("context", "show", "firm/lab", "--json").output)["ended_at"] == lab["ended_at"]
    assert json.loads(stellwerk("organisation", "show", "firm", "--json").output)["contexts"] == []
    log = listed(stellwerk, "directory", "log", "--organisation", "firm")
    assert {row["action"] for row in log} >= {"organisation.end", "context.end", "context_plugin.end"}
    for words, text in (
        ("organisation end firm", "the organisation firm has ended; stellwerk organisation show firm says when"),
        ("organisation change firm --title x", "the organisation firm has ended"),
        ("context add lab --organisation firm", "the organisation firm has ended"),
        ("organisation add firm", 'there was an organisation "firm", which has ended'),
    ):
        ran = stellwerk(*words.split())
        assert (words, ran.status, text in ran.errors) == (words, 1, True)


PLUGINS = [
    ("context plugin acme/sales size_limits on", 'there is no plugin "size_limits"; did you mean "size_limit"?'),
    ("context plugin acme/sales nosuch on", 'there is no plugin "nosuch"; stellwerk plugins shows all'),
    ("context plugin acme/sales nosuch default", 'there is no plugin "nosuch"; stellwerk plugins shows all'),
]


@pytest.mark.parametrize(("words", "text"), PLUGINS, ids=[words for words, _ in PLUGINS])
def test_a_plugin_that_is_not_there_cannot_be_switched(stellwerk: Stellwerk, words: str, text: str) -> None:
    ran = stellwerk(*words.split())
    assert (ran.status, ran.output, text in ran.errors) == (1, "", True)
    assert [row["plugins"] for row in listed(stellwerk, "context", "list", "--organisation", "acme")] == [{}, {}]


@pytest.mark.parametrize(("status", "words", "text"), REFUSALS, ids=[words for _, words, _ in REFUSALS])
def test_what_is_refused_and_how(stellwerk: Stellwerk, status: int, words: str, text: str) -> None:
    if "zed@" in words:
        stellwerk("user", "add", "zed@other.test", "--role", "organisation_admin")
    ran = stellwerk(*words.split())
    assert (ran.status, ran.output) == (status, "")
    assert text in ran.errors
    assert "--organisation says" not in ran.errors
    assert "Traceback" not in ran.errors


def test_the_audit_names_the_person_and_who_sat_at_the_command_line(stellwerk: Stellwerk) -> None:
    stellwerk("user", "change", "bo@acme.test", "--phone", "7", "--as", "bo@acme.test")
    [entry] = listed(stellwerk, "directory", "log", "--last", "1")
    assert str(entry["actor"]).startswith("bo@acme.test (through ")
    assert (entry["action"], entry["name"], entry["organisation"]) == ("person.change", "bo@acme.test", "acme")
    assert (entry["before"], entry["after"]) == ({"phone": ""}, {"phone": "7"})


def test_the_log_can_be_searched(stellwerk: Stellwerk) -> None:
    search = ("directory", "log", "--action", "person", "--name", "bo@", "--organisation", "acme")
    assert [row["name"] for row in listed(stellwerk, *search)] == ["bo@acme.test"]
    assert listed(stellwerk, *search, "--until", "2020-01-01") == []
    assert listed(stellwerk, *search, "--actor", "somebody else") == []
    as_anna = listed(stellwerk, "directory", "log", "--as", "anna@acme.test")
    assert {row["organisation"] for row in as_anna} == {"acme"}


def test_a_made_password_is_shown_once_and_stored_hashed(stellwerk: Stellwerk, tmp_path: Path) -> None:
    ran = stellwerk("user", "password", "bo@acme.test", "--generate")
    shown = ran.output.splitlines()[-1].removeprefix("password (shown only now): ")
    assert len(shown.replace("-", "")) == 20
    assert set(shown) <= set("abcdefghijkmnpqrstuvwxyz23456789-")
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("test.db*"))
    assert shown.encode() not in stored
    assert b"$argon2id$v=19$m=65536," in stored
    assert listed(stellwerk, "user", "list", "--context", "acme/plant")[0]["has_password"] is True


@pytest.mark.parametrize(
    ("typed", "status", "text"),
    [("correct horse battery\n", 0, ""), ("short\n", 2, "the password has 5 characters; expected 12 to 200")],
)
def test_a_password_from_standard_input(
    stellwerk: Stellwerk, monkeypatch: pytest.MonkeyPatch, typed: str, status: int, text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ran = stellwerk("user", "password", "bo@acme.test", "--stdin")
    assert (ran.status, text in ran.errors) == (status, True)
    assert "correct horse" not in ran.output + ran.errors


def test_in_json_a_made_password_stands_where_it_is_read(stellwerk: Stellwerk) -> None:
    ran = stellwerk("user", "password", "bo@acme.test", "--generate", "--json")
    told = json.loads(ran.output)
    assert (ran.errors, [entry["action"] for entry in told["changes"]], told["app_passwords"]) == (
        "",
        ["person.password"],
        0,
    )
    assert len(told["password"].replace("-", "")) == 20
    assert told["password"] not in stellwerk("directory", "log", "--json").output
    added = json.loads(stellwerk("user", "app-password", "add", "bo@acme.test", "phone", "--json").output)
    assert len(added["password"].replace("-", "")) == 20
    tried = json.loads(stellwerk("user", "password", "bo@acme.test", "--generate", "--json", "--dry-run").output)
    assert (tried["app_passwords"], "password" in tried) == (1, False)


def test_app_passwords_that_a_new_password_leaves_valid_are_told_and_ended(stellwerk: Stellwerk) -> None:
    def valid() -> list[object]:
        rows = listed(stellwerk, "user", "app-password", "list", "bo@acme.test")
        return [row["label"] for row in rows if row["ended_at"] is None]

    end = "stellwerk user app-password end bo@acme.test --all"
    new = ("user", "password", "bo@acme.test", "--generate")
    for label, told in (("phone", f"1 app password stays valid; to end it: {end}"), ("lap top", f"2 app passwords stay valid; to end them: {end}")):  # noqa: E501  # fmt: skip
        stellwerk("user", "app-password", "add", "bo@acme.test", label)
        assert told in stellwerk(*new).output.splitlines()
    tried = stellwerk(*new, "--end-app-passwords", "--dry-run")
    assert ("would: app_password.end bo@acme.test lap top" in tried.output, len(valid())) == (True, 2)
    assert "stay valid" not in stellwerk(*new, "--end-app-passwords").output
    assert valid() == []
    ended = listed(stellwerk, "directory", "log", "--action", "app_password.end")
    assert {row["name"] for row in ended} == {"bo@acme.test phone", "bo@acme.test lap top"}
    stellwerk("user", "app-password", "add", "bo@acme.test", "phone")
    assert "person.sessions bo@acme.test" in stellwerk(*end.split()[1:]).output
    assert (valid(), stellwerk(*end.split()[1:]).output) == ([], "nothing to change\n")


def test_ids_are_told_by_the_names_that_people_know(stellwerk: Stellwerk, tmp_path: Path) -> None:
    stellwerk("mailbox", "set", "team@acme.test", "--owner", "anna@acme.test")
    changed = json.loads(stellwerk("mailbox", "set", "team@acme.test", "--owner", "bo@acme.test", "--json").output)
    [entry] = json.loads(stellwerk("directory", "log", "--last", "1", "--json").output)
    anna, bo = entry["before"]["owner_id"], entry["after"]["owner_id"]
    for each in (changed[0], entry):
        assert each["names"] == {anna: "anna@acme.test", bo: "bo@acme.test"}
    stellwerk("mailbox", "end", "team@acme.test")
    stellwerk("user", "add", "eva@acme.test", "--context", "acme/plant", "--mailbox")
    shown = stellwerk("directory", "log", "--last", "1000").output
    assert "owner anna@acme.test\towner bo@acme.test" in shown
    assert "mailbox team@acme.test, kind main" in shown
    ids = {value for row in listed(stellwerk, "directory", "log") for value in row["names"]}  # type: ignore[attr-defined]
    assert {anna, bo} <= ids
    assert not [identity for identity in ids if identity in shown]
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    with engine.begin() as connection:
        connection.execute(update(audit_entry).values(after=func.replace(audit_entry.c.after, bo, "1m8mgone")))
    engine.dispose()
    assert "owner anna@acme.test\towner (gone) 1m8mgone" in stellwerk("directory", "log", "--last", "1000").output


def test_what_belongs_to_a_noun_is_shown_a_line_each(stellwerk: Stellwerk) -> None:
    stellwerk("member", "add", "team@acme.test", "bo@acme.test", "--send-as")
    stellwerk("member", "add", "team@acme.test", "anna@acme.test")
    lines = stellwerk("mailbox", "show", "team@acme.test").output.splitlines()
    assert [line for line in lines if line.startswith("addresses\t")] == [
        "addresses\tinfo@acme.test, kind alias",
        "addresses\tteam@acme.test, kind main",
    ]
    members = [line for line in lines if line.startswith("members\t")]
    assert [line.partition(",")[0] for line in members] == ["members\tbo@acme.test", "members\tanna@acme.test"]
    assert [line.rpartition(", ")[2] for line in members] == ["rights read+send_as", "rights read"]
    bo = stellwerk("user", "show", "bo@acme.test").output.splitlines()
    assert "mailboxes\tbo@acme.test" in bo
    assert [line.partition(",")[0] for line in bo if line.startswith("memberships")] == ["memberships\tteam@acme.test"]


def test_app_passwords_are_listed_and_ended(stellwerk: Stellwerk) -> None:
    stellwerk("user", "app-password", "add", "bo@acme.test", "phone")
    [row] = listed(stellwerk, "user", "app-password", "list", "bo@acme.test")
    assert stellwerk("user", "app-password", "end", "bo@acme.test", str(row["id"])).status == 0
    [row] = listed(stellwerk, "user", "app-password", "list", "bo@acme.test", "--as", "bo@acme.test")
    assert row["ended_at"] is not None


def test_one_noun_is_shown_with_what_belongs_to_it(stellwerk: Stellwerk) -> None:
    stellwerk("member", "add", "team@acme.test", "bo@acme.test", "--manage")
    stellwerk("mailbox", "out-of-office", "set", "team@acme.test", "--text", "Away", "--from", "2026-12-24T08:00+00:00")
    box = json.loads(stellwerk("mailbox", "show", "info@acme.test", "--json").output)
    assert box["address"] == "team@acme.test"
    assert [(row["address"], row["kind"]) for row in box["addresses"]] == [
        ("info@acme.test", "alias"),
        ("team@acme.test", "main"),
    ]
    assert [(row["person"], row["rights"]) for row in box["members"]] == [("bo@acme.test", ["read", "manage"])]
    assert box["out_of_office"] == {"subject": "", "text": "Away", "begins": 1_798_099_200.0, "ends": None}
    bo = json.loads(stellwerk("user", "show", "bo@acme.test", "--json", "--as", "bo@acme.test").output)
    assert (bo["mailboxes"], [row["mailbox"] for row in bo["memberships"]]) == (["bo@acme.test"], ["team@acme.test"])
    plan = stellwerk("organisation", "plan", "acme").output.splitlines()
    assert plan[0] == "plan own mailboxes\tunlimited"


def test_without_a_database_it_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.core.cli.in_process import config_file

    ran = caller(config_file(tmp_path), capsys, monkeypatch)("user", "list")
    assert (ran.status, ran.output, ran.errors.count("\n")) == (1, "", 1)
    assert "stellwerk db upgrade" in ran.errors
