"""A claim of acme's on customer.test in the small town, and a DNS server that plays resolver and the domain's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.testing.dns_server import DnsServer
from gateway.testing.dns_zone import Record
from gateway.testing.loop_thread import LoopThread
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.databases import MadeOnce

NAME = "customer.test"
CHALLENGE = f"_mailgw-challenge.{NAME}"
OTHERS: list[Record] = [
    ("mx1.gateway.test", "A", "192.0.2.25", 60),
    ("mx2.gateway.test", "A", "192.0.2.26", 60),
    ("mail.oldhost.test", "A", "198.51.100.25", 60),
]
APEX: list[Record] = [
    (NAME, "SOA", "ns1.host.test. root.host.test. 1 3600 600 604800 900", 900),
    (NAME, "NS", "ns1.host.test.", 3600),
    ("ns1.host.test", "A", "192.0.2.53", 3600),
]
OLD_MX: Record = (NAME, "MX", "5 mail.oldhost.test.", 1800)
MX: list[Record] = [(NAME, "MX", "10 mx1.gateway.test.", 300), (NAME, "MX", "20 mx2.gateway.test.", 300)]


@dataclass
class Customer:
    """What a test of the command line needs."""

    config: Path
    stellwerk: Stellwerk
    server: DnsServer
    token: str

    @property
    def key(self) -> Record:
        return (CHALLENGE, "TXT", f'"token={self.token} gateway=mx1.gateway.test expiry=never"', 300)

    def publish(self, *records: Record) -> None:
        self.server.replace_records([*OTHERS, *APEX, *records])


@contextmanager
def customer_of(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    *, domains: str = "",
) -> Iterator[Customer]:  # fmt: skip
    """`domains`: more settings of that table."""
    with LoopThread() as loop:
        server = DnsServer([*OTHERS, *APEX])
        loop.run(server.start())
        tables = (
            f'[domains]\nlabel = "mailgw"\ngateway = "mx1.gateway.test"\n{domains}\n'
            f'[dns]\nnameservers = ["{server.address}"]\ntreat_as_public = ["127.0.0.0/8"]\n'
            f'[dns.authorities]\n"{NAME}" = ["{server.address}"]\n'
        )
        config = make_town(tmp_path, made_once, tables=tables)
        hosts = '[server]\nmx_hosts = ["mx1.gateway.test", "mx2.gateway.test"]'
        config.write_text(config.read_text().replace("[server]", hosts, 1))
        stellwerk = caller(config, capsys, monkeypatch)
        stellwerk("domain", "add", NAME, "--organisation", "acme", "--contact", "eva@home.test")
        token = json.loads(stellwerk("domain", "token", NAME, "--json").output)["token"]
        yield Customer(config, stellwerk, server, token)
        loop.run(server.stop())


@pytest.fixture
def customer(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Customer]:
    with customer_of(tmp_path, made_once, capsys, monkeypatch) as made:
        yield made
