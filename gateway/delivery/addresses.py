"""Where a next hop listens: addresses as they are written, and the ends of the network that they lead to.

No connection is made in here; which address is tried when is failover.py's business.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.delivery.connection import NextHopUnavailable
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HopAddress:
    """`host` and `port`, or `path` of a UNIX socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> HopAddress:
        """Read `host:port`, `[v6]:port` or `unix:/path`. Raises `ConfigError`."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/"):
                raise ConfigError([f"next hop address {text!r}: a UNIX socket needs an absolute path: unix:/run/..."])
            return cls(path=path)
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError([f"next hop address {text!r}: an IPv6 address stands in brackets: [::1]:25"])
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError([f"next hop address {text!r}: expected host:port, [v6]:port or unix:/path"])
        return cls(host, int(port))

    @property
    def is_name(self) -> bool:
        """Whether it must be looked up: neither an IP address nor a path."""
        if self.path:
            return False
        try:
            ip_address(self.host.partition("%")[0])
        except ValueError:
            return True
        return False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the network: `at`, to be connected to, which the configuration calls `name` (the same without DNS)."""

    name: HopAddress
    at: HopAddress

    def __str__(self) -> str:
        return str(self.at) if self.name == self.at else f"{self.at} ({self.name.host})"


async def resolve(address: HopAddress, until: float) -> list[Endpoint]:
    """All that `address` leads to, in the system's order of preference (RFC 6724), within the loop time `until`.

    Raises `NextHopUnavailable`.
    """
    if not address.is_name:
        return [Endpoint(address, address)]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout_at(until):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise NextHopUnavailable(f"the name {address.host} could not be looked up in time") from None
    except OSError as error:
        raise NextHopUnavailable(f"the name {address.host} was not found: {error.strerror}") from error
    return list(dict.fromkeys(Endpoint(address, HopAddress(str(where[0]), address.port)) for *_, where in found))
