"""Log lines on standard error: one event is one line, whatever the mail, a client or a plugin put into it."""

from __future__ import annotations

import logging
import os
import sys

MAX_LINE_CHARACTERS = 8192


class OneLineFormatter(logging.Formatter):
    """`time level logger[pid]: message`, control characters escaped, a traceback appended behind ` | `.

    Under systemd the journal has time and process already, so they are left out.
    """

    def __init__(self, *, in_journal: bool = False) -> None:
        where = "%(levelname)s %(name)s: " if in_journal else "%(asctime)s %(levelname)s %(name)s[%(process)d]: "
        super().__init__(where + "%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        lines = (line.strip() for line in super().format(record).splitlines())
        text = " | ".join(line for line in lines if line.strip("^~ "))
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        return text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}... (cut)"


def start_logging(level: str) -> None:
    """Send everything from `level` (debug, info, warning, error) upwards to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter(in_journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
