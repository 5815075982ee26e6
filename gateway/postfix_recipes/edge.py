"""The recipe `edge`: the gateway is the MX, and Postfix behind it queues and delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

STANDARD_MX = "192.0.2.25:25"
SAME_HOST = "same-host"
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  recognised, not bound


@dataclass(frozen=True, slots=True)
class Edge(Recipe):
    """What the recipe depends on.

    `gateway` is the address at which the gateway takes mail from the world. `reinjection` is the `host:port` at which
    Postfix takes it over, in at most `connections` connections at once. `max_message_bytes` is the gateway's limit.
    `from_address` is where the gateway speaks from: this host, or an IP address when Postfix runs on another one.

    RecipeUnavailable when Postfix would have to trust more than that address, or could not keep port 25 of loopback.
    """

    name = "edge"
    when = "Stellwerk is the MX and refuses while the client waits; Postfix queues and delivers behind it"
    choices = (
        Choice(
            "from-address",
            (SAME_HOST,),
            "The IP address that Stellwerk speaks to Postfix from, when they run on two hosts.",
            "recipe",
            is_free=True,
        ),
    )

    gateway: str = STANDARD_MX
    reinjection: str = fitting.STANDARD_REINJECTION
    max_message_bytes: int = fitting.STANDARD_MAX_MESSAGE_BYTES
    connections: int = fitting.STANDARD_CONNECTIONS
    from_address: str = SAME_HOST

    def __post_init__(self) -> None:
        parsed = parse_socket_address(self.gateway)
        if not isinstance(parsed, tuple) or parsed[0] in _EVERY_ADDRESS:
            raise RecipeUnavailable(
                f"the inbound listener has the address {self.gateway}: Postfix keeps port 25 of loopback for this "
                f"host's own programs, so name the address that the MX record leads to, as in {STANDARD_MX}"
            )
        if self.is_same_host:
            fitting.require_loopback_port(self.reinjection, "the next hop to Postfix")
        elif is_loopback(self.reinjection):
            raise RecipeUnavailable(
                f"the next hop to Postfix has the address {self.reinjection}, which is on this host; leave "
                "--from-address out"
            )
        else:
            fitting.require_ip_address(self.from_address, "--from-address")

    @classmethod
    def fitting(cls, config: Config, from_address: str = SAME_HOST) -> Self:
        listener = fitting.listener_with(config, STANDARD_MX, protocol="smtp", role="inbound", direction="inbound")
        hop = fitting.hop_to_postfix(config)
        return cls(listener.address, hop.address, fitting.size_limit(config, listener), hop.connections, from_address)

    @property
    def is_same_host(self) -> bool:
        return self.from_address == SAME_HOST

    @property
    def gateway_host(self) -> str:
        """The gateway's address in the MX, as Postfix's `proxy_interfaces` wants it."""
        return self.gateway.rpartition(":")[0].strip("[]")

    @property
    def gateway_networks(self) -> str:
        """Who may speak at Postfix's port for the gateway, as Postfix's `mynetworks` wants it."""
        if self.is_same_host:
            return fitting.postfix_networks(self.reinjection)
        return f"[{self.from_address}]/128" if ":" in self.from_address else f"{self.from_address}/32"

    @property
    def replaced(self) -> dict[str, str]:
        """Settings of main.cf that get another value until the way back."""
        found = {"proxy_interfaces": self.gateway_host}
        return {**found, "inet_interfaces": "loopback-only"} if self.is_same_host else found

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            services=fitting.reinjection_services(self.reinjection),
            replaced=self.replaced,
            kept_by=fitting.kept_reinjection(self.reinjection),
        )
