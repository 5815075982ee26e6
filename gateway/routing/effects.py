"""What hooks leave behind besides the message: rows to commit, work for later. Data only; the core carries it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OnConflict = Literal["error", "ignore", "replace"]
RecordFunction = Callable[[Any, Any], None]
"""`function(connection, payload)`: sync, no I/O but the connection, safe to repeat."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something that is committed before the message is handed on.

    Either one `row` for `table` (a table that the plugin registered), or, made by `Record.call`, a function that must
    read before it writes. `row` and the payload of a call hold JSON values only.
    """

    table: str
    row: Mapping[str, Any]
    on_conflict: OnConflict = "error"
    function: str = ""

    @classmethod
    def call(cls, function: RecordFunction, payload: Mapping[str, Any]) -> Record:
        """A record written by a module-level function `function(connection, payload)`."""
        if "<" in function.__qualname__:
            raise ValueError(f"{function.__qualname__} is no module-level function: it could not be found again")
        return cls("", payload, function=f"{function.__module__}:{function.__qualname__}")

    def __post_init__(self) -> None:
        json.dumps(dict(self.row))

    def to_json(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "row": dict(self.row),
            "on_conflict": self.on_conflict,
            "function": self.function,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        return cls(data["table"], data["row"], data["on_conflict"], data["function"])


@dataclass(frozen=True, slots=True)
class Job:
    """Work for the durable outbox, due once the message is dealt with: done at least once.

    `key` is the idempotency key for the other side; two jobs with the same owner, kind and key are one.
    `owner` is the plugin's name; the core fills it in. `content` carries bytes that are no JSON (a whole message).
    """

    kind: str
    payload: Mapping[str, Any]
    key: str
    owner: str = ""
    content: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        json.dumps(dict(self.payload))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "payload": dict(self.payload), "key": self.key, "owner": self.owner}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        return cls(data["kind"], data["payload"], data["key"], data["owner"])


@dataclass(frozen=True, slots=True)
class Done:
    """A job is finished."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """A job is to be tried again after that many seconds."""

    after_seconds: float
    reason: str = ""
