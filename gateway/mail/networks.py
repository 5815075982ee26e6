"""Who counts as one client and as one network. Pure: addresses in, keys for counting out."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_IPV6_CUSTOMER_PREFIX = 64  # one customer owns at least that many addresses
_CACHE = 4096


def client_key(address: str) -> str:
    """`address` itself; of IPv6 the /64. A UNIX socket, or an unknown address, is one client."""
    return _network(address, _IPV6_CUSTOMER_PREFIX) if ":" in address else address


def network_key(address: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """The network of `address` with that many bits; `address` itself where it is no IP address."""
    if not address or address == "unix":
        return address
    return _network(address, ipv6_prefix if ":" in address else ipv4_prefix)


@lru_cache(maxsize=_CACHE)
def _network(address: str, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False))
