"""What the recipes behind Postfix's queue share: Postfix queues, asks the gateway, takes the mail back on its own port.

What is LMTP's or SMTP's own stands in the modules `after_queue_lmtp` and `after_queue_smtp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe

Aliases = Literal["stellwerk", "postfix"]


@dataclass(frozen=True, slots=True)
class AfterQueue(Recipe):
    """What these recipes depend on.

    `gateway` is where the gateway listens (`host:port` or, with LMTP, `unix:/absolute/path`), `reinjection` the
    `host:port` at which Postfix takes the mail back, over at most `connections` connections at once.
    `max_message_bytes` is the gateway's limit, and so the most Postfix may accept. `aliases` says which side expands
    aliases; the other one then must not.

    Both addresses must be on loopback, since neither port asks who is speaking: RecipeUnavailable otherwise.
    """

    choices = (Choice("aliases", ("stellwerk", "postfix"), "Which side expands aliases.", "aliases-in-{}"),)
    protocol: ClassVar[Literal["lmtp", "smtp"]]

    gateway: str = fitting.STANDARD_AFTER_QUEUE
    reinjection: str = fitting.STANDARD_REINJECTION
    max_message_bytes: int = fitting.STANDARD_MAX_MESSAGE_BYTES
    connections: int = fitting.STANDARD_CONNECTIONS
    aliases: Aliases = "stellwerk"

    def __post_init__(self) -> None:
        fitting.require_loopback(self.gateway, f"the {self.protocol.upper()} listener")
        fitting.require_loopback_port(self.reinjection, "the next hop back to Postfix")

    @classmethod
    def fitting(cls, config: Config, aliases: Aliases = "stellwerk") -> Self:
        listener = fitting.listener_with(
            config, fitting.STANDARD_AFTER_QUEUE, protocol=cls.protocol, role="filter", direction="inbound"
        )
        hop = fitting.hop_to_postfix(config)
        return cls(listener.address, hop.address, fitting.size_limit(config, listener), hop.connections, aliases)

    @property
    def content_filter(self) -> str:
        """The value of Postfix's `content_filter`: transport and next hop."""
        at = fitting.require_loopback(self.gateway, f"the {self.protocol.upper()} listener")
        return f"stellwerk:[{at[0]}]:{at[1]}" if at else f"stellwerk:{self.gateway}"

    @property
    def overrides(self) -> str:
        """What the way back leaves out, since it had its turn at the front."""
        no_aliases = ",no_address_mappings" if self.aliases == "postfix" else ""
        return f"no_unknown_recipient_checks,no_header_body_checks,no_milters{no_aliases}"

    @property
    def gateway_networks(self) -> str:
        """Who may speak at the re-injection port, as Postfix's `mynetworks` wants it."""
        return fitting.postfix_networks(self.reinjection)

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the listener; nowhere in particular on a UNIX socket."""
        return fitting.peers_at(self.gateway)

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            {
                "content_filter": "stellwerk:.*",
                "receive_override_options": "no_address_mappings",
                "stellwerk_destination_recipient_limit": ".*",
            },
            ("stellwerk/unix", *fitting.reinjection_services(self.reinjection)),
            kept_by=fitting.kept_reinjection(self.reinjection),
        )
