"""What the maps say of a directory: asked live, and written to files, the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.directory.domains import TrustDomain
from gateway.directory.mailboxes import AddMailbox, ChangeMailbox, EndMailbox, GiveMailbox
from gateway.directory.members import AddMember, EndMember, Rights
from gateway.directory.organisations import SetFallback
from gateway.directory.service import DirectoryService
from gateway.directory.static import StaticDirectory
from gateway.errors import StoreUnavailable
from gateway.postfix_maps.answers import MAPS, MapAnswers, MapName
from gateway.postfix_maps.files import MapsNotWritten, write_maps
from gateway.postfix_maps.listing import list_maps
from tests.core.directory.conftest import Kept
from tests.core.directory.test_service import leave
from tests.hooks.walk import config


class Maps:
    """Both forms of the maps of one directory, and what they say now."""

    def __init__(self, kept: Kept, tables: str = "") -> None:
        self.config = config(tables)
        self.kept = kept
        self.service = DirectoryService(StaticDirectory(self.config.hosted, self.config.server.hostname), kept.store)
        self.live = MapAnswers(self.service, kept.store)

    async def ask(self, name: MapName, key: str) -> str | None:
        await self.service.version.look()
        return await self.live.answer(name, key)

    async def listed(self) -> dict[MapName, dict[str, str]]:
        await self.service.version.look()
        return await list_maps(self.config, self.service, self.kept.store)


@pytest.fixture
def maps(town: Kept) -> Maps:
    return Maps(town)


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("recipients", "anna@acme.test", "acme.test/anna/"),
        ("recipients", "Anna@ACME.test", "acme.test/anna/"),
        ("recipients", "anna+lists@acme.test", "acme.test/anna/"),
        ("recipients", "info@acme.test", "acme.test/team/"),
        ("recipients", "postmaster@acme.test", "acme.test/postmaster/"),
        ("recipients", "Bo@example.test", "example.test/bo/"),
        ("recipients", "anybody@small.test", "small.test/anybody/"),
        ("recipients", "nobody@example.test", None),
        ("recipients", "nobody@acme.test", None),
        ("recipients", "anna@elsewhere.test", None),
        ("recipients", "anna", None),
        ("recipients", "@acme.test", None),
        ("recipients", "", None),
        ("recipients", "anna@acme.test\0", None),
        ("domains", "acme.test", "acme.test"),
        ("domains", "ACME.Test", "acme.test"),
        ("domains", "small.test", "small.test"),
        ("domains", ".acme.test", None),
        ("domains", "sub.acme.test", None),
        ("domains", "elsewhere.test", None),
        ("domains", "anna@acme.test", None),
        ("sender-logins", "anna@acme.test", "anna@acme.test"),
        ("sender-logins", "anna+lists@acme.test", "anna@acme.test"),
        ("sender-logins", "team@acme.test", None),
        ("sender-logins", "anna@example.test", None),
        ("sender-logins", "@acme.test", None),
    ],
)
async def test_what_is_answered(maps: Maps, name: MapName, key: str, expected: str | None) -> None:
    assert await maps.ask(name, key) == expected


async def test_an_international_domain_is_asked_for_in_either_form(kept: Kept) -> None:
    maps = Maps(kept, '[hosted."bücher.test"]\nmailboxes = ["anna"]\n')
    for domain in ("bücher.test", "xn--bcher-kva.test"):
        assert await maps.ask("domains", domain) == "xn--bcher-kva.test"
        assert await maps.ask("recipients", f"anna@{domain}") == "xn--bcher-kva.test/anna/"


async def test_files_and_answers_say_the_same(maps: Maps, town: Kept) -> None:
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)))
    await town.do(ChangeMailbox("cleo@other.test", {"receives": 0}))
    await leave(town, "anna@acme.test")
    listed = await maps.listed()
    assert {(name, key): await maps.ask(name, key) for name in MAPS for key in listed[name] if key[0] != "@"} == {
        (name, key): value for name in MAPS for key, value in listed[name].items() if key[0] != "@"
    }
    assert listed == {
        "recipients": {
            "@small.test": "small.test/catch-all/",
            "anna@example.test": "example.test/anna/",
            "bo@acme.test": "acme.test/bo/",
            "bo@example.test": "example.test/bo/",
            "info@acme.test": "acme.test/team/",
            **{f"postmaster@{name}": f"{name}/postmaster/" for name in sorted(
                ["acme.test", "example.test", maps.config.server.hostname, "other.test", "small.test"])},
            "team@acme.test": "acme.test/team/",
        },
        "domains": {name: name for name in ("acme.test", "example.test", "other.test", "small.test")},
        "sender-logins": {
            "bo@acme.test": "bo@acme.test",
            "cleo@other.test": "cleo@other.test",
            "info@acme.test": "bo@acme.test",
            "team@acme.test": "bo@acme.test",
        },
    }  # fmt: skip


async def test_pages_of_a_large_directory_leave_nothing_out(
    maps: Maps, town: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await maps.listed()
    monkeypatch.setattr("gateway.directory.senders._KEYS", _limited("_KEYS"))
    monkeypatch.setattr("gateway.directory.senders._RECIPIENTS", _limited("_RECIPIENTS"))
    assert await maps.listed() == whole


def _limited(query: str) -> object:
    from gateway.directory import senders

    return getattr(senders, query).limit(2)


async def test_who_has_no_mail_taken_is_no_recipient(maps: Maps, town: Kept) -> None:
    """A 550 at Postfix's RCPT instead of a bounce from behind its queue."""
    await town.do(ChangeMailbox("anna@acme.test", {"receives": 0}))
    assert await maps.ask("recipients", "anna@acme.test") is None
    assert await maps.ask("sender-logins", "anna@acme.test") == "anna@acme.test"
    await leave(town, "bo@acme.test")
    await town.do(AddMailbox("desk@acme.test", "acme", "plant", "shared"))
    assert await maps.ask("recipients", "bo@acme.test") is None
    await town.do(SetFallback("acme", "plant", "desk@acme.test"))
    assert await maps.ask("recipients", "bo@acme.test") == "acme.test/bo/"


