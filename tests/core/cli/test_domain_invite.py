"""`stellwerk domain invite`: a page from which a program, too, gets the required checks green, and a text mail."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import dns.message
import dns.name
import dns.query
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from gateway.testing.dns_zone import Record
from tests.core.cli.customer import APEX, CHALLENGE, MX, NAME, OLD_MX, OTHERS, Customer

pytestmark = pytest.mark.slow  # whole gateways or commands in processes of their own

OTHER_TEXT: Record = (NAME, "TXT", '"something else"', 300)
OLD_SPF: list[Record] = [
    (NAME, "TXT", '"v=spf1 ip4:192.0.2.1 -all"', 300),
    (NAME, "TXT", '"v=spf1 ip4:192.0.2.2 ~all"', 300),
]
DMARC: Record = (f"_dmarc.{NAME}", "TXT", f'"v=DMARC1; p=reject; rua=mailto:postmaster@{NAME}"', 300)


@dataclass
class Page(HTMLParser):
    """What a program finds on the page: rows, commands with their answers, all text, and what would be loaded."""

    rows: list[dict[str, str]] = field(default_factory=list)
    zones: set[str] = field(default_factory=set)
    questions: list[list[str]] = field(default_factory=list)
    text: str = ""
    language: str = ""
    tags: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    _reading: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.references |= {name for name in given if name in ("src", "href", "srcset", "action", "data", "background")}
        self.references |= {name for name in given if name.startswith("on")}
        if tag == "html":
            self.language = given["lang"]
        if "data-zone" in given:
            self.zones.add(given["data-zone"])
        if "data-action" in given:
            self.rows.append({name.removeprefix("data-"): value for name, value in given.items()})
        self._reading = given.get("class", "") if tag in ("code", "pre") else ""
        if self._reading == "command":
            self.questions.append([""])
        elif self._reading == "answer":
            self.questions[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._reading in ("command", "answer"):
            self.questions[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._reading = ""


def page_of(customer: Customer, *options: str) -> tuple[Page, str]:
    file = customer.config.parent / "page.html"
    ran = customer.stellwerk("domain", "invite", NAME, "--html", str(file), *options)
    assert (ran.status, ran.output, ran.errors) == (0, f"wrote {file}\n", "")
    source = file.read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    page.close()
    return page, source


class Panel:
    """A DNS provider's web panel: name, type, priority, value; it adds the zone, and the dot behind host names."""

    def __init__(self, zone: str, records: list[Record]) -> None:
        self.zone = zone
        self.records = records

    def enter(self, row: dict[str, str]) -> None:
        record = self._record(row)
        if record not in self.records:
            self.records.append(record)

    def remove(self, row: dict[str, str]) -> None:
        name, rdtype, value, _ = self._record({**row, "ttl": "0"})
        kept = [each for each in self.records if each[:2] != (name, rdtype) or _plain(each[2]) != _plain(value)]
        assert len(kept) == len(self.records) - 1
        self.records = kept

    def _record(self, row: dict[str, str]) -> Record:
        name = self.zone if row["name"] == "@" else f"{row['name']}.{self.zone}"
        value = row["value"]
        if row["type"] == "TXT":
            octets = [value[at : at + 255] for at in range(0, len(value), 255)]
            value = " ".join(f'"{piece}"' for piece in octets)
        else:
            value = f"{row['priority']} {value.removesuffix('.')}.".strip()
        return (name, row["type"], value, int(row["ttl"]))


