"""The recipe `beside-rspamd`: Rspamd is a milter of the Postfix in front, and the gateway reads what it found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Choice, Footprint, Recipe, RecipeUnavailable

STANDARD_RSPAMD = "inet:127.0.0.1:11332"
STANDARD_AUTHSERV_ID = "mx.example.org"


@dataclass(frozen=True, slots=True)
class BesideRspamd(Recipe):
    """What the recipe depends on.

    `gateway` and `protocol` are those of the listener that takes mail from Postfix's queue; `authserv_id` is the
    myhostname of that Postfix, under which Rspamd writes. `service` is the entry of master.cf that speaks to the world,
    `rspamd` the milter's address as Postfix names it.
    """

    name = "beside-rspamd"
    when = "beside after-queue-*: Rspamd as a milter in front, its Authentication-Results for Stellwerk's plugins"
    choices = (
        Choice(
            "service",
            ("smtp/inet",),
            'The service in master.cf that takes mail from the world; with postscreen it is "smtpd/pass".',
            "recipe",
            is_free=True,
        ),
        Choice(
            "rspamd", (STANDARD_RSPAMD,), "Where Rspamd's proxy worker listens as a milter.", "recipe", is_free=True
        ),
    )

    gateway: str = fitting.STANDARD_AFTER_QUEUE
    protocol: str = "lmtp"
    listener: str = "after-queue"
    authserv_id: str = STANDARD_AUTHSERV_ID
    service: str = "smtp/inet"
    rspamd: str = STANDARD_RSPAMD

    def __post_init__(self) -> None:
        fitting.require_service(self.service)
        fitting.require_milter(self.rspamd)

    @classmethod
    def fitting(cls, config: Config, service: str = "smtp/inet", rspamd: str = STANDARD_RSPAMD) -> Self:
        for found in config.listeners:
            if found.role == "filter" and found.direction == "inbound":
                authserv_id = next(iter(found.trusted_authserv_ids), STANDARD_AUTHSERV_ID)
                return cls(found.address, found.protocol, found.name, authserv_id, service, rspamd)
        raise RecipeUnavailable(
            'Rspamd\'s results would reach nobody: no [[listener]] has role = "filter", direction = "inbound"; '
            "put in after-queue-lmtp first"
        )

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the listener; nowhere in particular on a UNIX socket."""
        return fitting.peers_at(self.gateway)

    @property
    def footprint(self) -> Footprint:
        options = {"smtpd_milters": self.rspamd, "milter_default_action": "tempfail"}
        options = {f"{self.service}/{name}": value for name, value in options.items()}
        return Footprint(service_options=options, requeued="")
