"""What one listener lets its clients do: who is trusted, how long they may take, how many fruitless commands.

Connections are counted in `admission`, messages in `rates`, the speed of message data is judged in `pace`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.mail.reply import TOO_MANY_COMMANDS, TOO_MANY_ERRORS, Reply

UNIX_PEER = "unix"
_CACHE = 4096


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


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client may take its time with and do wrong: as a rule, or while the listener is under stress."""

    command_seconds: float
    """For one whole command line."""
    data_seconds: float
    """The longest pause in message data, and the credit that `Pace` gives."""
    max_errors: int
    max_idle: int


class CommandBudget:
    """What a client has done without bringing mail. A delivered message starts it anew."""

    __slots__ = ("_errors", "_idle")

    def __init__(self) -> None:
        self._errors = self._idle = 0

    def renew(self) -> None:
        self._errors = self._idle = 0

    def error(self, allowance: Allowance) -> Reply | None:
        """Count a refused or unknown command; the farewell when it was one too many."""
        self._errors += 1
        return TOO_MANY_ERRORS if self._errors > allowance.max_errors else None

    def idle(self, allowance: Allowance) -> Reply | None:
        """Count a command that brings no mail; the farewell when it was one too many."""
        self._idle += 1
        return TOO_MANY_COMMANDS if self._idle > allowance.max_idle else None
