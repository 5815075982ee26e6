"""Socket addresses as the configuration writes them. Nothing here resolves a name or opens a socket."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from pathlib import Path

MAX_UNIX_PATH_BYTES = 107  # unix(7): sun_path holds 108 with its final NUL


def parse_socket_address(text: str) -> tuple[str, int] | Path:
    """`host:port` or `[ipv6]:port` as (host, port), `unix:/path` as a Path. Raises ValueError."""
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        if not path.is_absolute():
            raise ValueError(f'{text!r}: a UNIX socket is written "unix:/absolute/path"')
        if len(str(path).encode()) > MAX_UNIX_PATH_BYTES:
            raise ValueError(f"{text!r}: the path of a UNIX socket holds at most {MAX_UNIX_PATH_BYTES} bytes")
        return path
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host) != bracketed or not (port.isdecimal() and int(port) <= 65535):
        raise ValueError(f'{text!r}: expected "host:port", "[ipv6]:port" or "unix:/path"')
    return host, int(port)


def is_loopback(address: str) -> bool:
    """Whether a listener at `address` can be reached from this machine only (UNIX sockets included)."""
    parsed = parse_socket_address(address)
    if isinstance(parsed, Path) or parsed[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(parsed[0]).is_loopback
    except ValueError:
        return False


_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")
_LOCAL_NAMES = (".localhost", ".localdomain", ".local", ".internal", ".lan", ".home.arpa")


def is_internal(address: str) -> bool:
    """Whether `address` is one of this machine or of a private network, or has a name that means something only there.

    As it is written: a name that merely resolves to such an address is not seen, since nothing here asks DNS.
    """
    parsed = parse_socket_address(address)
    if isinstance(parsed, Path):
        return True
    # As a resolver reads it: other digits and dots of Unicode, 127.1 and 0x7f000001 are addresses too.
    host = _OTHER_DOTS.sub(".", unicodedata.normalize("NFKC", parsed[0])).strip().rstrip(".").lower()
    try:
        ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            ip = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return "." not in host or host.endswith(_LOCAL_NAMES)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return not (mapped or ip).is_global or ip.is_multicast
