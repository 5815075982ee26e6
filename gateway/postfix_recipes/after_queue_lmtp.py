"""The recipe `after-queue-lmtp`: Postfix queues, asks the gateway over LMTP, takes the mail back on a port of its own.

This module holds the recipe's values and where the configuration keeps them; the text itself is the template.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2

from gateway.config import Config, ListenerConfig, SmtpNextHopConfig
from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.errors import StellwerkError

NAME = "after-queue-lmtp"
STANDARD_LMTP = "127.0.0.1:10024"
STANDARD_REINJECTION = "127.0.0.1:10026"
STANDARD_MAX_MESSAGE_BYTES = 36_700_160
STANDARD_CONNECTIONS = 20

Aliases = Literal["stellwerk", "postfix"]


class RecipeUnavailable(StellwerkError):
    """The configuration has nothing this recipe could point Postfix at. The text says what to add."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class AfterQueueLmtp:
    """What the recipe depends on.

    `lmtp` is where the gateway listens (`host:port` or `unix:/absolute/path`), `reinjection` the `host:port` at which
    Postfix takes the mail back, over at most `connections` connections at once. `max_message_bytes` is the gateway's
    limit, and so the most Postfix may accept. `aliases` says which side expands aliases; the other one then must not.

    Both addresses must be on loopback, since neither port asks who is speaking: RecipeUnavailable otherwise.
    """

    lmtp: str = STANDARD_LMTP
    reinjection: str = STANDARD_REINJECTION
    max_message_bytes: int = STANDARD_MAX_MESSAGE_BYTES
    connections: int = STANDARD_CONNECTIONS
    aliases: Aliases = "stellwerk"

    def __post_init__(self) -> None:
        _require_loopback(self.lmtp, "the LMTP listener")
        if _require_loopback(self.reinjection, "the next hop back to Postfix") is None:
            raise RecipeUnavailable(
                f"the next hop back to Postfix has the address {self.reinjection}: its smtpd listens on a port, "
                f"as in {STANDARD_REINJECTION}"
            )

    @property
    def content_filter(self) -> str:
        """The value of Postfix's `content_filter`: transport and next hop."""
        at = _require_loopback(self.lmtp, "the LMTP listener")
        return f"stellwerk:[{at[0]}]:{at[1]}" if at else f"stellwerk:{self.lmtp}"

    @property
    def gateway_networks(self) -> str:
        """Who may speak at the re-injection port, as Postfix's `mynetworks` wants it."""
        networks = _loopback_networks(self.reinjection)
        return ",".join(f"[{net.partition('/')[0]}]/128" if ":" in net else net for net in networks)

    @property
    def trusted_peers(self) -> list[str]:
        """Where Postfix speaks from to the LMTP listener; nowhere in particular on a UNIX socket."""
        return [] if self.lmtp.startswith("unix:") else _loopback_networks(self.lmtp)


def from_config(config: Config, aliases: Aliases = "stellwerk") -> AfterQueueLmtp:
    """The recipe for this gateway's own ports. Raises RecipeUnavailable with one line that says what is missing."""
    listener = _lmtp_listener(config)
    hops = [(name, config.next_hops[name]) for name in (config.routing.hosted, config.routing.outbound) if name]
    for _name, hop in hops:
        if isinstance(hop, SmtpNextHopConfig):
            return AfterQueueLmtp(
                lmtp=listener.address,
                reinjection=hop.address,
                max_message_bytes=listener.max_message_bytes or config.limits.max_message_bytes,
                connections=hop.connections,
                aliases=aliases,
            )
    found = " and ".join(f'"{name}" ({hop.kind})' for name, hop in hops)
    raise RecipeUnavailable(
        f"no mail would come back to Postfix: [routing] hosted and outbound name {found}, and neither is an smtp next "
        f'hop; add [next_hop.postfix] with kind = "smtp" and address = "{STANDARD_REINJECTION}", and name it there'
    )


def render(recipe: AfterQueueLmtp) -> str:
    """The recipe as text: parts headed by `#==== NAME ====`, in which comments stand on lines of their own."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.postfix_recipes"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  configuration text, not HTML
    )
    return environment.get_template(f"{NAME}.txt.j2").render(recipe=recipe)


def _lmtp_listener(config: Config) -> ListenerConfig:
    found = [each for each in config.listeners if each.protocol == "lmtp" and each.role == "filter"]
    if not found:
        raise RecipeUnavailable(
            'Postfix has nothing to speak to: no [[listener]] has protocol = "lmtp" and role = "filter"; '
            f'add one with address = "{STANDARD_LMTP}" and trusted_peers = ["127.0.0.0/8"]'
        )
    return next((each for each in found if each.direction == "inbound"), found[0])


def _loopback_networks(address: str) -> list[str]:
    host = address.rpartition(":")[0]
    return {"localhost": ["127.0.0.0/8", "::1/128"], "[::1]": ["::1/128"]}.get(host, ["127.0.0.0/8"])


def _require_loopback(address: str, whose: str) -> tuple[str, int] | None:
    """Host and port of an address on loopback, None for a UNIX socket. Raises RecipeUnavailable for anything else."""
    parsed = parse_socket_address(address)
    if isinstance(parsed, Path):
        return None
    if not is_loopback(address) or parsed[1] == 0:
        raise RecipeUnavailable(
            f"{whose} has the address {address}: whoever reaches it is trusted, so this recipe wants a fixed port on "
            "127.0.0.1 or [::1]"
        )
    return parsed
