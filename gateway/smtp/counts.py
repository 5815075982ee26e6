"""What one listener let in, turned away and broke off: counted for metrics, told in the log."""

from __future__ import annotations

import logging
from collections import Counter

from gateway.logs import tell
from gateway.mail.reply import (
    FAILED_TOO_OFTEN,
    INTERNAL_ERROR,
    LOGIN_ENDED,
    NOT_A_MAIL_CLIENT,
    NOT_ALLOWED_HERE,
    SHUTTING_DOWN,
    TALK_BEFORE_BANNER,
    TOO_MANY_COMMANDS,
    TOO_MANY_ERRORS,
    TOO_SLOW,
    Reply,
)
from gateway.metrics.snapshot import Snapshot

log = logging.getLogger(__name__)

_REASONS = {
    FAILED_TOO_OFTEN: "failed_logins",
    INTERNAL_ERROR: "error",
    LOGIN_ENDED: "login_ended",
    NOT_ALLOWED_HERE: "not_trusted",
    NOT_A_MAIL_CLIENT: "no_mail_client",
    SHUTTING_DOWN: "shutting_down",
    TALK_BEFORE_BANNER: "talks_too_soon",
    TOO_MANY_COMMANDS: "too_many_commands",
    TOO_MANY_ERRORS: "too_many_errors",
    TOO_SLOW: "too_slow",
}


class ListenerCounts:
    """Counted where connections begin and end."""

    def __init__(self, listener: str) -> None:
        self._listener = listener
        self.accepted = 0
        self.open = 0
        self.refused: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    def turned_away(self, client: str, refusal: Reply) -> None:
        """A connection got `refusal` and nothing else. There is no id yet that it could be found by."""
        self.refused["limit"] += 1
        tell(log, "connection refused", {"listener": self._listener, "client": client, "reply": str(refusal)})

    def ended_with(self, farewell: Reply) -> None:
        """The gateway broke a session off and said `farewell`; what is no reply of ours is counted as `other`."""
        self._ended[_REASONS.get(farewell.untagged, "other")] += 1

    def put(self, snapshot: Snapshot) -> None:
        name = self._listener
        snapshot.put("stellwerk_connections_open", (name,), self.open)
        snapshot.put("stellwerk_connections_accepted", (name,), self.accepted)
        for reason, number in self.refused.items():
            snapshot.put("stellwerk_connections_refused", (name, reason), number)
        for reason, number in self._ended.items():
            snapshot.put("stellwerk_sessions_ended", (name, reason), number)
