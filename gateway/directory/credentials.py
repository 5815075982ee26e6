"""Checks passwords: argon2id in a few threads of its own, the same number of hashes whoever was asked for.

A success is remembered for a few minutes by a keyed digest of the password, never the password, and only for the
person's present `credential_version`: a new password, an ended app password or a deactivated person makes it worthless.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from gateway.directory.backoff import Backoff
from gateway.directory.logins import Login, Logins
from gateway.directory.passwords import dummy_hash, verify
from gateway.mail.envelope import Credentials, Identity

THREADS = 2
"""Each check takes 64 MiB and a core for a tenth of a second: mail needs the others."""
MOST_WAITING = 64
MOST_WAITING_OF_A_CLIENT = 8
REMEMBERED_SECONDS = 300.0
MOST_REMEMBERED = 10_000


class Refusal(StrEnum):
    """Why somebody is not let in: for the log. All but the last two are told to the client in the same words."""

    UNKNOWN = "there is no such person"
    INACTIVE = "the person has left"
    NO_PASSWORD = "the person has no password"  # noqa: S105
    WRONG = "the password is wrong"
    PAUSE = "too many failed logins from this client or its network"
    BUSY = "too many passwords wait to be checked"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an attempt comes from: `client` and `network` as they are counted."""

    client: str
    network: str


class PasswordChecker:
    """Checks against the directory. Use from one event loop, and `close` it. `clock`: seconds that never go back."""

    def __init__(self, logins: Logins, clock: Callable[[], float], check: Callable[[str, str], bool] = verify) -> None:
        self._logins = logins
        self._clock = clock
        self._check = check
        self.backoff = Backoff(clock)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._turn = asyncio.Semaphore(THREADS)
        self._waiting: Counter[str] = Counter()
        self._key = secrets.token_bytes(32)
        self._dummy = ""
        self._successes: OrderedDict[tuple[str, int, bytes], float] = OrderedDict()

    async def check(self, credentials: Credentials, origin: Origin) -> Identity | Refusal:
        """Who it is, or why nobody. Raises `StoreUnavailable`."""
        user = credentials.user
        found = await self._logins.find(credentials.user)
        if found is not None and self._is_remembered(found, credentials):
            self.backoff.succeeded(user, origin.client)
            return found.identity
        if self.backoff.must_wait(user, origin.client, origin.network):
            return Refusal.PAUSE
        is_known = self.backoff.is_known(user, origin.client)
        if self._waiting.total() >= MOST_WAITING and not is_known:
            return Refusal.BUSY
        if self._waiting[origin.client] >= MOST_WAITING_OF_A_CLIENT and not is_known:
            return Refusal.BUSY
        self._waiting[origin.client] += 1
        try:
            refusal = await self._compare(found, credentials)
        finally:
            self._waiting[origin.client] -= 1
            if not self._waiting[origin.client]:
                del self._waiting[origin.client]
        if refusal is None and found is not None:
            refusal = await self._has_changed(found, credentials)
        if refusal is not None or found is None:
            self.backoff.failed(user, origin.client, origin.network)
            return refusal or Refusal.UNKNOWN
        self._remember(found, credentials)
        self.backoff.succeeded(user, origin.client)
        return found.identity

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _compare(self, found: Login | None, credentials: Credentials) -> Refusal | None:
        """As many hashes as anybody's password could need, whether there is somebody or not: time tells nothing."""
        most = 1 + await self._logins.most_app_passwords()
        hashes = list(found.hashes[:most]) if found is not None and found.active else []
        async with self._turn:
            if found is not None and self._is_remembered(found, credentials):
                return None  # by another connection, meanwhile
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._threads, self._compare_all, hashes, most, credentials.password)
        if right:
            return None
        if found is None:
            return Refusal.UNKNOWN
        if not found.active:
            return Refusal.INACTIVE
        return Refusal.WRONG if found.hashes else Refusal.NO_PASSWORD

    def _compare_all(self, hashes: list[str], most: int, password: str) -> bool:
        """In a thread. Ends at the first that fits; whoever fails waits for all of them."""
        if not self._dummy:
            self._dummy = dummy_hash()
        for kept in hashes:
            if self._check(kept, password):
                return True
        for _ in range(most - len(hashes)):
            self._check(self._dummy, password)
        return False

    async def _has_changed(self, found: Login, credentials: Credentials) -> Refusal | None:
        """The hash took its time: a password that was changed meanwhile must not be let in by the old one."""
        now = await self._logins.find(credentials.user)
        if now is None or not now.active or now.identity.credential_version != found.identity.credential_version:
            return Refusal.WRONG
        return None

    def _is_remembered(self, found: Login, credentials: Credentials) -> bool:
        if not found.active:
            return False
        until = self._successes.get(self._success(found, credentials))
        return until is not None and self._clock() < until

    def _remember(self, found: Login, credentials: Credentials) -> None:
        key = self._success(found, credentials)
        self._successes[key] = self._clock() + REMEMBERED_SECONDS
        self._successes.move_to_end(key)
        if len(self._successes) > MOST_REMEMBERED:
            self._successes.popitem(last=False)

    def _success(self, found: Login, credentials: Credentials) -> tuple[str, int, bytes]:
        digest = hmac.new(self._key, credentials.password.encode(), hashlib.sha256).digest()
        return found.identity.person_id, found.identity.credential_version, digest
