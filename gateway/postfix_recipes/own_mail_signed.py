"""The recipe `own-mail-signed`: notifications of the gateway leave by a service whose milter signs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.config import Config, SmtpNextHopConfig
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

STANDARD_SIGNING = "127.0.0.1:10027"
STANDARD_MILTER = "inet:127.0.0.1:8891"


@dataclass(frozen=True, slots=True)
class OwnMailSigned(Recipe):
    """What the recipe depends on.

    `reinjection` is the `host:port` at which Postfix takes the gateway's own mail, over at most `connections`
    connections at once; `milter` is the address of what signs, as Postfix names it.
    """

    name = "own-mail-signed"
    when = "beside after-queue-*: notifications of the gateway itself go out with a DKIM signature"
    choices = (
        Choice(
            "milter",
            (STANDARD_MILTER,),
            "Where the milter listens that signs: OpenDKIM, or Rspamd (inet:127.0.0.1:11332).",
            "recipe",
            is_free=True,
        ),
    )

    reinjection: str = STANDARD_SIGNING
    connections: int = fitting.STANDARD_CONNECTIONS
    milter: str = STANDARD_MILTER

    def __post_init__(self) -> None:
        fitting.require_loopback_port(self.reinjection, "the next hop for own mail")
        fitting.require_milter(self.milter)

    @classmethod
    def fitting(cls, config: Config, milter: str = STANDARD_MILTER) -> Self:
        way_back = fitting.hop_to_postfix(config)
        hop = config.next_hops[config.own_hop]
        if not isinstance(hop, SmtpNextHopConfig) or hop.address == way_back.address:
            raise RecipeUnavailable(
                f'own mail goes the way of all mail: [routing] own names "{config.own_hop}"; add an smtp next hop with '
                f'address = "{STANDARD_SIGNING}", and name it there'
            )
        return cls(hop.address, hop.connections, milter)

    @property
    def gateway_networks(self) -> str:
        """Who may speak at the port, as Postfix's `mynetworks` wants it."""
        return fitting.postfix_networks(self.reinjection)

    @property
    def footprint(self) -> Footprint:
        return Footprint(services=(f"{self.reinjection}/inet",), requeued="")
