"""What a sink is told to answer and what it has taken, as plain data. No sockets in here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sink does at one point of a dialogue.

    `reply` is text without its CRLF ("250-a\\r\\n250 b" for several lines), or bytes sent exactly as they are; empty
    says nothing. `after` is waited for first: an event that is never set is a hang. `piece_bytes` sends the reply in
    pieces of that size, each on its own. `then` ends the connection: "close" politely, "reset" by a TCP RST.
    """

    reply: str | bytes = ""
    after: asyncio.Event | None = None
    piece_bytes: int = 0
    then: Literal["go on", "close", "reset"] = "go on"


@dataclass(frozen=True, slots=True)
class SinkRecipient:
    """A recipient the sink accepted, and the parameters of its RCPT as they came ("NOTIFY=NEVER")."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class SinkMessage:
    """A transaction that was ended by its dot, or by its last chunk.

    `replies` are the sink's to the dot, one per recipient in LMTP. `tls` is the version it came under ("TLSv1.3"), or
    empty; `login` the user who had logged in; `chunks` the octets of each BDAT, none where it came by DATA.
    """

    sender: str
    parameters: tuple[str, ...]
    recipients: tuple[SinkRecipient, ...]
    data: bytes
    helo: str
    xforward: dict[str, str]
    connection: int
    replies: list[str] = field(default_factory=list)
    tls: str = ""
    login: str = ""
    chunks: tuple[int, ...] = ()

    @property
    def to(self) -> tuple[str, ...]:
        """The addresses of the recipients."""
        return tuple(recipient.address for recipient in self.recipients)

    @property
    def accepted(self) -> bool:
        """Whether anybody's copy was answered with 2xx."""
        return any(reply.startswith("2") for reply in self.replies)
