"""Which connections a listener lets in: counts of those that are open, by client, network and in all. Sends nothing."""

from __future__ import annotations

import logging
import math
from collections import Counter

from gateway.config.listener import ListenerConfig
from gateway.mail.networks import client_key, network_key
from gateway.mail.reply import TOO_MANY_CONNECTIONS, Reply
from gateway.smtp.rates import Rates

log = logging.getLogger(__name__)

_CALM = 0.75  # stress ends at this part of the mark where it begins: it must not come and go with each connection


class Admission:
    """One open connection, counted until `release`."""

    __slots__ = ("_keys", "_limits")

    def __init__(self, limits: ConnectionLimits, keys: tuple[str, str] | None) -> None:
        self._limits = limits
        self._keys = keys

    def release(self) -> None:
        """The connection is closed. Call it once."""
        self._limits.closed(self._keys)


class ConnectionLimits:
    """Counts open connections. Trusted peers are free of all limits but the total, of which a twentieth is theirs."""

    def __init__(self, listener: ListenerConfig, rates: Rates | None = None) -> None:
        total = listener.max_connections
        self._listener = listener
        self._rates = rates
        self._untrusted = total - total // 20 if listener.trusted_peers else total
        self._stress_mark = math.ceil(total * listener.stress_percent / 100) if listener.stress_percent else math.inf
        self._calm_mark = self._stress_mark * _CALM
        self._clients: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self.open = 0
        self.stressed = False
        """Whether connections are so nearly all taken that untrusted clients get less time and fewer errors."""

    def admit(self, address: str, *, trusted: bool) -> Admission | Reply:
        """Count a new connection in, or give the refusal.

        `address` is the client's: of a connection through a proxy what the PROXY header says. Trusted clients are
        counted in the total only.
        """
        if self.open >= (self._listener.max_connections if trusted else self._untrusted):
            return TOO_MANY_CONNECTIONS
        keys = None if trusted else self._count(address)
        if isinstance(keys, Reply):
            return keys
        self._opened()
        return Admission(self, keys)

    def _count(self, address: str) -> tuple[str, str] | Reply:
        """Client and network that the connection was counted for, or the refusal."""
        listener = self._listener
        if self._rates is not None and (refusal := self._rates.connection(address)) is not None:
            return refusal
        client = client_key(address)
        if self._clients[client] >= listener.max_connections_per_client:
            return TOO_MANY_CONNECTIONS.says("too many connections from your address")
        network = network_key(address, listener.network_prefix_ipv4, listener.network_prefix_ipv6)
        if self._networks[network] >= listener.max_connections_per_network:
            return TOO_MANY_CONNECTIONS.says("too many connections from your network")
        self._clients[client] += 1
        self._networks[network] += 1
        return client, network

    def _opened(self) -> None:
        self.open += 1
        if not self.stressed and self.open >= self._stress_mark:
            self.stressed = True
            log.warning(
                "%s: %d of %d connections are taken: clients that are not trusted get %g s and fewer errors now",
                self._listener.name,
                self.open,
                self._listener.max_connections,
                self._listener.stress_timeout_seconds,
            )

    def closed(self, keys: tuple[str, str] | None) -> None:
        """For `Admission`: one connection less."""
        if keys is not None:
            for counter, key in zip((self._clients, self._networks), keys, strict=True):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
        self.open -= 1
        if self.stressed and self.open < self._calm_mark:
            self.stressed = False
            log.warning("%s: %d connections are taken: the usual times hold again", self._listener.name, self.open)