def _plain(value: str) -> str:
    return value.replace('" "', "").strip('"')


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    "before",
    [[], [OLD_MX], [OTHER_TEXT, *OLD_SPF, OLD_MX, MX[1]], [(NAME, "MX", "0 .", 300)], [*MX, OLD_MX, OLD_SPF[0]]],
    ids=["nothing", "an old MX", "two SPF records", "null MX", "an MX beside ours"],
)
def test_a_program_that_enters_the_rows_gets_the_required_checks_green(
    customer: Customer, before: list[Record], language: str
) -> None:
    customer.publish(*before)
    page, _ = page_of(customer, "--language", language)
    assert page.language == language
    (zone,) = page.zones
    panel = Panel(zone, list(before))
    for row in page.rows:
        (panel.remove if row["action"] == "remove" else panel.enter)(row)
    customer.publish(*panel.records)
    ran = customer.stellwerk("domain", "check", NAME, "--json")
    assert ran.status == 0
    status = {each["check"]: (each["status"], each["reason"]) for each in json.loads(ran.output)["checks"]}
    assert (status["ownership"], status["mx"], status["spf"]) == (("pass", "ok"),) * 3
    assert status["dmarc"] == ("warn", "dmarc_none")
    assert set(panel.records) >= {record for record in before if record == OTHER_TEXT}
    again, _ = page_of(customer, "--language", language)
    assert [row["there"] for row in again.rows if row["required"] == "yes"] == ["yes"] * 3
    assert [row for row in again.rows if row["action"] == "remove" or row["required"] == "no"] == []


def test_the_commands_print_the_answers_that_stand_below_them(customer: Customer) -> None:
    customer.publish(OLD_MX, OLD_SPF[0])
    page, _ = page_of(customer)
    panel = Panel(NAME, [OLD_MX, OLD_SPF[0]])
    for row in page.rows:
        (panel.remove if row["action"] == "remove" else panel.enter)(row)
    customer.publish(*panel.records)
    commands = [command for command, _ in page.questions]
    assert commands == [
        f"dig +short @ns1.host.test TXT {CHALLENGE}",
        f"dig +short @ns1.host.test MX {NAME}",
        f"dig +short @ns1.host.test TXT {NAME}",
        f"dig +short @ns1.host.test TXT _dmarc.{NAME}",
    ]
    for command, answer in page.questions:
        rdtype, name = command.split()[3:]
        response = dns.query.udp(
            dns.message.make_query(name, rdtype), customer.server.host, port=customer.server.port, timeout=30
        )
        (found,) = response.answer
        assert sorted(record.to_text() for record in found) == sorted(answer.splitlines())


def test_the_page_loads_nothing_and_runs_nothing(customer: Customer) -> None:
    page, source = page_of(customer)
    assert page.references == set()
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert "url(" not in source
    assert "@import" not in source
    assert "@media print" in source


HOSTILE = "</code><script>alert(1)</script>&amp;\\\"' onload=x"


def test_hostile_text_of_dns_stays_text(customer: Customer) -> None:
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    customer.publish((CHALLENGE, "TXT", f'"{quoted}\\027[2J"', 300), (NAME, "TXT", f'"v=spf1 {quoted}"', 300), OLD_MX)
    page, source = page_of(customer)
    assert "script" not in page.tags
    assert "<script" not in source
    assert HOSTILE in page.text
    assert "\x1b" not in source
    assert page.references == set()


def test_a_name_server_that_is_called_like_a_command_is_not_in_one(customer: Customer) -> None:
    evil = r"a\;touch\032x.host.test."
    customer.server.replace_records([*OTHERS, (NAME, "NS", evil, 300)])
    page, _ = page_of(customer)
    assert page.questions[0][0] == f"dig +short TXT {CHALLENGE}"
    assert all("touch" not in command for command, _ in page.questions)


@pytest.mark.parametrize(
    ("records", "missing", "sentence"),
    [
        (MX, True, "What is still missing"),
        ([MX[0]], False, "the checks that are required passed. What is marked as to be entered"),
        (MX, False, "everything that is required was in place. Nothing is left to do"),
    ],
    ids=["key missing", "one MX missing", "complete"],
)
def test_the_page_says_how_far_it_is(customer: Customer, records: list[Record], missing: bool, sentence: str) -> None:
    customer.publish(*records, *([] if missing else [customer.key]))
    page, _ = page_of(customer)
    assert sentence in page.text
    assert ("What is still missing" in page.text) is missing
    assert page.text.count("We asked") == 3  # key, MX and SPF, once each


