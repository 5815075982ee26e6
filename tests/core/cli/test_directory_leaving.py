"""Leaving, handing out and forgetting as commands; credentials by mail; and the address book as a file."""

from __future__ import annotations

import asyncio
import email
import email.policy
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.store.schema import job
from gateway.store.store import Store
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.core.cli.in_process import config_file
from tests.core.directory.conftest import make_town as fill
from tests.databases import MadeOnce

SETUP = """
[client_setup]
help = "the desk, 030 1"
[client_setup.imap]
server = "mail.acme.test"
[client_setup.smtp]
server = "mail.acme.test"
port = 587
security = "starttls"
"""


@pytest.fixture
def stellwerk(
    made_once: MadeOnce, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stellwerk:
    return caller(make_town(tmp_path, made_once, SETUP), capsys, monkeypatch)


def test_leaving_is_audited_until_everything_is_mended(stellwerk: Stellwerk) -> None:
    assert stellwerk("mailbox", "set", "team@acme.test", "--owner", "bo@acme.test").status == 0
    assert stellwerk("directory", "audit").status == 0
    left = stellwerk("user", "deactivate", "bo@acme.test", "--deputy", "anna@acme.test")
    assert left.output.endswith("what still names them: stellwerk directory audit --person bo@acme.test\n")
    found = stellwerk("directory", "audit", "--json")
    assert found.status == 1
    commands = [finding["command"] for finding in json.loads(found.output)]
    assert commands == [
        "stellwerk mailbox set bo@acme.test --owner anna@acme.test",
        "stellwerk mailbox set team@acme.test --owner anna@acme.test",
    ]
    for command in commands:
        assert stellwerk(*command.split()[1:]).status == 0
    assert stellwerk("directory", "audit", "--person", "bo@acme.test").status == 0


RULES = """
[client_setup]
sender = "bo@acme.test"
[[plugin.forwarding.rule]]
id = "to-bo"
when = { kind = "recipient", equals = "info@acme.test" }
then = { kind = "redirect", targets = [
    "anna@acme.test",
    "bo@acme.test",
] }
"""


def test_the_audit_names_the_line_of_every_setting_that_names_somebody_who_has_left(
    made_once: MadeOnce, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_once.put("town", f"sqlite:///{tmp_path}/test.db", fill)
    config = config_file(tmp_path, "forwarding", tables=RULES)
    stellwerk = caller(config, capsys, monkeypatch)
    for words in ("user deactivate bo@acme.test", "mailbox end bo@acme.test"):
        assert stellwerk(*words.split()).status == 0
    lines = config.read_text().splitlines()
    for narrowed in ((), ("--person", "bo@acme.test")):
        found = [
            row for row in json.loads(stellwerk("directory", "audit", "--json", *narrowed).output) if row["person"]
        ]
        places = [row["name"].rpartition(":") for row in found]
        assert [(file, lines[int(line) - 1]) for file, _, line in places] == [
            (str(config), 'sender = "bo@acme.test"'),
            (str(config), '    "bo@acme.test",'),
        ]
        assert [row["text"] for row in found] == [
            "[client_setup.sender] credentials are sent from bo@acme.test, who has left; take it out of that line",
            '[plugin.forwarding] rule "to-bo" sends mail to bo@acme.test, who has left; take it out of that line',
        ]
        line = places[1][2]
        assert found[1]["command"] == (
            f"${{EDITOR:-vi}} +{line} {config} && stellwerk config check --config {config} "
            "&& systemctl reload stellwerk"
        )
    (tmp_path / "state" / "secret").mkdir(parents=True)  # as good as one that may not be read; nothing is signed here
    others = stellwerk("directory", "audit", "--person", "anna@acme.test")
    assert (others.status, others.output) == (0, "")
    config.write_text(config.read_text().replace("bo@acme.test", "anna@acme.test"))
    assert stellwerk("directory", "audit", "--person", "bo@acme.test").status == 0


def test_a_person_is_handed_out_and_erased(stellwerk: Stellwerk, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads(stellwerk("person", "export", "bo@acme.test", "--as", "bo@acme.test").output)
    assert data["person"]["name"] == "Bo Dahl"
    ran = stellwerk("person", "erase", "bo@acme.test", "--yes")
    assert (ran.status, "is active; let them leave first" in ran.errors) == (1, True)
    for words in ("user deactivate bo@acme.test", "mailbox end bo@acme.test"):
        stellwerk(*words.split())
    tried = stellwerk("person", "erase", "bo@acme.test", "--dry-run")
    assert tried.output.startswith("would become erased-")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = stellwerk("person", "erase", "bo@acme.test")
    assert (refused.status, refused.errors.strip()) == (1, "Aborted!")
    assert "bo@acme.test" in stellwerk("user", "list").output
    done = stellwerk("person", "erase", "bo@acme.test", "--yes")
    assert done.output.startswith("erased: they are erased-")
    assert "bo@acme.test" not in stellwerk("directory", "log", "--json").output
    # Nobody knows any more whose the address was: a new person may have it, with nothing of that history.
    assert stellwerk("user", "add", "bo@acme.test", "--context", "plant", "--name", "Bo Other").status == 0
    anew = json.loads(stellwerk("person", "export", "bo@acme.test").output)
    assert (anew["person"]["name"], [entry["action"] for entry in anew["audit"]]) == ("Bo Other", ["person.add"])


def sent(tmp_path: Path) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        store = Store.open(f"sqlite:///{tmp_path}/test.db")
        [row] = await store.read(select(job))
        await asyncio.to_thread(store.close)
        return dict(row._mapping)

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            ["User name: bo@acme.test", "Read mail (IMAP): mail.acme.test, port 993, SSL/TLS",
             "Send mail (SMTP): mail.acme.test, port 587, STARTTLS", "Questions: the desk, 030 1"],
        ),
        (
            "de",
            ["Benutzername: bo@acme.test", "E-Mail lesen (IMAP): mail.acme.test, Port 993, SSL/TLS",
             "Passwort:     Sie erhalten es auf anderem Weg oder haben es schon."],
        ),
    ],
)  # fmt: skip
def test_settings_for_mail_programs_are_sent_in_the_persons_language(
    stellwerk: Stellwerk, tmp_path: Path, language: str, lines: list[str]
) -> None:
    stellwerk("user", "change", "bo@acme.test", "--language", language)
    ran = stellwerk("user", "send-credentials", "bo@acme.test", "--to", "bo@home.test")
    assert (ran.status, ran.errors) == (0, "")
    row = sent(tmp_path)
    assert (row["owner"], row["kind"], row["state"]) == ("core", "send_mail", "due")
    assert json.loads(row["payload"]) == {"sender": "", "recipients": ["bo@home.test"], "smtputf8": False}
    assert row["content"].isascii()
    message = email.message_from_bytes(row["content"], policy=email.policy.default)
    assert (message["From"], message["To"]) == ("postmaster@gw.example.test", "bo@home.test")
    assert message["Auto-Submitted"] == "auto-generated"
    assert "bo@acme.test" in message["Subject"]
    body = message.get_body()
    assert body is not None
    assert set(lines) <= set(body.get_content().splitlines())
    [entry] = json.loads(stellwerk("directory", "log", "--action", "person.credentials", "--json").output)
    assert (entry["name"], entry["after"]) == (
        "bo@acme.test",
        {"sent_to": "bo@home.test", "with_new_password": False},
    )


