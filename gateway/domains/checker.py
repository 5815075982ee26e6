"""What the scheduler asks about a domain, and how the results of checks become what the state machine knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from gateway.domains import facts
from gateway.domains.token import Scope

Kind: TypeAlias = Literal["ownership", "mx"]
KINDS: frozenset[Kind] = frozenset({"ownership", "mx"})

_PASSED = frozenset({"pass", "warn"})
_SPECIAL: Mapping[str, facts.Seen] = {"domain_nxdomain": "nxdomain", "null_mx": "null_mx"}


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token of this gateway: to whom it was issued, and whether it is revoked."""

    token: str
    organisation_id: str
    serial: int
    issued_at: float
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One look. `tokens`: those that prove this claim, the newest first; usually one, two while one takes over.

    `known`: every token ever issued for the name, by its text, so that an older or another's is called what it is.
    `parents`: names above that are proven with all below, by the organisation that proved them.
    """

    domain: str
    organisation_id: str
    kinds: frozenset[Kind]
    label: str
    scope: Scope
    tokens: tuple[IssuedToken, ...]
    gateway: str
    mx_hosts: Sequence[str]
    known: Mapping[str, IssuedToken] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of it: None for what was not asked. `token`: the one that was found.

    `sure`: the resolver on loopback says that DNSSEC vouches for the token. `name_servers`: the NS set, if it was seen.
    `seen`: every answer, as `rows.with_observations` keeps them.
    """

    ownership: facts.Seen | None = None
    routing: facts.Seen | None = None
    token: IssuedToken | None = None
    sure: bool = False
    name_servers: frozenset[str] = frozenset()
    seen: tuple[Mapping[str, Any], ...] = ()


class Checker(Protocol):
    """Asks DNS. Whatever it cannot find out is `temp`; it raises for bugs only."""

    async def __call__(self, asked: Asked, /) -> Answered: ...


class CheckResult(Protocol):
    """The part of a check's result that decides about a state."""

    @property
    def check(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


def seen_by(kind: Kind, results: Collection[CheckResult]) -> facts.Seen | None:
    """What the results of checks of this kind come to; None when there is none.

    Only `fail` is a failure: what waits, what is on hold and what servers disagree about is not known yet.
    """
    of_kind = [result for result in results if result.check == kind]
    if not of_kind:
        return None
    if all(result.status in _PASSED for result in of_kind):
        return "pass"
    failed = next((result for result in of_kind if result.status == "fail"), None)
    if failed is None:
        return "temp"
    return _SPECIAL.get(failed.reason or "", "fail")


UNKNOWN = Answered("temp", "temp")
"""What a look came to that did not come to an end."""
