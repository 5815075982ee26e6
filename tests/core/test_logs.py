"""A log line is one line, whatever was put into it (C7)."""

from __future__ import annotations

import logging
import sys

import pytest

from gateway.logs import MAX_LINE_CHARACTERS, OneLineFormatter


def line(message: str, *arguments: object, exc_info: object = None) -> str:
    record = logging.LogRecord("stellwerk.smtp", logging.INFO, __file__, 1, message, arguments, exc_info)  # type: ignore[arg-type]
    return OneLineFormatter(in_journal=True).format(record)


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
    assert line("EHLO %s", said) == f"INFO stellwerk.smtp: EHLO {shown}"


def test_c7_a_long_line_is_cut() -> None:
    text = line("%s", "x" * 1_000_000)
    assert len(text) < MAX_LINE_CHARACTERS + 20
    assert text.endswith("... (cut)")


def test_a_traceback_is_part_of_the_line() -> None:
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        text = line("failed", exc_info=sys.exc_info())
    assert "\n" not in text
    assert text.endswith("| RuntimeError: first | second")
