"""`stellwerk domain publish` against a real knot: what is shown, what is in the zone afterwards, what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from gateway.testing.loop_thread import LoopThread
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.core.cli.running import Ran
from tests.databases import MadeOnce
from tests.integration.knot.instance import ZONE, Knot, knot

pytestmark = pytest.mark.server("knot")

SETTINGS = '[domains]\nlabel = "mailgw"\ngateway = "mx1.gateway.test"\n'
CHALLENGE = f"_mailgw-challenge.{ZONE}"
OWN = f'@ MX 5 mx.old.test.\n@ TXT "site=1"\n@ TXT "v=spf1 mx -all"\n{CHALLENGE}. TXT "another=1"\n'


@dataclass
class Here:
    """The command line, and the owner's server."""

    stellwerk: Stellwerk
    loop: LoopThread
    server: Knot

    def publish(self, *arguments: str, key: str = "owner", secret: str = "", domain: str = ZONE) -> Ran:
        file = self.server.key_file(key, secret)
        where = ("--server", self.server.address, "--key", str(file))
        return self.stellwerk("domain", "publish", domain, *where, *arguments)

    def texts(self, name: str, rdtype: str) -> list[str]:
        return self.loop.run(self.server.texts(name, rdtype))

    def token(self) -> str:
        return str(json.loads(self.stellwerk("domain", "token", ZONE, "--json").output)["token"])

    @property
    def proof(self) -> str:
        return f'"token={self.token()} gateway=mx1.gateway.test expiry=never"'

    def audit(self) -> list[dict[str, object]]:
        rows = json.loads(self.stellwerk("directory", "log", "--action", "domain.publish", "--json").output)
        return [row["after"] for row in rows]


@contextmanager
def running(directory: Path, records: str) -> Iterator[tuple[LoopThread, Knot]]:
    with LoopThread() as loop:
        server = knot(directory, {ZONE: records})
        served = loop.run(server.__aenter__())
        try:
            yield loop, served
        finally:
            loop.run(server.__aexit__(None, None, None))


@pytest.fixture
def zone() -> str:
    """What the owner's zone has besides SOA and NS; a test may say otherwise."""
    return OWN


@pytest.fixture
def here(
    tmp_path: Path,
    made_once: MadeOnce,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
) -> Iterator[Here]:
    config = make_town(tmp_path, made_once, tables=SETTINGS)
    config.write_text(config.read_text().replace("[server]", '[server]\nmx_hosts = ["mx1.gateway.test"]', 1))
    stellwerk = caller(config, capsys, monkeypatch)
    for name in (ZONE, f"mail.{ZONE}"):
        assert stellwerk("domain", "add", name, "--organisation", "acme", "--contact", "eva@home.test").status == 0
    directory = tmp_path / "knot"
    directory.mkdir()
    with running(directory, zone) as (loop, server):
        yield Here(stellwerk, loop, server)


def test_the_difference_is_shown_and_then_published(here: Here) -> None:
    ran = here.publish("--yes")
    assert (ran.status, ran.errors) == (0, "")
    assert ran.output.splitlines() == [
        f"zone {ZONE} at {here.server.address}, with the key owner:",
        f"+ {CHALLENGE}. 300 IN TXT {here.proof}",
        f"+ {ZONE}. 300 IN MX 10 mx1.gateway.test.",
        "    mail goes to these too, until they go (--only-our-mx): 5 mx.old.test.",
        f'- {ZONE}. IN TXT "v=spf1 mx -all"',
        f'+ {ZONE}. 300 IN TXT "v=spf1 mx a:mx1.gateway.test -all"',
        f'+ _dmarc.{ZONE}. 300 IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@{ZONE}"',
        f"published; have it looked at: stellwerk domain look {ZONE}",
    ]
    assert here.texts(CHALLENGE, "TXT") == sorted(['"another=1"', here.proof])
    assert here.texts(ZONE, "MX") == ["10 mx1.gateway.test.", "5 mx.old.test."]
    assert here.texts(ZONE, "TXT") == ['"site=1"', '"v=spf1 mx a:mx1.gateway.test -all"']
    assert here.audit() == [
        {
            "server": here.server.address,
            "key": "owner",
            "records": [f"{CHALLENGE} TXT", f"{ZONE} MX", f"{ZONE} TXT", f"_dmarc.{ZONE} TXT"],
        }
    ]
    again = here.publish("--yes")
    assert (again.status, again.output.splitlines()[-1]) == (0, "nothing to publish")
    assert len(here.audit()) == 1