def test_a_password_is_sent_only_when_that_is_asked_for(stellwerk: Stellwerk, tmp_path: Path) -> None:
    from argon2 import PasswordHasher

    ran = stellwerk("user", "send-credentials", "bo@acme.test", "--to", "bo@home.test", "--with-new-password")
    assert ran.status == 0
    message = email.message_from_bytes(sent(tmp_path)["content"], policy=email.policy.default)
    body = message.get_body()
    assert body is not None
    shown = re.search(r"^Password: +(\S+)\r$", body.get_content(), re.MULTILINE)
    assert shown is not None
    assert shown[1] not in ran.output
    hashes = b"".join(file.read_bytes() for file in tmp_path.glob("test.db*"))
    stored = re.search(rb"\$argon2id\$v=19\$m=65536,t=3,p=1\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]{43}", hashes)
    assert stored is not None
    assert PasswordHasher().verify(stored[0].decode(), shown[1])


@pytest.mark.parametrize(
    ("language", "end", "lines", "not_there"),
    [
        ("en", False, ["more. App passwords, each for one program, stay valid: you have 1."], "whatever was valid"),
        ("de", False, ["für einzelne Programme gelten weiter: Sie haben 1."], "was vorher galt"),
        ("en", True, ["The password was made for you just now, and whatever was valid before is not"], "App pass"),
        ("de", True, ["Das Passwort wurde eben erzeugt; was vorher galt, gilt nicht mehr."], "App-Pass"),
    ],
)
def test_the_mail_says_what_is_valid_still(
    stellwerk: Stellwerk, tmp_path: Path, language: str, end: bool, lines: list[str], not_there: str
) -> None:
    stellwerk("user", "change", "bo@acme.test", "--language", language)
    stellwerk("user", "app-password", "add", "bo@acme.test", "phone")
    send = ("user", "send-credentials", "bo@acme.test", "--to", "bo@home.test", "--with-new-password")
    ran = stellwerk(*send, *(["--end-app-passwords"] if end else []))
    assert (ran.status, "1 app password stays valid" in ran.output) == (0, not end)
    body = email.message_from_bytes(sent(tmp_path)["content"], policy=email.policy.default).get_body()
    assert body is not None
    text = body.get_content().replace("\r", "")
    assert set(lines) <= set(text.splitlines())
    assert not_there not in text
    rows = json.loads(stellwerk("user", "app-password", "list", "bo@acme.test", "--json").output)
    assert [row["ended_at"] is not None for row in rows] == [end]


@pytest.mark.parametrize(
    ("form", "start"),
    [("vcf", "BEGIN:VCARD\r\nVERSION:4.0\r\n"), ("csv", "name,address,"), ("ldif", "version: 1\n\ndn: mail=")],
)
def test_an_address_book_is_exported(stellwerk: Stellwerk, tmp_path: Path, form: str, start: str) -> None:
    target = tmp_path / "book"
    ran = stellwerk("addressbook", "export", "--context", "acme/sales", "--format", form, "--to", str(target))
    assert (ran.status, ran.output) == (0, f"wrote 2 entries to {target}\n")
    text = target.read_bytes().decode()
    assert text.startswith(start)
    assert "anna@acme.test" in text
    assert "bo@acme.test" not in text
    assert stellwerk("addressbook", "export", "--context", "acme/sales", "--format", form).output == text
    as_json = json.loads(stellwerk("addressbook", "export", "--context", "acme/sales", "--json").output)
    assert [entry["name"] for entry in as_json] == ["Acme Sales", "Anna Berg"]
    refused = stellwerk("addressbook", "export", "--context", "acme/sales", "--as", "bo@acme.test")
    assert (refused.status, 'there is no context "sales"' in refused.errors) == (1, True)
