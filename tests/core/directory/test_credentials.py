"""P43: passwords against the directory: equal work for everybody, successes remembered, changes seen at once."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from gateway.directory.backoff import FREE_FAILURES
from gateway.directory.cache import Version
from gateway.directory.credentials import (
    MOST_WAITING_OF_A_CLIENT,
    REMEMBERED_SECONDS,
    Origin,
    PasswordChecker,
    Refusal,
)
from gateway.directory.errors import Conflict
from gateway.directory.leaving import DeactivatePerson
from gateway.directory.logins import Logins
from gateway.directory.passwords import hash_password
from gateway.directory.people import MOST_APP_PASSWORDS, AddAppPassword, EndAppPassword, SetPassword
from gateway.errors import StoreUnavailable
from gateway.mail.envelope import Credentials, Identity
from tests.core.directory.conftest import Kept
from tests.core.smtp.client import eventually

HOME = Origin("192.0.2.7", "192.0.2.0/24")
CAFE = Origin("198.51.100.9", "198.51.100.0/24")


@dataclass
class Checking:
    """A checker whose hash of "x" is "#x", with every comparison counted; `hold` keeps them in their threads."""

    town: Kept
    now: float = 1000.0
    compared: list[str] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()
        self.version = Version(self.town.store, lambda: self.now)
        self.logins = Logins(self.town.store, self.version)
        self.checker = PasswordChecker(self.logins, lambda: self.now, self._check)

    def _check(self, kept: str, password: str) -> bool:
        self.hold.wait(30)
        self.compared.append(kept)
        return kept == f"#{password}"

    async def check(
        self, password: str, user: str = "anna@acme.test", origin: Origin = HOME
    ) -> tuple[Identity | Refusal, int]:
        """The outcome, and how many hashes it took."""
        await self.version.look()
        before = len(self.compared)
        outcome = await self.checker.check(Credentials("PLAIN", user, password), origin)
        return outcome, len(self.compared) - before


@pytest.fixture
async def checking(town: Kept) -> AsyncIterator[Checking]:
    """anna has the password "sesame"; bo has none."""
    await town.do(SetPassword("anna@acme.test", "#sesame"))
    made = Checking(town)
    yield made
    made.checker.close()


def name(outcome: Identity | Refusal) -> str:
    return str(outcome.address) if isinstance(outcome, Identity) else outcome.name


async def test_the_right_password_says_who_it_is(checking: Checking) -> None:
    outcome, _ = await checking.check("sesame", "ANNA@Acme.test")
    assert isinstance(outcome, Identity)
    assert (str(outcome.address), outcome.name) == ("anna@acme.test", "Anna Berg")
    assert (outcome.organisation, outcome.context) == ("acme", "sales")
    assert outcome.person_id
    assert outcome.credential_version == 2


@pytest.mark.parametrize("app_passwords", [0, 1, 3])
async def test_whoever_fails_takes_the_same_number_of_hashes(checking: Checking, app_passwords: int) -> None:
    await checking.town.do(SetPassword("cleo@other.test", "#gone"))
    await checking.town.do(DeactivatePerson("cleo@other.test"))
    for number in range(app_passwords):
        await checking.town.do(AddAppPassword("anna@acme.test", f"phone {number}", f"#app{number}"))
    for user, why in (
        ("anna@acme.test", "WRONG"),
        ("bo@acme.test", "NO_PASSWORD"),
        ("cleo@other.test", "INACTIVE"),
        ("nobody@acme.test", "UNKNOWN"),
        ("no address", "UNKNOWN"),
    ):
        for password in ("barley", "gone"):
            outcome, hashes = await checking.check(password, user)
            assert (name(outcome), hashes) == (why, 1 + app_passwords)


async def test_app_passwords_let_in_until_they_are_ended(checking: Checking) -> None:
    kept = checking.town
    first = await kept.do(AddAppPassword("anna@acme.test", "phone", "#phone"))
    await kept.do(AddAppPassword("anna@acme.test", "laptop", "#laptop"))
    for password in ("sesame", "phone", "laptop"):
        assert name((await checking.check(password))[0]) == "anna@acme.test"
    await kept.do(EndAppPassword("anna@acme.test", first))
    assert name((await checking.check("phone"))[0]) == "WRONG"
    assert name((await checking.check("laptop"))[0]) == "anna@acme.test"


async def test_there_are_only_so_many_app_passwords(checking: Checking) -> None:
    for number in range(MOST_APP_PASSWORDS):
        await checking.town.do(AddAppPassword("anna@acme.test", f"phone {number}", "#phone"))
    with pytest.raises(Conflict, match="has 5 app passwords, and 5 is the most"):
        await checking.town.do(AddAppPassword("anna@acme.test", "one more", "#phone"))


async def test_a_success_is_remembered_for_that_password_and_a_while(checking: Checking) -> None:
    assert (await checking.check("sesame"))[1] == 1
    assert (await checking.check("sesame"))[1] == 0
    assert (await checking.check("barley"))[1] == 1
    checking.now += REMEMBERED_SECONDS
    assert (await checking.check("sesame"))[1] == 1


async def test_nothing_that_is_remembered_holds_the_password(checking: Checking) -> None:
    await checking.check("sesame")
    assert checking.checker._successes
    assert b"sesame" not in pickle.dumps(dict(checking.checker._successes))


async def test_a_new_password_ends_the_old_one_though_it_was_remembered(checking: Checking) -> None:
    await checking.check("sesame")
    await checking.town.do(SetPassword("anna@acme.test", "#barley"))
    assert name((await checking.check("sesame"))[0]) == "WRONG"
    assert name((await checking.check("barley"))[0]) == "anna@acme.test"


async def test_who_has_left_is_not_let_in_by_what_was_remembered(checking: Checking) -> None:
    await checking.check("sesame")
    await checking.town.do(DeactivatePerson("anna@acme.test"))
    assert name((await checking.check("sesame"))[0]) == "INACTIVE"


async def test_a_password_that_is_changed_while_it_is_checked_lets_nobody_in(checking: Checking) -> None:
    await checking.version.look()
    checking.hold.clear()
    attempt = asyncio.create_task(checking.checker.check(Credentials("PLAIN", "anna@acme.test", "sesame"), HOME))
    await eventually(lambda: checking.checker._waiting)
    await checking.town.do(SetPassword("anna@acme.test", "#barley"))
    await checking.version.look()
    checking.hold.set()
    assert await attempt is Refusal.WRONG


async def test_a_client_that_failed_too_often_pauses_without_a_hash_and_the_owner_elsewhere_does_not(
    checking: Checking,
) -> None:
    for _ in range(FREE_FAILURES):
        await checking.check("barley", origin=CAFE)
    outcome, hashes = await checking.check("sesame", origin=CAFE)
    assert (name(outcome), hashes) == ("PAUSE", 0)
    assert name((await checking.check("sesame", origin=HOME))[0]) == "anna@acme.test"


async def test_unknown_people_meet_the_same_pauses(checking: Checking) -> None:
    for user in ("anna@acme.test", "nobody@acme.test"):
        told = [name((await checking.check("barley", user, CAFE))[0]) for _ in range(FREE_FAILURES + 2)]
        assert told[-2:] == ["PAUSE", "PAUSE"]


async def test_what_waits_for_a_thread_is_bounded_for_each_client(checking: Checking) -> None:
    await checking.version.look()
    checking.hold.clear()
    credentials = Credentials("PLAIN", "anna@acme.test", "barley")
    attempts = [asyncio.create_task(checking.checker.check(credentials, CAFE)) for _ in range(20)]
    await eventually(lambda: sum(each.done() for each in attempts) == len(attempts) - MOST_WAITING_OF_A_CLIENT)
    assert {each.result() for each in attempts if each.done()} == {Refusal.BUSY}
    checking.hold.set()
    assert Counter(await asyncio.gather(*attempts)) == {Refusal.WRONG: MOST_WAITING_OF_A_CLIENT, Refusal.BUSY: 12}
    assert not checking.checker._waiting


async def test_many_programs_of_one_person_at_once_take_few_hashes(checking: Checking) -> None:
    await checking.check("sesame")
    checking.now += REMEMBERED_SECONDS
    await checking.version.look()
    credentials = Credentials("PLAIN", "anna@acme.test", "sesame")
    before = len(checking.compared)
    found = await asyncio.gather(*(checking.checker.check(credentials, HOME) for _ in range(20)))
    assert {name(each) for each in found} == {"anna@acme.test"}
    assert len(checking.compared) - before <= 2


async def test_nobody_is_let_in_by_a_directory_that_cannot_be_read(checking: Checking) -> None:
    await checking.check("sesame")
    await asyncio.to_thread(checking.town.store.close)
    checking.now += 0.5
    assert isinstance(await checking.checker.check(Credentials("PLAIN", "anna@acme.test", "sesame"), HOME), Identity)
    checking.now += 1.0
    with pytest.raises(StoreUnavailable):
        await checking.checker.check(Credentials("PLAIN", "anna@acme.test", "sesame"), HOME)


async def test_a_real_hash_is_checked(town: Kept) -> None:
    await town.do(SetPassword("bo@acme.test", await asyncio.to_thread(hash_password, "sesame")))
    checker = PasswordChecker(Logins(town.store, Version(town.store)), lambda: 1000.0)
    try:
        for password, expected in (("barley", "WRONG"), ("sesame", "bo@acme.test")):
            assert name(await checker.check(Credentials("PLAIN", "bo@acme.test", password), HOME)) == expected
    finally:
        checker.close()
