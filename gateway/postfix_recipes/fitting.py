"""Where a gateway's configuration keeps what recipes point Postfix at. Nothing here knows a single recipe's text."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from gateway.config import Config, ListenerConfig, SmtpNextHopConfig
from gateway.config.addresses import is_loopback, parse_socket_address
from gateway.postfix_recipes.recipe import RecipeUnavailable

STANDARD_AFTER_QUEUE = "127.0.0.1:10024"
STANDARD_REINJECTION = "127.0.0.1:10026"
STANDARD_MAX_MESSAGE_BYTES = 36_700_160
STANDARD_CONNECTIONS = 20
CLEANUP = "stellwerk-cleanup/unix"
_USES_CLEANUP = ("/cleanup_service_name = stellwerk-cleanup$",)


def listener_with(config: Config, standard_address: str, *, protocol: str, role: str, direction: str) -> ListenerConfig:
    """The first listener of that kind. Raises RecipeUnavailable when the configuration has none."""
    wanted = {"protocol": protocol, "role": role, "direction": direction}
    for listener in config.listeners:
        if all(getattr(listener, key) == value for key, value in wanted.items()):
            return listener
    described = ", ".join(f'{key} = "{value}"' for key, value in wanted.items())
    raise RecipeUnavailable(
        f'Postfix has nothing to speak to: no [[listener]] has {described}; add one with address = "{standard_address}"'
    )


def size_limit(config: Config, listener: ListenerConfig) -> int:
    """The largest message, in octets, that the listener takes."""
    return listener.max_message_bytes or config.limits.max_message_bytes


def hop_to_postfix(config: Config) -> SmtpNextHopConfig:
    """The SMTP next hop by which mail goes to Postfix. Raises RecipeUnavailable when routing names none."""
    hops = [(name, config.next_hops[name]) for name in (config.routing.hosted, config.routing.outbound) if name]
    for _name, hop in hops:
        if isinstance(hop, SmtpNextHopConfig):
            return hop
    found = " and ".join(f'"{name}" ({hop.kind})' for name, hop in hops)
    raise RecipeUnavailable(
        f"no mail would come back to Postfix: [routing] hosted and outbound name {found}, and neither is an smtp next "
        f'hop; add [next_hop.postfix] with kind = "smtp" and address = "{STANDARD_REINJECTION}", and name it there'
    )


def require_loopback(address: str, whose: str) -> tuple[str, int] | None:
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


def require_loopback_port(address: str, whose: str) -> tuple[str, int]:
    """Host and port of an address on loopback; a UNIX socket will not do. Raises RecipeUnavailable."""
    found = require_loopback(address, whose)
    if found is None:
        raise RecipeUnavailable(
            f"{whose} has the address {address}: Postfix's smtpd wants a port here, as in {STANDARD_REINJECTION}"
        )
    return found


def loopback_networks(address: str) -> list[str]:
    """The networks that a program on this machine speaks from when it connects to `address`."""
    host = address.rpartition(":")[0]
    return {"localhost": ["127.0.0.0/8", "::1/128"], "[::1]": ["::1/128"]}.get(host, ["127.0.0.0/8"])


def postfix_networks(address: str) -> str:
    """`loopback_networks` as Postfix's `mynetworks` wants them."""
    return ",".join(f"[{net.partition('/')[0]}]/128" if ":" in net else net for net in loopback_networks(address))


def peers_at(address: str) -> list[str]:
    """Where Postfix speaks from to a listener of the gateway; nowhere in particular on a UNIX socket."""
    return [] if address.startswith("unix:") else loopback_networks(address)


def reinjection_services(address: str) -> tuple[str, ...]:
    """The services that the template _reinjection.j2 adds to master.cf, as `postconf -MX` names them."""
    return (f"{address}/inet", CLEANUP)


def kept_reinjection(address: str, *also: str) -> dict[str, tuple[str, ...]]:
    """`Footprint.kept_by` for these services: mail that still goes to the gateway must find its way back."""
    return {f"{address}/inet": ("content_filter = stellwerk", *also), CLEANUP: _USES_CLEANUP}


def require_service(name: str) -> None:
    """Raises RecipeUnavailable unless `name` is an entry of master.cf as `postconf -M` names it."""
    if not re.fullmatch(r"[\w.:\[\]-]+/(?:inet|pass)", name):
        raise RecipeUnavailable(f'found the service "{name}"; expected a name of `postconf -M`, as in smtp/inet')


def require_ip_address(text: str, whose: str) -> None:
    """Raises RecipeUnavailable unless `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise RecipeUnavailable(f'{whose} is "{text}"; expected an IP address, as in 192.0.2.7') from None


def require_milter(text: str) -> None:
    """Raises RecipeUnavailable unless `text` is the address of one milter as Postfix names it."""
    if not re.fullmatch(r"inet:[\w.:\[\]-]+:\d+|unix:[\w./-]+", text):
        raise RecipeUnavailable(f'found the milter "{text}"; expected inet:HOST:PORT or unix:PATH')
