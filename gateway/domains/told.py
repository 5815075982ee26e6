"""What plugins are told when a domain's state changes. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """A domain after its change. Times are POSIX seconds.

    `ownership` and `routing` are what the last look came to: `pass`, `fail`, `temp`, or empty before the first.
    `ends_at`: when a grace period is over. `takes_mail`: whether RCPT says yes now.
    """

    domain: str
    organisation: str
    since: float
    takes_mail: bool
    ownership: str = ""
    routing: str = ""
    ends_at: float | None = None
    frozen: bool = False
    disputed: bool = False
