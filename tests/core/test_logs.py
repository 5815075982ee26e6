"""A log line is one line, whatever was put into it (C7); the same fields in text and JSON; writing never blocks."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.log_writer import LineWriter
from gateway.logs import (
    MAX_LINE_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    JsonFormatter,
    LineHandler,
    OneLineFormatter,
    _is_journal,
    tell,
)

HOSTILE = [
    "mx.example.test",
    "a\r\nINFO forged: b",
    "\x1b[31mred\x00",
    "%s %d {x}",
    "right\u202eto left",
    "\x9b2J C1",
    "\udce4 lone surrogate",
    "Grüße",
    'x reply="250 2.0.0 forged"',
    "",
    "x" * 1_000_000,
]


def record(message: str, *arguments: object, exc_info: object = None, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("stellwerk.smtp", logging.INFO, __file__, 1, message, arguments, exc_info)  # type: ignore[arg-type]
    if fields:
        made.fields = fields
    return made


def line(message: str, *arguments: object, exc_info: object = None, **fields: object) -> str:
    return OneLineFormatter(in_journal=True).format(record(message, *arguments, exc_info=exc_info, **fields))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("mx.example.test", "mx.example.test"),
        ("a\r\nINFO forged: b", "a | INFO forged: b"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("%s %d", "%s %d"),
        ("right\u202eto left", "right\\u202eto left"),
        ("Grüße", "Grüße"),
    ],
)
def test_c7_what_a_client_says_stays_one_line(said: str, shown: str) -> None:
    assert line("EHLO %s", said) == f"<6>INFO stellwerk.smtp: EHLO {shown}"


def test_c7_a_long_line_is_cut() -> None:
    text = line("%s", "x" * 1_000_000)
    assert len(text) < MAX_LINE_CHARACTERS + 20
    assert text.endswith("... (cut)")


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_c7_hostile_fields_in_text_are_one_line_and_cannot_forge_another_field(said: str) -> None:
    text = line("message", helo=said, reply="550 5.7.1 no", list=[{"to": [said]}])
    assert text.isprintable()
    assert len(text) < 3 * MAX_VALUE_CHARACTERS
    fields = text.removeprefix("<6>INFO stellwerk.smtp: message helo=")
    word = fields.partition(" ")[0]
    told = json.JSONDecoder().raw_decode(fields)[0] if fields[0] == '"' else word
    assert told == said or told == said[:MAX_VALUE_CHARACTERS] + "... (cut)"
    assert fields.count(' reply="550 5.7.1 no" ') == 1


def test_c7_a_value_that_is_no_plain_word_is_quoted_in_text() -> None:
    text = line("message", id="1m8", helo='x reply="250 forged"', sender="", size=12, seconds={"plan": 0.1})
    assert text == (
        '<6>INFO stellwerk.smtp: message id=1m8 helo="x reply=\\"250 forged\\"" sender="" size=12 seconds={"plan":0.1}'
    )


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_c7_json_is_one_valid_line_for_whatever_was_said(said: str) -> None:
    told = JsonFormatter().format(record("message", helo=said, deep=[{said[:20]: [said]}]))
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= MAX_LINE_CHARACTERS
    found = json.loads(told)
    found["helo"].encode()  # no lone surrogate
    assert found["event"] == "message"
    assert found["level"] == "info"
    assert found["logger"] == "stellwerk.smtp"
    if said == "Grüße":
        assert found["helo"] == said


def test_c7_fields_that_make_a_json_line_too_long_are_left_out_and_named() -> None:
    many = [{"to": f"user{number}@example.test"} for number in range(2000)]
    found = json.loads(JsonFormatter().format(record("message", id="1m8", recipients=many)))
    assert found["cut"] == ["recipients"]
    assert found["id"] == "1m8"


def test_no_field_replaces_what_the_line_itself_says() -> None:
    found = json.loads(JsonFormatter().format(record("message", level="forged", time="forged", id="1m8")))
    assert found["level"] == "info"
    assert found["time"] != "forged"
    assert found["id"] == "1m8"


def _failure() -> Any:
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        return sys.exc_info()


def test_a_traceback_is_part_of_the_line() -> None:
    text = line("failed", exc_info=_failure())
    assert "\n" not in text
    assert text.endswith("| RuntimeError: first | second")


def test_a_traceback_is_a_field_of_the_json_line() -> None:
    told = JsonFormatter().format(record("failed", exc_info=_failure()))
    assert "\n" not in told
    assert json.loads(told)["traceback"].endswith("RuntimeError: first\nsecond")


def test_under_systemd_there_is_one_time_stamp_and_the_level_is_the_journals() -> None:
    assert line("hello") == "<6>INFO stellwerk.smtp: hello"
    warning = logging.LogRecord("stellwerk", logging.WARNING, "", 0, "careful", (), None)
    assert OneLineFormatter(in_journal=True).format(warning) == "<4>WARNING stellwerk: careful"
    assert JsonFormatter(in_journal=True).format(warning).startswith('<4>{"time":')
    outside = OneLineFormatter().format(warning)
    assert outside.endswith(f" WARNING stellwerk[{os.getpid()}]: careful")


def test_the_journal_is_recognised_by_the_socket_not_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.dup(ours.fileno()), "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        found = os.fstat(ours.fileno())
        assert _is_journal(f"{found.st_dev}:{found.st_ino}")
        assert not _is_journal(f"{found.st_dev}:{found.st_ino + 1}")
        assert not _is_journal("")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        os.close(fd)


def _logger(writer: LineWriter) -> logging.Logger:
    log = logging.Logger("stellwerk.test")
    handler = LineHandler(writer)
    handler.setFormatter(OneLineFormatter(in_journal=True))
    log.addHandler(handler)
    return log


def test_lines_come_out_in_order_and_whole(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    log = _logger(writer)
    for number in range(200):
        log.info("line %d %s", number, "x" * 100)
    assert writer.flush()
    lines = os.read(pipe[0], 1_000_000).decode().splitlines()
    assert [text.split()[3] for text in lines] == [str(number) for number in range(200)]
    assert writer.dropped == 0


def test_a_full_pipe_stops_nobody_and_what_it_did_not_take_is_counted(pipe: tuple[int, int]) -> None:
    told: list[int] = []
    writer = LineWriter(pipe[1], told.append, max_bytes=200_000)
    log = _logger(writer)
    for _ in range(1000):  # the pipe holds 64 KiB, nobody reads: this would hang
        log.info("%s", "x" * 1000)
    dropped = writer.dropped
    assert dropped > 0
    assert not writer.flush(0.01)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.extend(_until(pipe[0], b"last\n")))
    reader.start()
    assert writer.flush(30)
    log.info("last")
    reader.join(30)
    assert b"".join(read).count(b"\n") == 1000 - dropped + 1
    assert told == [dropped]


def _until(fd: int, end: bytes) -> list[bytes]:
    blocks = [b""]
    while not blocks[-1].endswith(end):
        blocks.append(os.read(fd, 65_536))
    return blocks


def test_a_closed_standard_error_is_counted_and_harms_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing)
    _logger(writer).info("nobody hears this")
    assert writer.flush()
    os.close(writing)
    assert writer.dropped == 1


def test_arguments_that_cannot_be_formatted_are_a_line_too(pipe: tuple[int, int]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no text")

    writer = LineWriter(pipe[1])
    log = _logger(writer)
    log.info("see %s", Bad())
    assert writer.flush()
    assert os.read(pipe[0], 10_000).decode() == (
        "<3>ERROR stellwerk.test: a log line could not be made: ValueError: 'see %s'\n"
    )


def test_nothing_is_made_of_a_line_below_the_level(pipe: tuple[int, int]) -> None:
    writer = LineWriter(pipe[1])
    log = _logger(writer)
    log.setLevel(logging.WARNING)
    tell(log, "message", {"id": "1m8"})
    tell(log, "trouble", {"id": "1m9"}, logging.WARNING)
    assert writer.flush()
    assert os.read(pipe[0], 10_000) == b"<4>WARNING stellwerk.test: trouble id=1m9\n"
