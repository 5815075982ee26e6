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


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this recipient to the next hop named `via`; no later plugin is asked."""

    via: str
    rule: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the message for a person's decision."""

    reason: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Discard:
    """Accept and drop this recipient's copy; the trace keeps the reason."""

    reason: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse this recipient with `reply` (4xx or 5xx)."""

    reply: Reply
    rule: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.reply.is_accept:
            raise ValueError("a recipient is refused with a 4xx or 5xx reply")


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
