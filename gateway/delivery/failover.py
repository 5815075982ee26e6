"""Which of a next hop's addresses a new connection goes to: the first that takes mail, failed ones last for a while.

Knows nothing about messages or pooling, and decides before any mail is begun only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from gateway.delivery.addresses import Endpoint, HopAddress, resolve
from gateway.delivery.commands import Capabilities
from gateway.delivery.connection import Connection, NextHopUnavailable
from gateway.delivery.login import LoginRefused
from gateway.delivery.opening import Terms, TlsFailed, open_connection
from gateway.mail.reply import NEXT_HOP_DOWN

log = logging.getLogger(__name__)

LOOK_UP_SECONDS = 10.0
MAX_TROUBLES = 100


@dataclass(slots=True)
class _Trouble:
    """What happened at an endpoint last; it comes after the others until the loop time `until`."""

    error: NextHopUnavailable
    until: float


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one address of a next hop said when it was asked: `problem`, or else `where` and `capabilities`."""

    address: str
    where: str = ""
    capabilities: Capabilities = field(default_factory=Capabilities)
    problem: str = ""


class Failover:
    """Opens connections to one next hop at its `addresses`, in their order; `choices` says how many ends they lead to.

    An endpoint that takes no connection is passed over for `cool_down_seconds`, then probed by one connection; while
    nothing else is left it is tried all the same, except where it refused our login. Each may take
    `connect_timeout_seconds`. Use from one event loop.
    """

    def __init__(
        self,
        name: str,
        addresses: Sequence[HopAddress],
        terms: Terms,
        *,
        cool_down_seconds: float,
        connect_timeout_seconds: float,
    ) -> None:
        self._name = name
        self._addresses = tuple(addresses)
        self._terms = terms
        self._cool_down_seconds = cool_down_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._troubles: dict[Endpoint, _Trouble] = {}
        self._plain_until: dict[Endpoint, float] = {}
        self._let_in: set[Endpoint] = set()
        self._one_login = asyncio.Lock()
        self._resolved: dict[HopAddress, int] = dict.fromkeys(self._addresses, 1)
        self.choices = len(self._resolved)
        self.is_down = False
        """Whether the last attempt found no endpoint that gives a connection."""
        self._of: WeakKeyDictionary[Connection, Endpoint] = WeakKeyDictionary()

    async def open(self, until: float) -> Connection:
        """A connection ready for MAIL, to the first endpoint that gives one by the loop time `until`.

        Raises `NextHopUnavailable`; its text names every endpoint that was tried when there are several.
        """
        failures: list[tuple[str, NextHopUnavailable]] = []
        cooling: list[Endpoint] = []
        for address in self._addresses:
            try:
                endpoints = await self._resolve(address, until)
            except NextHopUnavailable as error:
                failures.append((str(address), error))
                continue
            for endpoint in endpoints:
                if self._is_cooling(endpoint):
                    cooling.append(endpoint)
                elif connection := await self._try(endpoint, until, failures):
                    return connection
        for endpoint in cooling:
            trouble = self._troubles.get(endpoint)
            if trouble is not None and isinstance(trouble.error, LoginRefused):
                # Every wrong password brings us nearer to being locked out.
                failures.append((str(endpoint), copy(trouble.error)))
            elif connection := await self._try(endpoint, until, failures):
                return connection
        self.is_down = True
        raise _all_of(failures)

    def blame(self, connection: Connection, cause: str) -> None:
        """A new connection broke off before it took any mail: the other endpoints come first for a while."""
        endpoint = self._of.get(connection)
        if endpoint is not None:
            self._failed(endpoint, NextHopUnavailable(cause))

    async def inspect(self) -> list[Inspection]:
        """Ask every endpoint on a connection of its own, as mail would."""
        found: list[Inspection] = []
        for address in self._addresses:
            try:
                endpoints = await self._resolve(address, float("inf"))
            except NextHopUnavailable as error:
                found.append(Inspection(str(address), problem=str(error)))
                continue
            found += [await self._inspect(endpoint) for endpoint in endpoints]
        return found

    async def _inspect(self, endpoint: Endpoint) -> Inspection:
        try:
            connection = await self._open(endpoint, float("inf"))
        except NextHopUnavailable as error:
            return Inspection(str(endpoint), problem=str(error))
        connection.quit()
        await connection.closed
        return Inspection(str(endpoint), connection.label, connection.capabilities)

    async def _resolve(self, address: HopAddress, until: float) -> list[Endpoint]:
        seconds = self._connect_timeout_seconds
        if len(self._addresses) > 1:  # a resolver that hangs must not use up the time of the other addresses
            seconds = min(seconds, LOOK_UP_SECONDS)
        endpoints = await resolve(address, min(until, asyncio.get_running_loop().time() + seconds))
        self._resolved[address] = len(endpoints)
        self.choices = sum(self._resolved.values())
        return endpoints

    def _is_cooling(self, endpoint: Endpoint) -> bool:
        trouble = self._troubles.get(endpoint)
        return trouble is not None and trouble.until > asyncio.get_running_loop().time()

    async def _try(
        self, endpoint: Endpoint, until: float, failures: list[tuple[str, NextHopUnavailable]]
    ) -> Connection | None:
        now = asyncio.get_running_loop().time()
        if failures and now >= until:
            return None
        trouble = self._troubles.get(endpoint)
        if trouble is not None:  # one connection probes it, who comes meanwhile goes elsewhere
            trouble.until = now + self._cool_down_seconds
        try:
            if self._terms.login is None or endpoint in self._let_in:
                connection: Connection | None = await self._open(endpoint, until)
            else:
                connection = await self._open_in_turn(endpoint, until, trouble)
        except NextHopUnavailable as error:
            self._failed(endpoint, error)
            connection = None
        if connection is None:
            failures.append((str(endpoint), copy(self._troubles[endpoint].error)))
        else:
            self._recovered(endpoint)
        return connection

    async def _open_in_turn(self, endpoint: Endpoint, until: float, known: _Trouble | None) -> Connection | None:
        """Until somebody was let in: a wrong password is tried by one, not by twenty at a time.

        None when whoever was before us failed. `known` is the trouble there was when we came.
        """
        async with self._one_login:
            if endpoint not in self._let_in:
                trouble = self._troubles.get(endpoint)
                if trouble is not None and trouble is not known:
                    return None
                connection = await self._open(endpoint, until)
                self._let_in.add(endpoint)
                return connection
        return await self._open(endpoint, until)

    async def _open(self, endpoint: Endpoint, until: float) -> Connection:
        """One connection to `endpoint`; without TLS where TLS is welcome, fails and need not be."""
        loop = asyncio.get_running_loop()
        limit = min(until, loop.time() + self._connect_timeout_seconds)
        encrypted = self._plain_until.get(endpoint, 0.0) <= loop.time()
        try:
            connection = await open_connection(endpoint, self._terms, until=limit, encrypted=encrypted)
        except TlsFailed as error:
            if self._terms.tls is None or self._terms.tls.required:
                raise
            log.warning("next hop %s (%s): %s; going on in plain text", self._name, endpoint, error)
            now = loop.time()
            self._plain_until = {one: until for one, until in self._plain_until.items() if until > now}
            self._plain_until[endpoint] = now + self._cool_down_seconds
            connection = await open_connection(endpoint, self._terms, until=limit, encrypted=False)
        self._of[connection] = endpoint
        return connection

    def _failed(self, endpoint: Endpoint, error: NextHopUnavailable) -> None:
        known = self._troubles.get(endpoint)
        if isinstance(error, LoginRefused):
            log.error("next hop %s (%s) takes no mail of ours until this is mended: %s", self._name, endpoint, error)
        elif known is None:
            log.warning("next hop %s (%s) takes no mail: %s", self._name, endpoint, error)
        self._let_in.discard(endpoint)
        now = asyncio.get_running_loop().time()
        if len(self._troubles) > MAX_TROUBLES:  # names whose addresses change all the time
            self._troubles = {one: trouble for one, trouble in self._troubles.items() if trouble.until > now}
        # A copy, since the error itself holds on to all that was going on.
        self._troubles[endpoint] = _Trouble(copy(error), now + self._cool_down_seconds)

    def _recovered(self, endpoint: Endpoint) -> None:
        self.is_down = False
        if self._troubles.pop(endpoint, None) is not None:
            log.info("next hop %s (%s) answers again", self._name, endpoint)


def _all_of(failures: list[tuple[str, NextHopUnavailable]]) -> NextHopUnavailable:
    """One error for several: what a sender is told is the one reply that all would give, else that nobody answers."""
    if len(failures) == 1:
        return failures[0][1]
    replies = {error.reply for _, error in failures}
    text = "; ".join(f"{where}: {error}" for where, error in failures)
    return NextHopUnavailable(text, replies.pop() if len(replies) == 1 else NEXT_HOP_DOWN)