def test_a_stricter_policy_of_the_domain_is_left_alone(customer: Customer) -> None:
    customer.publish(DMARC)
    page, _ = page_of(customer)
    assert [row["name"] for row in page.rows] == ["_mailgw-challenge", "@", "@", "@"]


def test_a_resolver_in_trouble_asks_for_what_is_sure_only(customer: Customer) -> None:
    customer.server.replace_behaviour({"*/*": "REFUSED"})
    file = customer.config.parent / "page.html"
    ran = customer.stellwerk("domain", "invite", NAME, "--html", str(file), "--zone", NAME)
    assert ran.status == 0
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    assert {row["required"] for row in page.rows} == {"yes"}
    assert page.zones == {NAME}


def test_names_are_relative_to_the_zone_that_dns_tells(customer: Customer) -> None:
    below = f"mail.{NAME}"
    customer.server.replace_records([*OTHERS, *APEX, (below, "A", "192.0.2.99", 300)])
    customer.stellwerk("domain", "add", below, "--organisation", "acme", "--contact", "eva@home.test")
    ran = customer.stellwerk("domain", "invite", below, "--json")
    assert ran.status == 0
    told = json.loads(ran.output)
    assert (told["zone"], told["zone_known"]) == (NAME, True)
    assert [each["name"] for each in told["entries"]][:3] == ["_mailgw-challenge.mail", "mail", "mail"]


@pytest.mark.parametrize(
    ("language", "subject", "heading"),
    [
        ("en", f"DNS records for {NAME}", "WHAT IS STILL MISSING"),
        ("de", f"DNS-Einträge für {NAME}", "WAS NOCH FEHLT"),
    ],
)
def test_the_text_mail_says_it_all_on_lines_that_mail_can_carry(
    customer: Customer, language: str, subject: str, heading: str
) -> None:
    customer.publish(OLD_MX)
    ran = customer.stellwerk("domain", "invite", NAME, "--language", language)
    assert (ran.status, ran.errors) == (0, "")
    lines = ran.output.splitlines()
    assert lines[:2] == [subject, ""]
    assert heading in lines
    value = f"token={customer.token} gateway=mx1.gateway.test expiry=never"
    assert sum(line.endswith(f": {value}") for line in lines) == 1
    assert f'    "{value}"' in lines
    assert f"  dig +short @ns1.host.test MX {NAME}" in lines
    assert "mail.oldhost.test" in ran.output
    assert max(map(len, lines)) < 998  # RFC 5322 2.1.1
    assert "\n\n\n" not in ran.output
    assert "{" not in ran.output
    file = customer.config.parent / "mail.txt"
    ran = customer.stellwerk("domain", "invite", NAME, "--language", language, "--text", str(file))
    assert (ran.status, ran.output) == (0, f"wrote {file}\n")
    assert file.read_text(encoding="utf-8").splitlines()[0] == subject


REFUSALS = [
    (1, "domain invite nowhere.test", 'there is no domain "nowhere.test"'),
    (1, "domain invite acme.test", "has no token to publish; claim it"),
    (1, f"domain invite {NAME} --as cleo@other.test", f'there is no domain "{NAME}"'),
    (2, f"domain invite {NAME} --zone other.test", f"{NAME} is not in the zone other.test"),
    (2, f"domain invite {NAME} --language fr", "'fr' is not one of 'en', 'de'"),
    (1, f"domain invite {NAME} --html nowhere/at/all.html", "No such file or directory"),
]


@pytest.mark.parametrize(("status", "words", "text"), REFUSALS, ids=[words for _, words, _ in REFUSALS])
def test_what_cannot_be_written_is_said(customer: Customer, status: int, words: str, text: str) -> None:
    ran = customer.stellwerk(*words.split())
    assert (ran.status, ran.output) == (status, "")
    assert text in ran.errors
    assert "Traceback" not in ran.errors
