"""How often a client comes and how much it brings in a window of time. Holds no connection and no message."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.config.listener import ListenerConfig
from gateway.mail.networks import client_key
from gateway.mail.reply import TOO_MANY_CONNECTIONS, TOO_MUCH_MAIL, Reply

log = logging.getLogger(__name__)

MAX_CLIENTS = 16_384


@dataclass(slots=True)
class _Window:
    ends: float
    counts: dict[str, int] = field(default_factory=dict)


class Rates:
    """Counts the connections, messages and recipients of each client, and says when there are too many.

    A client's window begins with its first event and lasts `window_seconds`; attempts that are refused count as well.
    The `MAX_CLIENTS` clients that were heard of last are remembered. `clock`: seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        *,
        window_seconds: float,
        connections: int,
        messages: int,
        recipients: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name` is the listener's, for the log; the limits are for one client and one window, 0 is none."""
        self._name = name
        self._window_seconds = window_seconds
        self._limits = {"connections": connections, "messages": messages, "recipients": recipients}
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    @classmethod
    def of(cls, listener: ListenerConfig) -> Rates | None:
        """None when the listener limits no rate."""
        if not (listener.max_connection_rate or listener.max_message_rate or listener.max_recipient_rate):
            return None
        return cls(
            listener.name,
            window_seconds=listener.rate_window_seconds,
            connections=listener.max_connection_rate,
            messages=listener.max_message_rate,
            recipients=listener.max_recipient_rate,
        )

    def connection(self, address: str) -> Reply | None:
        """Count a connection; the refusal when it is one too many."""
        if self._exceeds("connections", address):
            return TOO_MANY_CONNECTIONS.says("too many connections from your address in a short time")
        return None

    def message(self, address: str) -> Reply | None:
        """Count a MAIL command; the refusal when it is one too many."""
        if self._exceeds("messages", address):
            return TOO_MUCH_MAIL.says("too many messages from your address in a short time, try again later")
        return None

    def recipient(self, address: str) -> Reply | None:
        """Count a RCPT command; the refusal when it is one too many."""
        if self._exceeds("recipients", address):
            return TOO_MUCH_MAIL.says("too many recipients from your address in a short time, try again later")
        return None

    def _exceeds(self, what: str, address: str) -> bool:
        limit = self._limits[what]
        if not limit:
            return False
        counts = self._window(client_key(address)).counts
        count = counts[what] = counts.get(what, 0) + 1
        if count == limit + 1:  # once a window: who is refused tries again
            log.info("%s: %s: more than %d %s in %g s", self._name, address, limit, what, self._window_seconds)
        return count > limit

    def _window(self, client: str) -> _Window:
        now = self._clock()
        window = self._windows.get(client)
        if window is not None and now < window.ends:
            self._windows.move_to_end(client)
            return window
        if window is None and len(self._windows) >= MAX_CLIENTS:
            self._windows.popitem(last=False)
        window = self._windows[client] = _Window(now + self._window_seconds)
        self._windows.move_to_end(client)
        return window
