"""Log lines on standard error: one event is one line, whatever the mail, a client or a plugin put into it."""

from __future__ import annotations

import logging
import os
import sys
import time

MAX_LINE_CHARACTERS = 8192


class OneLineFormatter(logging.Formatter):
    """`time level logger[pid]: message`, control characters escaped, a traceback appended behind ` | `.

    Under systemd the journal has time and process already, so they are left out.
    """

    def __init__(self, *, in_journal: bool = False) -> None:
        where = "%(levelname)s %(name)s: " if in_journal else "%(asctime)s %(levelname)s %(name)s[%(process)d]: "
        super().__init__(where + "%(message)s")

        self._second = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """As usual, but the text of a second is made once: busy gateways write many lines in each."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._second[1]},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if "\n" in text:
            lines = (line.strip() for line in text.splitlines())
            text = " | ".join(line for line in lines if line.strip("^~ "))
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        return text if len(text) <= MAX_LINE_CHARACTERS else f"{text[:MAX_LINE_CHARACTERS]}... (cut)"


def start_logging(level: str) -> None:
    """Send everything from `level` (debug, info, warning, error) upwards to standard error."""
    # No line shows them, and finding them out costs more than the line (see "Optimization" in the logging how-to).
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger("alembic").setLevel(logging.WARNING)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter(in_journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # They tell at "info" what they are about to look at, once for every owner of tables and process.
    logging.getLogger("alembic").setLevel(max(root.level, logging.WARNING))
