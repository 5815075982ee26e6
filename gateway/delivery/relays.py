"""Next hops that are not in the configuration: the smart host of one mailbox, with a login of its own.

A stored step names the mailbox (`relay:ID`); whose account that is now is found out when the step runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.delivery.client_tls import ClientTls
from gateway.delivery.login import GivenLogin
from gateway.delivery.smtp_client import SmtpNextHop
from gateway.delivery.transport import NextHop
from gateway.directory.relay import RelayAccount

PREFIX = "relay:"
COUNTED_AS = "relay"
"""All of them together, in metrics."""
CONNECTIONS = 2
"""To one account at the same time: providers allow few."""
MOST_ACCOUNTS = 200
IDLE_SECONDS = 20.0


def relay_name(mailbox_id: str) -> str:
    """The next hop of a mailbox's own relay."""
    return f"{PREFIX}{mailbox_id}"


def is_relay(via: str) -> bool:
    return via.startswith(PREFIX)


class RelayHops:
    """One next hop for each account that was used lately, with its pooled connections. Use from one event loop.

    `find` gives the account of a mailbox id and raises `StoreUnavailable`; `otherwise` takes the mail of a mailbox
    whose account has been removed since the mail was planned.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[RelayAccount | None]],
        helo_name: str,
        otherwise: Callable[[], NextHop | None] = lambda: None,
    ) -> None:
        self._find = find
        self._helo_name = helo_name
        self._otherwise = otherwise
        self._hops: OrderedDict[str, tuple[RelayAccount, SmtpNextHop]] = OrderedDict()
        self._retired: list[SmtpNextHop] = []

    async def hop(self, via: str) -> NextHop | None:
        """The next hop of that name. Raises `StoreUnavailable`."""
        account = await self._find(via.removeprefix(PREFIX))
        await self._close_retired()
        known = self._hops.get(via)
        if known is not None and known[0] != account:
            self._retired.append(self._hops.pop(via)[1])
        if account is None:
            return self._otherwise()
        if via not in self._hops:
            self._hops[via] = (account, self._made(via, account))
            if len(self._hops) > MOST_ACCOUNTS:
                self._retired.append(self._hops.popitem(last=False)[1][1])
        self._hops.move_to_end(via)
        return self._hops[via][1]

    async def close(self) -> None:
        for hop in [*self._retired, *(hop for _, hop in self._hops.values())]:
            await hop.close()

    async def _close_retired(self) -> None:
        """Those that are still at work go on."""
        idle = [hop for hop in self._retired if not hop.connection_state()[0]]
        self._retired = [hop for hop in self._retired if hop not in idle]
        for hop in idle:
            await hop.close()

    def _made(self, via: str, account: RelayAccount) -> SmtpNextHop:
        return SmtpNextHop(
            via,
            account.address,
            helo_name=self._helo_name,
            tls=None if account.tls == "none" else ClientTls(required=True, implicit=account.tls == "implicit"),
            login=GivenLogin(account.user, account.password),
            connections=CONNECTIONS,
            idle_seconds=IDLE_SECONDS,
            xforward=False,
        )
