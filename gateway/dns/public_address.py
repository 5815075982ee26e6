"""Whether mail could ever be delivered to an IP address from outside; nothing here asks anyone."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291 2.4: all that is given out; loopback, ULA, site-local lie outside
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 2.5.5.1, deprecated


def is_usable(text: str, treat_as_public: Sequence[Network] = ()) -> bool:
    """False for loopback, private, unspecified, link-local, multicast, shared and reserved addresses.

    IPv4 addresses inside IPv6 ones are judged as IPv4. Whatever lies in a network of `treat_as_public` is usable.
    """
    address = ip_address(text)
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    if any(candidate in network for network in treat_as_public for candidate in (address, inner) if candidate):
        return True
    if inner is not None:
        return is_usable(str(inner))
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
