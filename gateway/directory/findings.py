"""What an audit of the directory finds: one thing to mend, and the shape of the checks that find it."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from gateway.directory.actor import Actor
from gateway.store.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend. `person` is who has left, empty where nobody ever was; `command` mends it."""

    noun: str
    name: str
    person: str
    text: str
    command: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


Check = Callable[[Store, Actor], Awaitable[list[Finding]]]


def stellwerk(*words: str) -> str:
    """The command `stellwerk WORDS`, as it can be pasted into a shell."""
    return shlex.join(("stellwerk", *words))
