"""What one listener lets its clients do: who is trusted, how many connections, how many fruitless commands."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable

from gateway.mail.reply import TOO_MANY_COMMANDS, TOO_MANY_CONNECTIONS, TOO_MANY_ERRORS, Reply

UNIX_PEER = "unix"
_CACHE = 4096
_IPV6_CUSTOMER_PREFIX = 64  # one customer owns at least that many addresses


class TrustedPeers:
    """The networks of `trusted_peers`. Whoever may open our UNIX socket (mode 0660) is trusted as well."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self._known: dict[str, bool] = {UNIX_PEER: True}

    def __contains__(self, address: str) -> bool:
        trusted = self._known.get(address)
        if trusted is None:
            if len(self._known) >= _CACHE:
                self._known = {UNIX_PEER: True}
            ip = ipaddress.ip_address(address)
            trusted = self._known[address] = any(ip in network for network in self._networks)
        return trusted


class ConnectionLimits:
    """Counts open connections. Trusted peers are free of the limit per client, and a twentieth is kept for them."""

    def __init__(self, *, total: int, per_client: int, reserve: bool) -> None:
        self._total = total
        self._untrusted = total - total // 20 if reserve else total
        self._per_client = per_client
        self._clients: Counter[str] = Counter()
        self.open = 0

    def admit(self, address: str, *, trusted: bool) -> Reply | None:
        """Count a new connection in, or give the refusal. What was admitted must be released."""
        client = _client_key(address)
        if self.open >= (self._total if trusted else self._untrusted):
            return TOO_MANY_CONNECTIONS
        if not trusted and self._clients[client] >= self._per_client:
            return TOO_MANY_CONNECTIONS.says("too many connections from your address")
        self.open += 1
        self._clients[client] += 1
        return None

    def release(self, address: str) -> None:
        client = _client_key(address)
        self.open -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]


def _client_key(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _IPV6_CUSTOMER_PREFIX), strict=False))


class CommandBudget:
    """What a client may do without bringing mail. A delivered message starts it anew."""

    __slots__ = ("_errors", "_idle", "_max_errors", "_max_idle")

    def __init__(self, max_errors: int, max_idle: int) -> None:
        self._max_errors = max_errors
        self._max_idle = max_idle
        self._errors = self._idle = 0

    def renew(self) -> None:
        self._errors = self._idle = 0

    def error(self) -> Reply | None:
        """Count a refused or unknown command; the farewell when it was one too many."""
        self._errors += 1
        return TOO_MANY_ERRORS if self._errors > self._max_errors else None

    def idle(self) -> Reply | None:
        """Count a command that brings no mail; the farewell when it was one too many."""
        self._idle += 1
        return TOO_MANY_COMMANDS if self._idle > self._max_idle else None
