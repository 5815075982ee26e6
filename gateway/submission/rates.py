"""How much one person sends in a window of time, over all their connections to this process. Holds no message."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.listener import ListenerConfig
from gateway.mail.reply import TOO_MUCH_MAIL, Reply

MOST_PEOPLE = 50_000


@dataclass(slots=True)
class _Window:
    ends: float
    messages: int = 0
    recipients: int = 0


class PersonRates:
    """Counts MAIL and RCPT commands of each person; attempts that are refused count as well.

    A window begins with a person's first message and lasts as long as the listener says that it came by. `clock`:
    seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def message(self, person_id: str, listener: ListenerConfig) -> Reply | None:
        """Count a MAIL command; the refusal when it is one too many."""
        window = self._window(person_id, listener)
        window.messages += 1
        return _over(window.messages, listener.max_person_message_rate, "messages", listener)

    def recipient(self, person_id: str, listener: ListenerConfig) -> Reply | None:
        """Count a RCPT command; the refusal when it is one too many."""
        window = self._window(person_id, listener)
        window.recipients += 1
        return _over(window.recipients, listener.max_person_recipient_rate, "recipients", listener)

    def _window(self, person_id: str, listener: ListenerConfig) -> _Window:
        now = self._clock()
        window = self._windows.get(person_id)
        if window is None or now >= window.ends:
            window = self._windows[person_id] = _Window(now + listener.person_rate_window_seconds)
        self._windows.move_to_end(person_id)
        if len(self._windows) > MOST_PEOPLE:
            self._windows.popitem(last=False)
        return window


def _over(count: int, limit: int, what: str, listener: ListenerConfig) -> Reply | None:
    if not limit or count <= limit:
        return None
    return TOO_MUCH_MAIL.says(
        f"you may send {limit} {what} in {listener.person_rate_window_seconds:g} s, try again later"
    )
