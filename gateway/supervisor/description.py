"""What the supervisor tells a worker at its start, as JSON on standard input, and the lines a worker answers with.

A worker gets the text of the configuration, not its path: a slot that is filled again at night must not pick up a file
that somebody is half-way through editing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from gateway.certificates import Certificate

WorkerRole = Literal["smtp", "desk", "check"]

HEARTBEAT_SECONDS = 1.0
STOP_GRACE_SECONDS = 10.0
"""What a worker may take beyond `drain_seconds` to commit, close its store and go."""

READY = b"ready\n"
ALIVE = b"alive\n"
FAILED = b"failed "
"""Followed by a JSON object with `status` (the exit status) and `text` (what to tell a person), and a line end."""


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A bound and listening socket that the worker inherits."""

    listener: str
    fd: int


@dataclass(frozen=True, slots=True)
class WorkerDescription:
    """All that a worker process needs to know.

    `control`: descriptor of the socket to the supervisor; its end means that the supervisor is gone. `instance` is this
    process among all that ever ran, `boot` this run of the supervisor, `node` this state directory. Leases of
    `dead_instances` are void; with `first_start` so are those of every instance of this node with another boot.
    `certificates` hold the keys of the listeners, which the worker itself may not be able to read.
    """

    role: WorkerRole
    source: str
    text: str
    control: int
    node: str
    boot: str
    instance: str
    dead_instances: tuple[str, ...] = ()
    first_start: bool = False
    sockets: tuple[PassedSocket, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    no_new_privileges: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerDescription:
        data = json.loads(text)
        data["dead_instances"] = tuple(data["dead_instances"])
        data["sockets"] = tuple(PassedSocket(**one) for one in data["sockets"])
        data["certificates"] = tuple(Certificate(**one) for one in data["certificates"])
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker could not start: its exit status and the text for a person."""

    status: int
    text: str = field(default="")

    def to_line(self) -> bytes:
        return FAILED + json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Failure:
        return cls(**json.loads(line.removeprefix(FAILED)))
