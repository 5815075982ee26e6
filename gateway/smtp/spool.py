"""Says in the log when a listener's spool stops taking messages and when it takes them again: once each."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class SpoolWatch:
    """The state of the spool as the messages of one listener find it. Use from one event loop."""

    def __init__(self, listener: str) -> None:
        self._listener = listener
        self._trouble = ""

    def failed(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("%s: %s; mail larger than limits.spill_bytes is deferred", self._listener, trouble)

    def works(self) -> None:
        if self._trouble:
            self._trouble = ""
            log.warning("%s: the spool takes messages again", self._listener)
