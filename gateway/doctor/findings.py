"""What a check of the installation says. What is checked stands in its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]
Found = tuple[Status, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `text` says what to do when the status is not ok."""

    check: str
    status: Status
    text: str

    def to_json(self) -> dict[str, str]:
        return {"check": self.check, "status": self.status, "text": self.text}


def ok(text: str) -> Found:
    return "ok", text


def warning(text: str) -> Found:
    return "warning", text


def failed(text: str) -> Found:
    return "failed", text
