"""`stellwerk mailbox relay`, and that no command shows the password again."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from gateway.directory.relay import RelayAccount
from gateway.directory.tables import mailbox
from tests.core.cli.directory_town import Stellwerk, caller, make_town
from tests.databases import MadeOnce

SET = ("--address", "smtp.relay.test:587", "--user", "acme", "--password-stdin")


@pytest.fixture
def stellwerk(
    made_once: MadeOnce, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stellwerk:
    """With a password on standard input."""
    call = caller(make_town(tmp_path, made_once), capsys, monkeypatch)

    def run(*arguments: str, typed: str = "canary\n") -> object:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        ran = call(*arguments)
        assert "canary" not in ran.output + ran.errors
        return ran

    return run  # type: ignore[return-value]


def stored(directory: Path, address: str = "team@acme.test") -> RelayAccount | None:
    engine = create_engine(f"sqlite:///{directory}/test.db")
    with engine.connect() as connection:
        text = connection.execute(select(mailbox.c.relay).where(mailbox.c.address == address)).scalar_one()
    engine.dispose()
    return RelayAccount.from_text(text) if text else None


def test_it_is_set_tried_and_taken_back(stellwerk: Stellwerk, tmp_path: Path) -> None:
    assert (
        "nothing was changed (--dry-run)" in stellwerk("mailbox", "relay", "team@acme.test", *SET, "--dry-run").output
    )
    assert stored(tmp_path) is None
    told = stellwerk("mailbox", "relay", "info@acme.test", *SET)
    assert (told.status, told.output) == (0, "mailbox.relay team@acme.test: relay - -> (secret)\n")
    assert stored(tmp_path) == RelayAccount("smtp.relay.test:587", "acme", "canary")
    assert stellwerk("mailbox", "relay", "info@acme.test", *SET).output == "nothing to change\n"
    assert stellwerk("mailbox", "relay", "team@acme.test", "--off").status == 0
    assert stored(tmp_path) is None


def test_no_listing_shows_the_password(stellwerk: Stellwerk) -> None:
    for address in ("team@acme.test", "anna@acme.test"):
        assert stellwerk("mailbox", "relay", address, *SET).status == 0
    for words in (
        "mailbox show anna@acme.test --json",
        "mailbox list --json",
        "mailbox export --organisation acme",
        "person export anna@acme.test",
        "directory log --json",
    ):
        ran = stellwerk(*words.split())
        assert ran.status == 0, ran.errors
        assert "team@acme.test" in ran.output or "anna@acme.test" in ran.output


@pytest.mark.parametrize(
    "arguments", [(), ("--user", "acme"), ("--address", "smtp.relay.test:587"), ("--off", "--user", "acme"), SET[:-1]]
)
def test_wrong_usage(stellwerk: Stellwerk, arguments: tuple[str, ...]) -> None:
    assert stellwerk("mailbox", "relay", "team@acme.test", *arguments).status == 2


def test_what_cannot_be_says_so(stellwerk: Stellwerk) -> None:
    ran = stellwerk("mailbox", "relay", "nobody@acme.test", *SET)
    assert (ran.status, 'there is no mailbox "nobody@acme.test"' in ran.errors) == (1, True)
    ran = stellwerk("mailbox", "relay", "team@acme.test", *SET, "--tls", "none")
    assert (ran.status, "in the clear" in ran.errors) == (2, True)
    assert stellwerk("mailbox", "relay", "team@acme.test", *SET, typed="\n").status == 2
    assert stellwerk("mailbox", "relay", "cleo@other.test", *SET, "--as", "bo@acme.test").status == 1
