"""What a check of a domain's DNS ends with, and everything that was seen on the way. Nothing here asks anyone.

`temp` means that nothing definite was learnt: it never takes anything away from anyone, and never gives anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["pass", "warn", "fail", "temp"]

OK = "ok"

# Proven, but not to be granted yet: somebody must agree first.
HOLDS = frozenset({"private_suffix", "parent_owned_by_other"})
# Seen, but not by everybody yet: it settles itself.
WAITS = frozenset({"authoritative_disagree", "resolver_disagree", "resolver_behind", "second_observation"})


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer: when (POSIX seconds), from which server, to which question, and what it said.

    `rcode` is the response code as text; where nothing came back it is empty, or the code that came instead of an
    answer. `ede` are extended error codes (RFC 8914), `ad` is the resolver's word that DNSSEC proved the answer, `ttl`
    is in seconds. `texts` are the records in a form that people read, cleaned of what must not reach a terminal;
    without any, `trouble` says in one word why nothing is known, and is empty for a definite no.
    """

    at: float
    server: str
    name: str
    type: str
    rcode: str
    ede: tuple[int, ...] = ()
    ad: bool = False
    ttl: int = 0
    texts: tuple[str, ...] = ()
    trouble: str = ""
    authoritative: bool = False
    """From a server of the domain itself, not from a resolver."""

    def as_json(self) -> dict[str, Any]:
        """What the store and `--json` take."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Observation:
        """What `as_json` gave."""
        return cls(**{**data, "ede": tuple(data.get("ede", ())), "texts": tuple(data.get("texts", ()))})


@dataclass(frozen=True, slots=True)
class Result:
    """How one check of a domain ended. `required` ones gate mail, the others are advice.

    `reason` is a stable code (`token_missing`; a plain pass is `ok`); `facts` fill the sentence of that code
    (see `gateway.domains.checks.texts`).
    """

    check: str
    status: Status
    reason: str = OK
    required: bool = False
    observations: tuple[Observation, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def waits_for(self) -> Literal["", "agreement", "time"]:
        """What a `temp` of ownership waits for: a person who must agree, or servers that do not know it all yet."""
        if self.reason in HOLDS:
            return "agreement"
        return "time" if self.reason in WAITS else ""

    def as_json(self) -> dict[str, Any]:
        """What the store and `--json` take."""
        return {
            "check": self.check,
            "status": self.status,
            "reason": self.reason,
            "required": self.required,
            "observations": [observation.as_json() for observation in self.observations],
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """What `as_json` gave."""
        seen = tuple(Observation.from_json(each) for each in data["observations"])
        return cls(data["check"], data["status"], data["reason"], data["required"], seen, dict(data["facts"]))
