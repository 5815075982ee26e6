"""What is handed to a next hop and what comes back: the one contract of the SMTP client and the Maildir writer.

Plain data and a Protocol. No sockets, files or policy in here: who gets which batch is the executor's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.mail.address import Address
from gateway.mail.body import Body
from gateway.mail.edits import Edits
from gateway.mail.envelope import Client
from gateway.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Copy:
    """One recipient of a batch, with its RFC 3461 parameters (`orcpt` in xtext, as it was sent to us)."""

    to: Address
    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(slots=True)  # not frozen: with so many fields that costs five times as much, for every message
class Batch:
    """One transaction with a next hop: the same bytes (`body` under `edits`) and sender for all `copies`.

    `body_type` is the BODY parameter of MAIL as it was sent to us: "", "7BIT" or "8BITMIME". `client` is passed on by
    XFORWARD where the hop offers it; None for mail of our own.
    """

    sender: Address | None
    copies: tuple[Copy, ...]
    edits: Edits
    body: Body
    smtputf8: bool = False
    body_type: str = ""
    ret: str = ""
    envid: str = ""
    client: Client | None = None


class Outcome(StrEnum):
    """What became of one copy."""

    DONE = "done"
    REFUSED = "refused"
    """The next hop said 5xx, or the copy can never go there."""
    DEFERRED = "deferred"
    """Certainly not delivered; may be tried again."""
    UNKNOWN = "unknown"
    """It broke off where the next hop may or may not have taken it: a retry may make a duplicate."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one copy.

    `reply` is the next hop's, cleaned, or one of ours. `dsn_passed_on`: the hop took the duties of RFC 3461 over;
    otherwise they stay with us. `where` is for the trace only and may name hosts, files and causes.
    """

    outcome: Outcome
    reply: Reply
    dsn_passed_on: bool = False
    where: str = ""


Results = tuple[Result, ...]
Late = Callable[[Results], None]


class NextHop(Protocol):
    """A place that takes mail: an SMTP or LMTP server, a tree of Maildirs."""

    name: str
    kind: str

    async def deliver(self, batch: Batch, *, deadline: float, late: Late | None = None) -> Results:
        """One result per copy, in the order of `batch.copies`. Trouble is a result, never an exception.

        `deadline` is a time of the running loop's clock. Until the hop could have taken the mail the deadline and a
        cancellation break the attempt off. Past that point it goes on in a task of the next hop's own; the caller gets
        `UNKNOWN` at the deadline (or its CancelledError at once), and `late` is called exactly once with what was
        learned in the end. `late` must not raise. Until then `batch.body` is still being read: it must not be closed.
        """
        ...

    async def probe(self) -> str | None:
        """None when the hop answers, else one sentence that says what is wrong. For `doctor`."""
        ...

    async def close(self) -> None:
        """End idle connections and threads. What still waits for a late outcome is reported as `UNKNOWN`."""
        ...