async def test_a_domain_that_may_not_take_part_is_in_no_map(maps: Maps, town: Kept) -> None:
    await town.do(TrustDomain("acme.test", trusted=False))
    assert await maps.ask("domains", "acme.test") is None
    assert await maps.ask("recipients", "anna@acme.test") is None
    assert await maps.ask("sender-logins", "anna@acme.test") is None
    assert "acme" not in str(await maps.listed())


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (Rights(send_as=True), "anna@acme.test,bo@acme.test"),
        (Rights(send_on_behalf=True), "anna@acme.test"),
        (Rights(read=True, manage=True), "anna@acme.test"),
    ],
)
async def test_members_who_may_send_as_the_mailbox(maps: Maps, town: Kept, rights: Rights, expected: str) -> None:
    await town.do(GiveMailbox("team@acme.test", "anna@acme.test"))
    await town.do(AddMember("team@acme.test", "bo@acme.test", rights))
    for address in ("team@acme.test", "info@acme.test"):
        assert await maps.ask("sender-logins", address) == expected
    await town.do(EndMember("team@acme.test", "bo@acme.test"))
    assert await maps.ask("sender-logins", "team@acme.test") == "anna@acme.test"


async def test_whoever_has_left_sends_as_nobody(maps: Maps, town: Kept) -> None:
    await town.do(AddMember("team@acme.test", "bo@acme.test", Rights(send_as=True)))
    await leave(town, "bo@acme.test")
    assert await maps.ask("sender-logins", "team@acme.test") is None
    assert await maps.ask("sender-logins", "bo@acme.test") is None


async def test_a_change_is_seen_with_the_next_look(maps: Maps, town: Kept) -> None:
    assert await maps.ask("recipients", "new@acme.test") is None
    await town.do(AddMailbox("new@acme.test", "acme", "sales", owner="anna@acme.test"))
    assert await maps.ask("recipients", "new@acme.test") == "acme.test/new/"
    assert await maps.ask("sender-logins", "new@acme.test") == "anna@acme.test"
    await town.do(EndMailbox("new@acme.test"))
    assert await maps.ask("recipients", "new@acme.test") is None


async def test_a_local_part_cannot_lead_out_of_its_directory(maps: Maps, town: Kept) -> None:
    await town.do(AddMailbox("a/b/c@acme.test", "acme", "sales", owner="anna@acme.test"))
    assert await maps.ask("recipients", "a/b/c@acme.test") == "acme.test/a%2Fb%2Fc/"


async def test_without_a_store_nothing_is_said_to_be_missing(maps: Maps, town: Kept) -> None:
    assert await maps.ask("recipients", "nobody@acme.test") is None
    town.store.close()
    maps.service.version._seen_at = float("-inf")
    for name in MAPS:
        with pytest.raises(StoreUnavailable):
            await maps.live.answer(name, "nobody@acme.test")


async def test_files_are_replaced_only_when_they_change(maps: Maps, tmp_path: Path) -> None:
    listed = await maps.listed()
    directory = tmp_path / "maps"
    directory.mkdir()
    assert [(one.name, one.changed) for one in write_maps(directory, listed)] == [(name, True) for name in MAPS]
    assert _modes(directory) == dict.fromkeys(MAPS, 0o644)
    assert [one.changed for one in write_maps(directory, listed)] == [False, False, False]
    assert (directory / "domains").read_text() == "".join(f"{name} {name}\n" for name in listed["domains"])
    del listed["domains"]["acme.test"]
    assert [one.changed for one in write_maps(directory, listed)] == [False, True, False]
    assert _modes(directory) == dict.fromkeys(MAPS, 0o644)


def _modes(directory: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in directory.iterdir()}


def test_a_key_that_would_be_a_comment_is_left_out_and_told(tmp_path: Path) -> None:
    [written] = write_maps(tmp_path, {"recipients": {"#1@acme.test": "x", "anna@acme.test": "y"}})
    assert (written.entries, written.left_out) == (1, ("#1@acme.test",))
    assert (tmp_path / "recipients").read_text() == "anna@acme.test y\n"


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(MapsNotWritten, match="there is no directory"):
        write_maps(tmp_path / "none", {"domains": {}})
