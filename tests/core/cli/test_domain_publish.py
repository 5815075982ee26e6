"""`stellwerk domain publish` without a name server, or with one that breaks off: what it wants, whom it refuses."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from gateway.testing.loop_thread import LoopThread
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.core.domains.test_update_server import KEY, SOA, answer, serving
from tests.databases import MadeOnce

SERVER = ("--server", "127.0.0.1:1")
CLAIM = ("domain", "add", "customer.test", "--organisation", "acme", "--contact", "eva@home.test")
PUBLISH = ("domain", "publish", "customer.test")
NOBODY_THERE = "127.0.0.1:1 does not answer over TCP: Connection refused; is it the right address?\n"


@pytest.fixture
def stellwerk(
    tmp_path: Path, made_once: MadeOnce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stellwerk:
    config = make_town(tmp_path, made_once)
    config.write_text(config.read_text().replace("[server]", '[server]\nmx_hosts = ["mx1.gateway.test"]', 1))
    call = caller(config, capsys, monkeypatch)
    assert call(*CLAIM).status == 0
    return call


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "owner.key"
    file.write_text("hmac-sha256:owner:c2VjcmV0\n")
    file.chmod(0o600)
    return file


def test_a_server_that_is_not_there_is_told(stellwerk: Stellwerk, key: Path) -> None:
    ran = stellwerk(*PUBLISH, *SERVER, "--key", str(key), "--yes")
    assert (ran.status, ran.output, ran.errors) == (1, "", NOBODY_THERE)


def test_who_may_not_is_refused_before_the_server_is_asked(stellwerk: Stellwerk, key: Path) -> None:
    ran = stellwerk(*PUBLISH, *SERVER, "--key", str(key), "--yes", "--as", "bo@acme.test")
    assert (ran.status, ran.output) == (1, "")
    assert "bo@acme.test (member) may not publish its records" in ran.errors


def test_an_administrator_of_the_organisation_may(stellwerk: Stellwerk, key: Path) -> None:
    ran = stellwerk(*PUBLISH, *SERVER, "--key", str(key), "--yes", "--as", "anna@acme.test")
    assert ran.errors == NOBODY_THERE


def test_a_key_that_others_may_read_is_refused(stellwerk: Stellwerk, key: Path) -> None:
    key.chmod(0o644)
    ran = stellwerk(*PUBLISH, *SERVER, "--key", str(key), "--yes")
    assert (ran.status, ran.errors) == (2, f"{key} can be read by others (mode 0644); run: chmod 600 {key}\n")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--server", "ns1.customer.test", "--yes"), "write an IP address with or without a port"),
        ((*SERVER, "--json"), "--json asks nothing: say --yes to publish, or --dry-run to see the difference"),
        (("--yes",), "Missing option '--server'"),
    ],
)
def test_wrong_usage(stellwerk: Stellwerk, key: Path, more: tuple[str, ...], expected: str) -> None:
    ran = stellwerk(*PUBLISH, "--key", str(key), *more)
    assert ran.status == 2
    assert expected in ran.errors


def test_a_domain_without_a_claim_has_nothing_to_publish(stellwerk: Stellwerk, key: Path) -> None:
    ran = stellwerk("domain", "publish", "acme.test", *SERVER, "--key", str(key), "--yes")
    assert ran.status == 1
    assert "acme.test is trusted and has no token to publish" in ran.errors


def test_an_update_of_which_nobody_knows_stands_in_the_audit(stellwerk: Stellwerk, key: Path) -> None:
    key.write_text(f"{KEY.name}:{base64.b64encode(KEY.secret).decode()}")
    nothing = answer("NXDOMAIN", authority=(SOA,))
    with LoopThread() as loop:
        # zone, ownership key, MX; and then the update, which is not answered
        serves = serving(answer("NOERROR", SOA), nothing, nothing, lambda query: b"")
        server = loop.run(serves.__aenter__())
        ran = stellwerk(*PUBLISH, "--server", str(server.server), "--key", str(key), "--yes", "--required")
        loop.run(serves.__aexit__(None, None, None))
    assert ran.status == 1
    what = "_stellwerk-challenge.customer.test TXT"
    assert f"whether the update of {what} was done is not known" in ran.errors
    assert "published before that" not in ran.errors
    (entry,) = json.loads(stellwerk("directory", "log", "--action", "domain.publish", "--json").output)
    assert entry["after"]["records"] == [f"{what} (not known whether)"]
