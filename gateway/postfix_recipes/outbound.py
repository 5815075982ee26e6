"""What the recipes share that send mail of one's own people to a listener of its own: `outbound_apart`, `submission`.

They stand beside a recipe behind the queue, which brings the way back, and share one transport: whichever of them is
taken out last takes it with it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import Config
from gateway.postfix_recipes import fitting
from gateway.postfix_recipes.recipe import Footprint, Recipe

STANDARD_OUTBOUND = "127.0.0.1:10028"
TRANSPORT = "stellwerk-out"
# How `postconf -P` shows that the recipe submission is in, at whatever service.
LOGIN_LIST = "/smtpd_sender_login_maps = texthash:.*/sender-logins$"
_LIMIT = f"{TRANSPORT}_destination_recipient_limit"


def outbound_listener(config: Config) -> str:
    """The address of the listener for outbound mail. Raises RecipeUnavailable when the configuration has none."""
    fitting.hop_to_postfix(config)
    listener = fitting.listener_with(config, STANDARD_OUTBOUND, protocol="lmtp", role="filter", direction="outbound")
    return listener.address


@dataclass(frozen=True, slots=True)
class Outbound(Recipe):
    """What these recipes depend on: `gateway`, the outbound listener, is `host:port` or `unix:/absolute/path`.

    It must be on loopback or a socket: whoever reaches it speaks for everybody here. RecipeUnavailable otherwise.
    """

    gateway: str = STANDARD_OUTBOUND

    def __post_init__(self) -> None:
        fitting.require_loopback(self.gateway, "the outbound listener")

    @property
    def content_filter(self) -> str:
        """The value of Postfix's `content_filter`: transport and next hop."""
        at = fitting.require_loopback(self.gateway, "the outbound listener")
        return f"{TRANSPORT}:[{at[0]}]:{at[1]}" if at else f"{TRANSPORT}:{self.gateway}"

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the listener; nowhere in particular on a UNIX socket."""
        return fitting.peers_at(self.gateway)

    @property
    @abstractmethod
    def service_options(self) -> Mapping[str, str]:
        """What goes away again, by "service/parameter": the value it must have, a basic regular expression."""

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            {_LIMIT: ".*"},
            (f"{TRANSPORT}/unix",),
            self.service_options,
            kept_by=dict.fromkeys((_LIMIT, f"{TRANSPORT}/unix"), (f"/content_filter = {TRANSPORT}:",)),
            requeued=TRANSPORT,
        )
