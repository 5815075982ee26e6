"""Log lines on standard error: one event is one line, whatever the mail, a client or a plugin put into it.

What a line says is its writer's business; a line with fields is written by `tell`. docs/admin/logs.md lists the fields.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from gateway.json_text import json_text
from gateway.log_writer import LineWriter

LogFormat = Literal["text", "json"]

MAX_LINE_CHARACTERS = 16_384
MAX_VALUE_CHARACTERS = 1_500
_CUT = "... (cut)"
# No space, quote, equals sign or bracket, and nothing that could steer a terminal.
_is_plain = re.compile(rf"[!#-<>-Z^-z|~]{{1,{MAX_VALUE_CHARACTERS}}}").fullmatch
_needs_no_escape = re.compile(rf"[ !#-\[\]-~]{{0,{MAX_VALUE_CHARACTERS}}}").fullmatch
_encode_ascii = json.JSONEncoder(separators=(",", ":"), default=str).encode
# The numbers of sd-daemon(3).
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}

Fields = Mapping[str, Any]


def tell(log: logging.Logger, event: str, fields: Fields, level: int = logging.INFO) -> None:
    """One line `event` with `fields`, in either format. Values: str, numbers, and lists and dicts of them."""
    if log.isEnabledFor(level):
        log.log(level, event, extra={"fields": fields})


class OneLineFormatter(logging.Formatter):
    """`time level logger[pid]: message key=value ...`, control characters escaped, a traceback appended behind ` | `.

    A value that is not a plain word is JSON. Under systemd the journal has time and process already: they are left out,
    and the level stands in front as the journal reads it.
    """

    def __init__(self, *, in_journal: bool = False) -> None:
        super().__init__()
        self._in_journal = in_journal
        self._second = (0, "")

    def _head(self, record: logging.LogRecord) -> str:
        if self._in_journal:
            return f"{record.levelname} {record.name}: "
        # The text of a second is made once: busy gateways write many lines in each.
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        at = f"{self._second[1]},{int(record.msecs):03d}"
        return f"{at} {record.levelname} {record.name}[{record.process}]: "

    def format(self, record: logging.LogRecord) -> str:
        text = self._head(record) + record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += f"\n{self.formatException(record.exc_info)}"
        if fields := getattr(record, "fields", None):
            text += "".join([f" {key}={_shown(value)}" for key, value in fields.items()])
        if "\n" in text:
            lines = (line.strip() for line in text.splitlines())
            text = " | ".join(line for line in lines if line.strip("^~ "))
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        if len(text) > MAX_LINE_CHARACTERS:
            text = text[:MAX_LINE_CHARACTERS] + _CUT
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}" if self._in_journal else text


def _shown(value: object) -> str:
    if isinstance(value, str):
        if _is_plain(value):
            return value
        if _needs_no_escape(value):
            return f'"{value}"'
    text = json_text(value)
    if len(text) > MAX_VALUE_CHARACTERS:  # where the whole is short, so is every text in it
        value = _capped(value)
        text = json_text(value)
    return text if text.isprintable() else _encode_ascii(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + _CUT


def _capped(value: Any) -> Any:
    """`value` with every text in it cut."""
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Mapping):
        return {str(key): _capped(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_capped(each) for each in value]
    return value


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: `time` (RFC 3339, UTC), `level`, `logger`, `process`, `event`, the fields.

    A line without fields has `message` instead of `event`. No field replaces one of these. Fields that make a line too
    long are left out and named in `cut`.
    """

    def __init__(self, *, in_journal: bool = False) -> None:
        super().__init__()
        self._in_journal = in_journal
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None) or {}
        line: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "event" if fields else "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The end tells where it happened.
            line["traceback"] = _repaired(self.formatException(record.exc_info))[-MAX_LINE_CHARACTERS // 2 :]
        text = json_text({**line, **fields})
        if not text.isascii():
            text = _encode_ascii({**line, **fields})
        if len(text) > MAX_VALUE_CHARACTERS or "\\ud" in text or not line.keys().isdisjoint(fields):
            text = self._cut(line, fields)
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{text}" if self._in_journal else text

    def _cut(self, line: dict[str, Any], fields: Fields) -> str:
        line = {key: value if key == "traceback" else _sound(value) for key, value in line.items()}
        line |= {key: _sound(value) for key, value in fields.items() if key not in line}
        text = _encode_ascii(line)
        while len(text) > MAX_LINE_CHARACTERS:
            longest = max((key for key in line if key != "cut"), key=lambda key: len(_encode_ascii(line[key])))
            del line[longest]
            line.setdefault("cut", []).append(longest[:100])
            text = _encode_ascii(line)
        return text

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._second[1]}.{int(record.msecs):03d}Z"


def _sound(value: Any) -> Any:
    """`value` capped and without lone surrogates, which are valid in no JSON text that others read."""
    if isinstance(value, str):
        return _repaired(value if len(value) <= MAX_VALUE_CHARACTERS else _cut(value))
    if isinstance(value, Mapping):
        return {_repaired(str(key)): _sound(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_sound(each) for each in value]
    return value


def _repaired(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class LineHandler(logging.Handler):
    """Formats in the caller's thread and leaves the writing, which may block, to the writer's."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - arguments bring their own __str__; logging must not fail its caller
            told = f"a log line could not be made: {type(error).__name__}: {record.msg!r:.200}"
            flaw = logging.LogRecord(record.name, logging.ERROR, "", 0, "%s", (told,), None)
            line = self.format(flaw)
        self._writer.put(line.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        self._writer.flush()


_writer: LineWriter | None = None


def dropped_lines() -> int:
    """Lines of this process that nobody took."""
    return 0 if _writer is None else _writer.dropped


def flush_logging() -> None:
    """Wait, not for ever, until what was logged is written: what is printed next is to stand behind it. Blocks."""
    if _writer is not None:
        _writer.flush()


def start_logging(level: str, form: LogFormat = "text") -> None:
    """Send everything from `level` (debug, info, warning, error) upwards to standard error. May be called again."""
    global _writer  # noqa: PLW0603 - there is one standard error
    # No line shows them, and finding them out costs more than the line (see "Optimization" in the logging how-to).
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    _writer = _writer or LineWriter(2, _lines_dropped)
    in_journal = _is_journal(os.environ.get("JOURNAL_STREAM", ""))
    handler = LineHandler(_writer)
    handler.setFormatter((JsonFormatter if form == "json" else OneLineFormatter)(in_journal=in_journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # They tell at "info" what they are about to look at, once for every owner of tables and process.
    logging.getLogger("alembic").setLevel(max(root.level, logging.WARNING))
    # At "debug" it shows the parameters and rows of every statement: hashes of passwords, and passwords for relays.
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    # The web server's own lines are about its requests, which are nobody's mail.
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _lines_dropped(count: int) -> None:
    logging.getLogger("stellwerk.log").warning("%d log lines were dropped: standard error did not take them", count)


def _is_journal(stream: str) -> bool:
    """Whether standard error is the stream that systemd names in $JOURNAL_STREAM (`device:inode`, see systemd.exec(5)).

    The variable alone tells nothing: a file or pipe may have taken its place since.
    """
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"
