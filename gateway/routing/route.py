"""What `route_recipient` may answer. Pure data; the resolver carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.mail.address import Address
from gateway.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Redirect:
    """The recipient becomes `targets`. With `keep` the original goes on to the next plugin as well."""

    targets: tuple[Address, ...]
    keep: bool = False
    rule: str = ""
    reason: str = ""

    def __str__(self) -> str:
        ways = ["keep"] if self.keep else []
        if self.targets:
            ways.append(f"redirect to {', '.join(map(str, self.targets))}")
        return _told(" and ".join(ways), self.rule, self.reason)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this recipient to the next hop named `via`; no later plugin is asked."""

    via: str
    rule: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return _told(f"deliver via {self.via}", self.rule, self.reason)


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the message for a person's decision."""

    reason: str
    rule: str = ""

    def __str__(self) -> str:
        return _told("hold", self.rule, self.reason)


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept and drop this recipient's copy; the trace keeps the reason."""

    reason: str
    rule: str = ""

    def __str__(self) -> str:
        return _told("discard", self.rule, self.reason)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse this recipient with `reply` (4xx or 5xx)."""

    reply: Reply
    rule: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.reply.is_accept:
            raise ValueError("a recipient is refused with a 4xx or 5xx reply")

    def __str__(self) -> str:
        reason = "" if self.reason == self.reply.text else self.reason
        return _told(f"refuse with {self.reply}", self.rule, reason)


def _told(what: str, rule: str, reason: str) -> str:
    """How explain and trace show an answer."""
    return what + (f", rule {rule}" if rule else "") + (f" ({reason})" if reason else "")


Route = Redirect | Deliver | Hold | Discard | Refuse


@dataclass(frozen=True, slots=True)
class Descent:
    """One station of a recipient's way: `plugin` (or "core") answered for `address`, by `rule`, for `reason`."""

    address: Address
    plugin: str
    rule: str = ""
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"address": str(self.address), "plugin": self.plugin, "rule": self.rule, "reason": self.reason}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Descent:
        return cls(Address.parse(data["address"]), data["plugin"], data["rule"], data["reason"])
