"""The recipe `before-queue-proxy`: Postfix asks the gateway while the client waits, and queues what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

STANDARD_PROXY = "127.0.0.1:10025"
_PROXY_TIMEOUT_SECONDS = 120
_SPARE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class BeforeQueueProxy(Recipe):
    """What the recipe depends on.

    `gateway` is where the gateway listens (`host:port` or `unix:/absolute/path`), `reinjection` the `host:port` at
    which Postfix takes the mail back and queues it, over at most `connections` connections at once.
    `max_message_bytes` is the gateway's limit. `service` is the entry of master.cf that speaks to the world.
    `deadline_seconds` is when the gateway answers at the latest: before Postfix gives up.

    Both addresses must be on loopback, since neither asks who is speaking: RecipeUnavailable otherwise.
    """

    name = "before-queue-proxy"
    when = "to refuse while the client waits, without bounces; the world gets 451 while Stellwerk is down"
    choices = (
        Choice(
            "service",
            ("smtp/inet", "smtpd/pass"),
            'The service in master.cf that takes mail from the world; with postscreen it is "smtpd/pass".',
            "{}",
            is_free=True,
        ),
    )

    gateway: str = STANDARD_PROXY
    reinjection: str = fitting.STANDARD_REINJECTION
    max_message_bytes: int = fitting.STANDARD_MAX_MESSAGE_BYTES
    connections: int = fitting.STANDARD_CONNECTIONS
    deadline_seconds: float = 80
    service: str = "smtp/inet"

    def __post_init__(self) -> None:
        fitting.require_service(self.service)
        fitting.require_loopback(self.gateway, "the proxy listener")
        fitting.require_loopback_port(self.reinjection, "the next hop back to Postfix")
        if self.deadline_seconds > _PROXY_TIMEOUT_SECONDS - _SPARE_SECONDS:
            raise RecipeUnavailable(
                f"the proxy listener may take {self.deadline_seconds:g} s for its answer, and Postfix waits for "
                f"{_PROXY_TIMEOUT_SECONDS} s in all; set its transaction_deadline_seconds to 80"
            )

    @classmethod
    def fitting(cls, config: Config, service: str = "smtp/inet") -> Self:
        listener = fitting.listener_with(config, STANDARD_PROXY, protocol="smtp", role="proxy", direction="inbound")
        hop = fitting.hop_to_postfix(config)
        return cls(
            listener.address,
            hop.address,
            fitting.size_limit(config, listener),
            hop.connections,
            listener.deadline_seconds,
            service,
        )

    @property
    def service_options(self) -> dict[str, str]:
        """What the recipe sets at the service that speaks to the world."""
        return {
            "smtpd_proxy_filter": self.gateway,
            "smtpd_proxy_timeout": f"{_PROXY_TIMEOUT_SECONDS}s",
            "smtpd_client_connection_count_limit": "10",
        }

    @property
    def gateway_networks(self) -> str:
        """Who may speak at the re-injection port, as Postfix's `mynetworks` wants it."""
        return fitting.postfix_networks(self.reinjection)

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the proxy listener."""
        return fitting.peers_at(self.gateway)

    @property
    def footprint(self) -> Footprint:
        options = {f"{self.service}/{name}": value for name, value in self.service_options.items()}
        still = fitting.kept_reinjection(self.reinjection, f"/smtpd_proxy_filter = {self.gateway}$".replace("[", r"\["))
        return Footprint({}, fitting.reinjection_services(self.reinjection), options, kept_by=still)
