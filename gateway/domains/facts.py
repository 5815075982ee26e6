"""What was seen of a domain, folded into facts: ownership and routing, each with its history. Pure; nothing is asked.

`temp` never counts as a failure and never ends a run of them: only definite answers do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

HOUR = 3600.0
DAY = 86_400.0

CONFIRMING_LOOKS = 3
CONFIRMING_SECONDS = 48 * HOUR
SECOND_SIGHT_SECONDS = 60.0
"""A first proof that DNSSEC does not vouch for is seen twice, at least so far apart."""

Seen: TypeAlias = Literal["pass", "fail", "temp", "nxdomain", "null_mx"]
"""What one look came to. `nxdomain` (the domain itself is gone) and `null_mx` (RFC 7505) are failures of a kind."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a domain, at POSIX time `at`; None for what was not looked at.

    A failure stands here only if the resolver and all authoritative servers that can be reached agree on it; what they
    disagree about is `temp`. `issued_at`: when the token that was found had been issued. `sure`: DNSSEC vouches for it,
    as a resolver on loopback says. `name_servers`: the NS set, empty when it is not known.
    """

    at: float
    ownership: Seen | None = None
    routing: Seen | None = None
    issued_at: float = 0.0
    sure: bool = False
    name_servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the two. `status` is what the last look came to, `definite` the last that was not `temp`; "" for none.

    `since`: since when `status` is so. `first_fail`, `last_fail` and `consecutive_fail` are of the present run of
    failures, `special_since` of the last ones of it that were all `nxdomain` or all `null_mx`. `temps`: looks in a row
    that taught nothing.
    """

    status: Literal["", "pass", "fail", "temp"] = ""
    since: float = 0.0
    definite: Literal["", "pass", "fail"] = ""
    looked_at: float | None = None
    last_pass: float | None = None
    consecutive_fail: int = 0
    first_fail: float | None = None
    last_fail: float | None = None
    special: Literal["", "nxdomain", "null_mx"] = ""
    special_since: float | None = None
    temps: int = 0

    @property
    def is_confirmed_failure(self) -> bool:
        """Three definite negatives in a row over 48 hours: less never takes anything away."""
        return (
            self.consecutive_fail >= CONFIRMING_LOOKS
            and self.first_fail is not None
            and self.last_fail is not None
            and self.last_fail - self.first_fail >= CONFIRMING_SECONDS
        )

    def special_for(self, special: Literal["nxdomain", "null_mx"], at: float) -> float:
        """For how many seconds every definite answer has been this one; -1 when the last was not."""
        if self.special != special or self.special_since is None or self.status != "fail":
            return -1.0
        return at - self.special_since

    def seen(self, seen: Seen | None, at: float) -> Fact:
        """With one look more."""
        if seen is None:
            return self
        status: Literal["pass", "fail", "temp"] = seen if seen in ("pass", "temp") else "fail"
        new = replace(self, status=status, since=self.since if status == self.status else at, looked_at=at)
        if status == "temp":
            return replace(new, temps=self.temps + 1)
        if status == "pass":
            return Fact("pass", new.since, "pass", at, last_pass=at)
        special: Literal["", "nxdomain", "null_mx"] = seen if seen in ("nxdomain", "null_mx") else ""
        same = special == self.special and self.special_since is not None
        return replace(
            new,
            definite="fail",
            consecutive_fail=self.consecutive_fail + 1,
            first_fail=at if self.first_fail is None else self.first_fail,
            last_fail=at,
            special=special,
            special_since=(self.special_since if same else at) if special else None,
            temps=0,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """Both facts, and what stands beside ownership.

    `issued_at`, `sighted_at` and `proven_at` are of the token that was seen last: when it had been issued, when it was
    first seen, and when that became a proof (None: not yet). `name_servers` is the NS set at the last pass of
    ownership, `moved`: the set was another one since.
    """

    ownership: Fact = field(default_factory=Fact)
    routing: Fact = field(default_factory=Fact)
    issued_at: float = 0.0
    sighted_at: float | None = None
    proven_at: float | None = None
    name_servers: frozenset[str] = frozenset()
    moved: bool = False

    def seen(self, look: Observation) -> Facts:
        """With one look more."""
        new = replace(
            self,
            ownership=self.ownership.seen(look.ownership, look.at),
            routing=self.routing.seen(look.routing, look.at),
        )
        moved = bool(look.name_servers and self.name_servers and look.name_servers != self.name_servers)
        if look.ownership == "pass":
            return _sighted(replace(new, name_servers=look.name_servers or self.name_servers, moved=False), look)
        if look.ownership in (None, "temp"):
            return replace(new, moved=self.moved or moved)
        return replace(new, sighted_at=None, proven_at=None, moved=self.moved or moved)

    def is_proven_with_a_token_after(self, event: float) -> bool:
        """Whether a token issued after `event` is proven: nothing is gained by an older one, which is public."""
        return self.ownership.definite == "pass" and self.proven_at is not None and self.issued_at > event


def _sighted(facts: Facts, look: Observation) -> Facts:
    first = look.at if facts.sighted_at is None or facts.issued_at != look.issued_at else facts.sighted_at
    proven = facts.proven_at if facts.issued_at == look.issued_at else None
    if proven is None and (look.sure or look.at - first >= SECOND_SIGHT_SECONDS):
        proven = look.at
    return replace(facts, issued_at=look.issued_at, sighted_at=first, proven_at=proven)
