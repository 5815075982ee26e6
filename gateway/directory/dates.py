"""Dates and times as people type them. Without a zone they are meant where this machine is. Pure but for that."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from gateway.directory.errors import BadValue


def moment(text: str, *, end: bool = False) -> float:
    """POSIX seconds of `2026-12-24` or `2026-12-24T18:00`; with `end` a bare date counts to its last second.

    Raises `BadValue`.
    """
    try:
        if len(text) == len("2026-12-24"):
            day = date.fromisoformat(text) + timedelta(days=1 if end else 0)
            return datetime.combine(day, time()).astimezone().timestamp()
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise BadValue(f'"{text}" is no date; expected for example 2026-12-24 or 2026-12-24T18:00') from None


def shown(at: float | None) -> str:
    """A time for people, in UTC as everywhere in Stellwerk's output; empty for none."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
