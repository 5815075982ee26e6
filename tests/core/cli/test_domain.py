"""`stellwerk domain`: what an administrator types for a claim, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.testing.dns_server import DnsServer
from gateway.testing.dns_zone import Record
from gateway.testing.loop_thread import LoopThread
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.databases import MadeOnce

SETTINGS = '[domains]\nlabel = "mailgw"\ngateway = "mx1.gateway.test"\n'
CLAIM = ("domain", "add", "customer.test", "--organisation", "acme", "--contact", "eva@home.test")


@pytest.fixture
def stellwerk(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stellwerk:
    config = make_town(tmp_path, made_once, tables=SETTINGS)
    text = config.read_text()
    config.write_text(text.replace("[server]", '[server]\nmx_hosts = ["mx1.gateway.test"]', 1))
    return caller(config, capsys, monkeypatch)


def test_a_claim_says_where_to_go_on(stellwerk: Stellwerk) -> None:
    ran = stellwerk(*CLAIM)
    assert (ran.status, ran.errors) == (0, "")
    lines = ran.output.splitlines()
    assert lines[0].startswith("domain.add customer.test: state pending, scope exact, contacts eva@home.test")
    assert lines[1].startswith("domain.token customer.test: serial 1, token ")
    assert lines[2] == "what to enter in DNS: stellwerk domain records customer.test"


def test_list_and_show_tell_the_state(stellwerk: Stellwerk) -> None:
    stellwerk(*CLAIM)
    rows = json.loads(stellwerk("domain", "list", "--json").output)
    assert [(row["name"], row["state"], row["addresses"]) for row in rows if row["organisation"] == "acme"] == [
        ("acme.test", "trusted", 4),
        ("customer.test", "pending", 0),
    ]
    shown = json.loads(stellwerk("domain", "show", "customer.test", "--json").output)
    assert shown["mail"] == "550 5.7.1 relaying denied"
    assert (shown["contacts"], shown["ownership"]["status"]) == (["eva@home.test"], "not looked at")
    assert stellwerk("domain", "show", "customer.test").status == 0


@pytest.mark.parametrize("as_format", ["table", "zone", "panel", "nsupdate", "json"])
def test_records_in_every_format_hold_the_token(stellwerk: Stellwerk, as_format: str) -> None:
    stellwerk(*CLAIM)
    token = json.loads(stellwerk("domain", "token", "customer.test", "--json").output)["token"]
    ran = stellwerk("domain", "records", "customer.test", "--format", as_format, "--spf", "v=spf1 mx -all")
    assert (ran.status, ran.errors) == (0, "")
    assert f"token={token} gateway=mx1.gateway.test" in ran.output
    assert "v=spf1 mx a:mx1.gateway.test -all" in ran.output
    if as_format == "json":
        assert [row["panel_name"] for row in json.loads(ran.output)["records"]] == [
            "_mailgw-challenge", "@", "@", "_dmarc",
        ]  # fmt: skip


def test_a_name_in_a_zone_above_is_written_for_that_zone(stellwerk: Stellwerk) -> None:
    stellwerk("domain", "add", "mail.customer.test", "--organisation", "acme", "--contact", "eva@home.test")
    ran = stellwerk("domain", "records", "mail.customer.test", "--format", "panel", "--zone", "customer.test")
    assert [line.split("\t")[0] for line in ran.output.splitlines()] == [
        "_mailgw-challenge.mail", "mail", "mail", "_dmarc.mail",
    ]  # fmt: skip


def test_a_new_token_has_the_next_serial(stellwerk: Stellwerk) -> None:
    stellwerk(*CLAIM)
    assert stellwerk("domain", "token", "customer.test", "--new").output.startswith(
        "domain.token customer.test: serial 2, token "
    )


REFUSALS = [
    (
        2,
        "domain add customer.test --organisation acme",
        "needs a contact outside of it, who is told of trouble: --contact",
    ),
    (2, "domain add co.uk --organisation acme --contact eva@home.test", "is a public suffix"),
    (2, "domain add mx1.gateway.test --organisation acme --contact eva@home.test", "the gateway's own"),
    (1, "domain add acme.test --organisation acme --contact eva@home.test", "belongs to acme already, it is trusted"),
    (1, "domain add x.test --organisation acme --contact e@home.test --as bo@acme.test", "may not add a domain"),
    (1, "domain records nowhere.test", 'there is no domain "nowhere.test"'),
    (1, "domain records acme.test", "has no token to publish; claim it: stellwerk domain add acme.test"),
    (1, "domain show other.test --as anna@acme.test", 'there is no domain "other.test"'),
    (1, "domain approve acme.test", "waits for nobody"),
    (1, "domain suspend acme.test", "acme.test is trusted; only a domain in service is suspended"),
    (1, "domain trust other.test --organisation acme", "belongs to other (it is trusted); take it from them first"),
]


@pytest.mark.parametrize(("status", "words", "text"), REFUSALS, ids=[words for _, words, _ in REFUSALS])
def test_what_is_refused_says_what_to_do(stellwerk: Stellwerk, status: int, words: str, text: str) -> None:
    ran = stellwerk(*words.split())
    assert (ran.status, ran.output) == (status, "")
    assert text in ran.errors
    assert "Traceback" not in ran.errors


ZONE: list[Record] = [
    ("customer.test", "TXT", '"something else"', 300),
    ("customer.test", "TXT", '"v=spf1 ip4:192.0.2.1 " "-all"', 300),
    ("mx1.gateway.test", "A", "192.0.2.25", 300),
    ("mail.gateway.test", "TXT", '"no address"', 300),
]
SERVED = '[client_setup.smtp]\nserver = "mail.gateway.test"\n'


def test_dns_is_asked_for_the_spf_record_there_is_and_for_every_host(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopThread() as loop:
        server = DnsServer(ZONE)
        loop.run(server.start())
        config = make_town(tmp_path, made_once, f'{SETTINGS}{SERVED}[dns]\nnameservers = ["{server.address}"]\n')
        config.write_text(config.read_text().replace("[server]", '[server]\nmx_hosts = ["mx1.gateway.test"]', 1))
        stellwerk = caller(config, capsys, monkeypatch)
        stellwerk(*CLAIM)
        ran = stellwerk("domain", "records", "customer.test", "--format", "nsupdate", "--resolve")
        loop.run(server.stop())
    assert ran.status == 0
    assert 'update delete customer.test. IN TXT "v=spf1 ip4:192.0.2.1 -all"' in ran.output
    assert 'update add customer.test. 300 IN TXT "v=spf1 ip4:192.0.2.1 a:mx1.gateway.test -all"' in ran.output
    assert ran.errors == (
        "mail.gateway.test has no address in DNS that can be seen: put one there before anybody points at it\n"
    )
