"""The recipe `after-queue-lmtp`: Postfix queues, asks the gateway over LMTP, takes the mail back on its own port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe

Aliases = Literal["stellwerk", "postfix"]
ALIASES = Choice("aliases", ("stellwerk", "postfix"), "Which side expands aliases.", "aliases-in-{}")


@dataclass(frozen=True, slots=True)
class AfterQueueLmtp(Recipe):
    """What the recipe depends on.

    `lmtp` is where the gateway listens (`host:port` or `unix:/absolute/path`), `reinjection` the `host:port` at which
    Postfix takes the mail back, over at most `connections` connections at once. `max_message_bytes` is the gateway's
    limit, and so the most Postfix may accept. `aliases` says which side expands aliases; the other one then must not.

    Both addresses must be on loopback, since neither port asks who is speaking: RecipeUnavailable otherwise.
    """

    name = "after-queue-lmtp"
    when = "the recommended one: Postfix queues first, each recipient gets an answer of its own"
    choices = (ALIASES,)

    lmtp: str = fitting.STANDARD_AFTER_QUEUE
    reinjection: str = fitting.STANDARD_REINJECTION
    max_message_bytes: int = fitting.STANDARD_MAX_MESSAGE_BYTES
    connections: int = fitting.STANDARD_CONNECTIONS
    aliases: Aliases = "stellwerk"

    def __post_init__(self) -> None:
        fitting.require_loopback(self.lmtp, "the LMTP listener")
        fitting.require_loopback_port(self.reinjection, "the next hop back to Postfix")

    @classmethod
    def fitting(cls, config: Config, aliases: Aliases = "stellwerk") -> Self:
        listener = fitting.listener_with(
            config, fitting.STANDARD_AFTER_QUEUE, protocol="lmtp", role="filter", direction="inbound"
        )
        hop = fitting.hop_to_postfix(config)
        return cls(listener.address, hop.address, fitting.size_limit(config, listener), hop.connections, aliases)

    @property
    def content_filter(self) -> str:
        """The value of Postfix's `content_filter`: transport and next hop."""
        return f"stellwerk:{fitting.filter_destination(self.lmtp, 'the LMTP listener')}"

    @property
    def gateway_networks(self) -> str:
        """Who may speak at the re-injection port, as Postfix's `mynetworks` wants it."""
        return fitting.postfix_networks(self.reinjection)

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the LMTP listener; nowhere in particular on a UNIX socket."""
        return fitting.filter_peers(self.lmtp)

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            {
                "content_filter": "stellwerk:.*",
                "receive_override_options": "no_address_mappings",
                "stellwerk_destination_recipient_limit": ".*",
            },
            ("stellwerk/unix", f"{self.reinjection}/inet", "stellwerk-cleanup/unix"),
        )