def test_a_trial_changes_nothing(here: Here) -> None:
    before = here.texts(ZONE, "SOA")
    ran = here.publish("--dry-run")
    assert (ran.status, ran.errors) == (0, ""), ran
    assert ran.output.endswith("\nnothing was changed (--dry-run)\n")
    assert here.texts(ZONE, "SOA") == before
    assert here.audit() == []


def test_without_yes_nothing_is_sent(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def no(question: str, *, abort: bool) -> bool:
        asked.append(question)
        raise click.Abort

    monkeypatch.setattr(click, "confirm", no)
    before = here.texts(ZONE, "SOA")
    assert here.publish().status == 1
    assert asked == ["publish this?"]
    assert here.texts(ZONE, "SOA") == before


def test_for_programs(here: Here) -> None:
    ran = here.publish("--json", "--yes", "--only-our-mx")
    told = json.loads(ran.output)
    assert {name: told[name] for name in ("zone", "server", "key", "published")} == {
        "zone": ZONE, "server": here.server.address, "key": "owner", "published": True,
    }  # fmt: skip
    assert [(row["type"], row["step"], row["removes"]) for row in told["records"]] == [
        ("TXT", "add", []),
        ("MX", "replace", ["5 mx.old.test."]),
        ("TXT", "replace", ['"v=spf1 mx -all"']),
        ("TXT", "add", []),
    ]
    assert here.texts(ZONE, "MX") == ["10 mx1.gateway.test."]


def test_only_what_is_required(here: Here) -> None:
    assert here.publish("--yes", "--required").status == 0
    assert here.texts(ZONE, "TXT") == ['"site=1"', '"v=spf1 mx -all"']
    assert here.texts(f"_dmarc.{ZONE}", "TXT") == []
    assert here.texts(ZONE, "MX") == ["10 mx1.gateway.test.", "5 mx.old.test."]


def test_a_name_in_a_zone_above_finds_its_zone(here: Here) -> None:
    ran = here.publish("--yes", domain=f"mail.{ZONE}")
    assert (ran.status, ran.output.splitlines()[0]) == (0, f"zone {ZONE} at {here.server.address}, with the key owner:")
    assert here.texts(f"mail.{ZONE}", "MX") == ["10 mx1.gateway.test."]


def test_a_key_that_may_change_one_name_says_what_was_done(here: Here) -> None:
    ran = here.publish("--yes", key="narrow")
    assert ran.status == 1
    assert ran.errors == (
        f"published before that: {CHALLENGE} TXT\n"
        f"{here.server.address}: BADKEY for {ZONE} MX: it has let the key read, but not change {ZONE} MX: "
        "allow narrow (hmac-sha256) to update this name and type; nothing of it was changed\n"
    )
    assert here.texts(CHALLENGE, "TXT") == sorted(['"another=1"', here.proof])
    assert [row["records"] for row in here.audit()] == [[f"{CHALLENGE} TXT"]]


MEANWHILE = {
    "NXRRSET": f'update delete {ZONE}. TXT "v=spf1 mx -all"\nupdate add {ZONE}. 300 TXT "v=spf1 a -all"\n',
    "YXRRSET": f'update add _dmarc.{ZONE}. 300 TXT "v=DMARC1; p=reject"\n',
}


@pytest.mark.server("knsupdate")
@pytest.mark.parametrize(("code", "name"), [("NXRRSET", ZONE), ("YXRRSET", f"_dmarc.{ZONE}")])
def test_what_somebody_else_changes_meanwhile_stays(
    here: Here, monkeypatch: pytest.MonkeyPatch, code: str, name: str
) -> None:
    after: list[list[str]] = []

    def yes(question: str, *, abort: bool) -> bool:
        script = f"zone {ZONE}.\n{MEANWHILE[code]}send\n"
        assert here.loop.run(here.server.script(script)) == (0, "")
        after.append(here.texts(name, "TXT"))
        return True

    monkeypatch.setattr(click, "confirm", yes)
    ran = here.publish()
    assert ran.status == 1
    assert f"{code} for {name} TXT: somebody has changed {name} TXT since it was read" in ran.errors
    assert after == [here.texts(name, "TXT")]
    assert ran.errors.startswith(f"published before that: {CHALLENGE} TXT")


@pytest.mark.parametrize(
    ("key", "secret", "expected"),
    [
        ("stranger", "", "BADKEY for customer.test: it does not know the key stranger (hmac-sha256)"),
        ("nobody", "c2VjcmV0", "BADKEY for customer.test: it does not know the key nobody (hmac-sha256)"),
        ("owner", "c2VjcmV0", "BADSIG for customer.test: it knows a key owner (hmac-sha256) with another secret"),
    ],
)
def test_a_wrong_key_ends_it_before_anything_is_sent(here: Here, key: str, secret: str, expected: str) -> None:
    ran = here.publish("--yes", key=key, secret=secret)
    assert (ran.status, ran.output) == (1, "")
    assert expected in ran.errors
    assert "c2VjcmV0" not in ran.errors
    assert here.texts(CHALLENGE, "TXT") == ['"another=1"']


def test_clocks_apart_are_told(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() - 4000)
    ran = here.publish("--yes")
    assert ran.status == 1
    assert "BADTIME for customer.test: its clock and the one here are " in ran.errors
    assert any(f" {seconds} s apart" in ran.errors for seconds in range(3990, 4061))


def test_a_zone_of_another_server_is_not_taken_for_an_empty_one(here: Here) -> None:
    assert here.stellwerk("domain", "add", "other-zone.test", "--organisation", "acme", "--contact", "eva@home.test")
    ran = here.publish("--yes", domain="other-zone.test")
    assert ran.status == 1
    assert "other-zone.test" in ran.errors
    assert ran.errors.rstrip().endswith("nothing of it was changed")


def test_the_rule_for_knot_that_the_docs_print_is_enough(here: Here) -> None:
    ran = here.publish("--yes", key="careful")
    assert (ran.status, ran.errors) == (0, "")
    assert here.texts(ZONE, "TXT") == ['"site=1"', '"v=spf1 mx a:mx1.gateway.test -all"']
    assert len(here.texts(f"_dmarc.{ZONE}", "TXT")) == 1
    refused = f"zone {ZONE}.\nupdate add www.{ZONE}. 300 TXT x\nsend\n"
    assert here.loop.run(here.server.script(refused, "careful"))[0] != 0


@pytest.mark.server("knsupdate")
def test_the_printed_script_does_the_same(here: Here) -> None:
    ran = here.stellwerk("domain", "records", ZONE, "--format", "nsupdate", "--spf", "v=spf1 mx -all")
    assert here.loop.run(here.server.script(ran.output)) == (0, "")
    published = here.publish("--yes")
    assert (published.status, published.output.splitlines()[-1]) == (0, "nothing to publish")
    assert here.texts(ZONE, "MX") == ["10 mx1.gateway.test.", "5 mx.old.test."]


@pytest.mark.parametrize("zone", ["@ MX 0 .\n"])
def test_a_domain_that_takes_no_mail_is_not_made_to(here: Here) -> None:
    ran = here.publish("--yes")
    assert ran.status == 1
    assert "nothing was published, because a required record cannot be" in ran.errors
    assert here.texts(CHALLENGE, "TXT") == []
    assert here.publish("--yes", "--only-our-mx").status == 0
    assert here.texts(ZONE, "MX") == ["10 mx1.gateway.test."]


@pytest.mark.parametrize("zone", ['* TXT "any"\n'])
def test_a_wildcards_answer_is_not_in_the_way(here: Here) -> None:
    assert here.publish("--yes").status == 0
    assert here.texts(CHALLENGE, "TXT") == [here.proof]
